"""Isotonic regression by pool-adjacent-violators. Written out because importing `scipy.optimize` takes longer than the whole judge."""

from __future__ import annotations

import numpy as np

from zcurate.arrays.sort import argsort

MAX_PASSES, FEW_BLOCKS = 50, 1000
"""Maximum number of vectorised pooling passes, and the number of blocks below which they are pooled sequentially."""


def isotonic_curve(x: np.ndarray, y: np.ndarray, weight: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Fit an isotonic regression of y on x and evaluate it: constant within its blocks, linear from the end of one to the beginning of the next.

    The mean over `x` is that of `y`; interpolation between the centers of blocks would not keep it where few blocks are large.

    Args:
        x: (n,) float64.
        y: (n,) float64.
        weight: (n,) float64 > 0.
        at: (m,) float64 points to evaluate.

    Returns:
        (m,) float64, non-decreasing in `at`.
    """
    order = argsort(x)
    starts, level = pool_adjacent(y[order], weight[order])
    ends = np.append(starts[1:], len(x)) - 1
    return np.interp(at, x[order[np.stack([starts, ends], 1).ravel()]], np.repeat(level, 2))


def pool_adjacent(y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pool adjacent violators: merge neighboring blocks that do not increase until all blocks do.

    Merges many blocks per vectorised pass while there are many, and the last ones sequentially.

    Args:
        y: (n,) float64.
        weight: (n,) float64 > 0.

    Returns:
        (b,) int64 start of each block, and (b,) float64 its level, strictly increasing.
    """
    starts, block_weight, block_sum = np.arange(len(y)), weight.astype(np.float64), y * weight
    for _ in range(MAX_PASSES):
        level = block_sum / block_weight
        increases = np.concatenate([[True], level[1:] > level[:-1]])
        if increases.all():
            return starts, level
        if len(increases) < FEW_BLOCKS:
            break
        first = np.flatnonzero(increases)
        starts, block_weight, block_sum = starts[first], np.add.reduceat(block_weight, first), np.add.reduceat(block_sum, first)
    blocks: list[tuple[int, float, float]] = []
    for start, own_weight, own_sum in zip(starts.tolist(), block_weight.tolist(), block_sum.tolist(), strict=True):
        while blocks and blocks[-1][2] * own_weight >= own_sum * blocks[-1][1]:
            start, previous_weight, previous_sum = blocks.pop()
            own_weight, own_sum = own_weight + previous_weight, own_sum + previous_sum
        blocks.append((start, own_weight, own_sum))
    pooled = np.array(blocks)
    return pooled[:, 0].astype(np.int64), pooled[:, 2] / pooled[:, 1]


def break_ties(p: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Break ties of probabilities by the suspicion score; moves each by at most 0.002."""
    return np.clip(p, 0, 1) * 0.998 + 0.002 * s
