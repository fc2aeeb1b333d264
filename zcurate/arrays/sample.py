"""Deterministic samples. Up to `MAX_FIT_ROWS` rows a sample is the whole, so that results are exact there."""

from __future__ import annotations

import numpy as np

HEAD_ROWS = 1000
"""Leading rows that are inspected first, as they settle most questions about a column."""
MAX_FIT_ROWS = 100_000
"""Maximum rows that curves, densities and centers are fitted on; an AUROC or a share of that many rows is accurate to a thousandth."""


def sample(n: int, most: int | None = None) -> np.ndarray:
    """Draw at most `most` of n positions without replacement, with a fixed seed.

    Args:
        n: population size.
        most: maximum sample size; None for `MAX_FIT_ROWS`.

    Returns:
        (m,) int64, ascending; all n if n <= most.
    """
    most = MAX_FIT_ROWS if most is None else most
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(n).choice(n, most, replace=False))


def sample_where(which: np.ndarray) -> np.ndarray:
    """Draw at most `MAX_FIT_ROWS` positions of the True values, with a fixed seed.

    Args:
        which: (N,) bool.

    Returns:
        (m,) int64, ascending.
    """
    positions = np.flatnonzero(which)
    return positions[sample(len(positions))] if len(positions) > MAX_FIT_ROWS else positions
