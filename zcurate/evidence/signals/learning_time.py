"""Signals from when a row is learned and forgotten."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, losses, squash


def forgotten(view: LabelView) -> np.ndarray:
    """How often the given label was learned and lost again (forgetting events, arXiv:1812.05159).

    Sees: turns of the margin's sign. Wrong when: everything: never-learned rows have none. Sample: 0.75 for three turns.

    Returns: (N,) float32: n / (n + 1); NaN where never trained on.
    """
    n = view.columns["n_forgotten"]
    return np.where(view.columns["n_seen"] > 0, n / (n + 1), np.nan).astype(np.float32)


def learned_epoch(view: LabelView) -> np.ndarray:
    """How late the given label was learned: first epoch from which it was predicted twice running (first k-epoch learning, arXiv:2308.13862).

    Sees: the sign of the margin at each epoch. Wrong when: a wrong label is easy, as where one class is often put in another's place.
    Sample: 1.0 for a label that was never learned, 0.0 for one known from the first epoch.

    Returns: (N,) float32: learned_epoch / E; NaN where never trained on.
    """
    return np.where(view.columns["n_seen"] > 0, view.columns["learned_epoch"] / len(view.curves["error"]), np.nan).astype(np.float32)


MASTERED_DELTA = 0.05
"""Second difference of the loss [nats] below which it is at rest."""


def mastered_epoch(view: LabelView) -> np.ndarray:
    """How late the loss came to rest (instance-dependent early stopping, arXiv:2502.07547), rows that rest at a high loss last of all.

    Sees: the second difference of the loss over the epochs. Wrong when: few epochs. Sample: 1.0 for a row that never rests or rests above
    ln 2, 0.1 for one that is mastered in the first tenth.

    Returns: (N,) float32: mastered epoch / E, 1 where never; NaN where never trained on.
    """
    loss = losses(view)
    if len(loss) < 3:
        return np.full(loss.shape[1], np.nan, np.float32)
    still = (np.abs(np.diff(loss, 2, axis=0)) < MASTERED_DELTA) & (loss[2:] < np.log(2))
    epoch = np.where(still.any(0), still.argmax(0) + 2, len(loss))
    return np.where(np.isnan(loss).all(0), np.nan, epoch / len(loss)).astype(np.float32)


def second_split(view: LabelView) -> np.ndarray:
    """How fast members forget the row when they go on with rows that they never saw (second-split forgetting, arXiv:2210.15031).

    Sees: the margin of the given label during the second split; needs `second_split` epochs. Wrong when: the second split holds the same wrong
    labels in the same region: then they are refreshed, not forgotten. Sample: 0.9 for a margin of minus two.

    Returns: (N,) float32: logistic of minus the mean margin in the second split; NaN where there was none.
    """
    margin = view.curves["second"]
    if not len(margin):
        return np.full(margin.shape[1], np.nan, np.float32)
    return squash(-margin.mean(0))
