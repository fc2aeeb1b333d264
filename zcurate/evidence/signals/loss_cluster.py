"""In how many stretches of the run the row's loss belongs to the high cluster of its class (CTRL, arXiv:2208.08464).

Sees: the loss in four stretches, split in two within each class by 2-means. Wrong when: a class has no wrong row; then its hard rows make
the high cluster. Sample: 1.0 for a row that is high throughout.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, losses

WINDOWS = 4


def score(view: View) -> np.ndarray:
    """In how many stretches of the run the row's loss belongs to the high cluster of its class (CTRL, arXiv:2208.08464).

    Sees: the loss in four stretches, split in two within each class by 2-means. Wrong when: a class has no wrong row; then its hard rows make
    the high cluster. Sample: 1.0 for a row that is high throughout.

    Returns: (N,) float32 share of the stretches in the high cluster, plus a hundredth of its depth; NaN where never trained on.
    """
    mine, whole = stretches(view), stretches(view.whole)
    out = np.full(mine.shape[1], np.nan)
    for code in np.unique(view.label[view.label >= 0]):
        known = whole[:, view.whole.label == code]
        rows = view.label == code
        cut = np.array([two_means(one[~np.isnan(one)]) for one in known])[:, None]
        out[rows] = (0.99 * (mine[:, rows] > cut) + 0.01 * np.tanh(mine[:, rows])).mean(0)
    return np.where(np.isnan(mine).any(0), np.nan, out).astype(np.float32)


def stretches(view: View) -> np.ndarray:
    """(W, N) float64 mean loss in each stretch, clipped at twice ln C."""
    loss = np.minimum(losses(view), 2 * np.log(max(2, view.heldout.shape[1])))
    return np.stack([part.mean(0) for part in np.array_split(loss, min(WINDOWS, len(loss)))])


def two_means(x: np.ndarray, n_steps: int = 20) -> float:
    """The middle between the two centres of 2-means on a line."""
    if len(x) < 2:
        return float("inf")
    cut = (x.min() + x.max()) / 2
    for _ in range(n_steps):
        low, high = x[x <= cut], x[x > cut]
        if not len(low) or not len(high):
            break
        cut = (low.mean() + high.mean()) / 2
    return float(cut)
