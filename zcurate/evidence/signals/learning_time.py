"""Signals from the epochs at which a row's label is learned and forgotten."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, logistic, losses


def forgotten(view: LabelView) -> np.ndarray:
    """Count how often the given label was learned and forgotten again.

    Uses the changes of the margin's sign from right to wrong. Not specific to wrong labels: rows that are never learned have none. Three forgetting
    events score 0.75.

    Returns:
        (N,) float32: n / (n + 1); NaN where never trained on.

    Source: forgetting events, arXiv:1812.05159.
    """
    n = view.columns["n_forgotten"]
    return np.where(view.columns["n_seen"] > 0, n / (n + 1), np.nan).astype(np.float32)


def learned_epoch(view: LabelView) -> np.ndarray:
    """Measure how late the given label was learned: the first epoch from which it was predicted in two consecutive epochs.

    Uses the sign of the margin at each epoch. Misled by wrong labels that are easy to learn, as where one class is often labelled as another.
    A label that was never learned scores 1.0, one predicted from the first epoch scores 0.0.

    Returns:
        (N,) float32: learned_epoch / E; NaN where never trained on.

    Source: first k-epoch learning, arXiv:2308.13862.
    """
    return np.where(view.columns["n_seen"] > 0, view.columns["learned_epoch"] / len(view.curves["error"]), np.nan).astype(np.float32)


MASTERED_DELTA = 0.05
"""Second difference of the loss [nats] below which the loss counts as settled."""


def mastered_epoch(view: LabelView) -> np.ndarray:
    """Measure how late the loss settled at a low value; rows that never settle, or settle at a high loss, come last.

    Uses the second difference of the loss over the epochs. Unreliable with few epochs. A row that never settles or settles above ln 2
    scores 1.0, one that is mastered in the first tenth of the run scores 0.1.

    Returns:
        (N,) float32: mastered epoch / E, 1 where never; NaN where never trained on or with fewer than three epochs.

    Source: instance-dependent early stopping, arXiv:2502.07547.
    """
    loss = losses(view)
    if len(loss) < 3:
        return np.full(loss.shape[1], np.nan, np.float32)
    settled = (np.abs(np.diff(loss, 2, axis=0)) < MASTERED_DELTA) & (loss[2:] < np.log(2))
    epoch = np.where(settled.any(0), settled.argmax(0) + 2, len(loss))
    return np.where(np.isnan(loss).all(0), np.nan, epoch / len(loss)).astype(np.float32)


def second_split(view: LabelView) -> np.ndarray:
    """Measure how fast members forget the row when they continue training on rows held out before.

    Uses the margin of the given label during the second split, which is trained only when this signal is selected. Misled when the second
    split holds the same wrong labels in the same region, which refreshes them. A mean margin of minus two scores 0.9.

    Returns:
        (N,) float32: logistic of minus the mean margin in the second split; NaN where there was none.

    Source: second-split forgetting, arXiv:2210.15031.
    """
    margin = view.curves["second"]
    if not len(margin):
        return np.full(margin.shape[1], np.nan, np.float32)
    return logistic(-margin.mean(0))
