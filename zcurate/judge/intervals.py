"""Confidence intervals."""

from __future__ import annotations

from math import sqrt

import numpy as np


def noise_interval(p: np.ndarray, n_planted: int | None, low: float = 1.0, high: float = 0.0) -> tuple[float, float, float]:
    """Estimate the share of wrong labels with a 95 % interval.

    The interval covers the binomial variance of the rows and that of the planted errors used for calibration.

    Args:
        p: (N,) p_incorrect of the judged rows.
        n_planted: number of planted errors; None where none were to be planted, as nothing was trained.
        low: a share that cannot be ruled out; the interval reaches down to it.
        high: a share that cannot be ruled out; the interval reaches up to it.

    Returns:
        The expected share, and the bounds of its interval.
    """
    rate = float(p.mean())
    row_variance = float((p * (1 - p)).sum()) / len(p) ** 2
    planted_variance = 0.0 if n_planted is None else rate * (1 - rate) / max(1, n_planted)
    half = 1.96 * sqrt(row_variance + planted_variance)
    return rate, max(0.0, min(low, rate - half)), min(1.0, max(high, rate + half))


def wilson(found: int, n: int) -> tuple[float, float]:
    """Compute the 95 % Wilson score interval of a share; NaN for n = 0.

    Args:
        found: number of successes.
        n: number of trials.

    Source: Wilson 1927.
    """
    if n == 0:
        return float("nan"), float("nan")
    z, share = 1.96, found / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, center - half), min(1.0, center + half)
