"""Deterministic samples. Up to `MAX_FIT_ROWS` rows a sample is all of them, so that nothing is approximate there."""

from __future__ import annotations

import numpy as np

HEAD_ROWS = 1000
"""Leading rows that are looked at first, as they settle most questions about a column."""
MAX_FIT_ROWS = 100_000
"""Rows that curves, densities and centres are fitted on, at most; beyond, an AUROC or a share is known to a thousandth anyway."""


def sample(n: int, most: int | None = None) -> np.ndarray:
    """(m,) int64 positions among n, in order: all, or as many as are wanted, drawn with a fixed seed.

    Args:
        n: how many there are.
        most: how many are wanted at most; None for `FIT_ROWS`.
    """
    most = MAX_FIT_ROWS if most is None else most
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(n).choice(n, most, replace=False))


def sample_where(which: np.ndarray) -> np.ndarray:
    """(m,) int64 positions of the True values, in order: all, or `FIT_ROWS` of them drawn with a fixed seed.

    Args:
        which: (N,) bool.
    """
    there = np.flatnonzero(which)
    return there[sample(len(there))] if len(there) > MAX_FIT_ROWS else there
