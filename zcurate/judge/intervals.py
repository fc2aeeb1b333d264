"""Confidence intervals."""

from __future__ import annotations

from math import sqrt

import numpy as np


def noise_interval(p: np.ndarray, n_planted: int, low: float = 1.0, high: float = 0.0) -> tuple[float, float, float]:
    """Expected share of wrong labels with an interval: binomial spread of the rows and of what was planted to learn from.

    Args:
        p: (N,) p_incorrect of the judged rows.
        n_planted: planted errors.
        low: a share that cannot be ruled out either: the interval reaches down to it.
        high: the same, upwards.
    """
    rate = float(p.mean())
    own = float((p * (1 - p)).sum()) / len(p) ** 2
    learned = rate * (1 - rate) / max(1, n_planted)
    half = 1.96 * sqrt(own + learned)
    return rate, max(0.0, min(low, rate - half)), min(1.0, max(high, rate + half))


def wilson(found: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if n == 0:
        return float("nan"), float("nan")
    z, share = 1.96, found / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)
