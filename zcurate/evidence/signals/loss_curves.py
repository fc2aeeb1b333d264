"""Signals from the shape of a row's loss curve."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, losses, mean_over_epochs, squash


def curvature(view: LabelView) -> np.ndarray:
    """How much the loss bends while training (instance-dependent early stopping, arXiv:2502.07547).

    Sees: the mean absolute second difference of the loss. Wrong when: the loss is flat and high: such a row is the most suspicious of all,
    and this clue alone does not see it. Sample: 0.6 at one nat.

    Returns: (N,) float32: logistic of the log of the mean |second difference|; NaN where never trained on or under three epochs.
    """
    loss = losses(view)
    if len(loss) < 3:
        return np.full(loss.shape[1], np.nan, np.float32)
    bend = np.abs(np.diff(loss, 2, axis=0))
    seen = (~np.isnan(bend)).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return squash(np.log(np.nansum(bend, 0) / np.where(seen > 0, seen, np.nan)))


EMA_MEMORY = 0.7


def ema_label(view: LabelView) -> np.ndarray:
    """What label a moving average of the members' predictions prefers (early-learning regularisation, arXiv:2007.00151).

    Sees: the probability of the given label and of its best rival at each epoch, averaged with weight .7 on the past. Wrong when: the run
    ends in memorising. Sample: 0.9 where the rival holds .8 more than the given label.

    Returns: (N,) float32: (1 - EMA of p_y - p_rival) / 2; NaN where never trained on.
    """
    error, margin = view.curves["error"], view.curves["margin"]
    with np.errstate(over="ignore"):
        ahead = (1 - np.exp(-margin)) / (1 + np.exp(error))
    average = np.zeros(error.shape[1])
    for now in ahead:
        average = EMA_MEMORY * average + (1 - EMA_MEMORY) * np.clip(np.nan_to_num(now), -1, 1)
    return np.where(np.isnan(error).all(0), np.nan, (1 - average) / 2).astype(np.float32)


N_WINDOWS = 4


def loss_cluster(view: LabelView) -> np.ndarray:
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


def stretches(view: LabelView) -> np.ndarray:
    """(W, N) float64 mean loss in each stretch, clipped at twice ln C."""
    loss = np.minimum(losses(view), 2 * np.log(max(2, view.heldout.shape[1])))
    return np.stack([part.mean(0) for part in np.array_split(loss, min(N_WINDOWS, len(loss)))])


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


def random_label(view: LabelView) -> np.ndarray:
    """How the row's loss stands among the losses that rows would have under random labels (on-the-fly denoising, arXiv:2003.10647).

    Sees: held-out probabilities of all classes: the counterfactual losses cost nothing. Wrong when: two classes; then a random label is right
    half the time. Sample: 0.5 for a loss in the middle of the random ones.

    Returns: (N,) float32 share of the random-label losses that lie below the row's own; NaN where unlabelled.
    """
    whole = view.whole.heldout[:: max(1, len(view.whole.heldout) // 20_000)]
    random = np.sort(-np.log(np.maximum(whole, 1e-6)), None)
    own = -np.log(np.maximum(view.heldout[np.arange(len(view.label)), np.maximum(view.label, 0)], 1e-6))
    return np.where(view.label >= 0, np.searchsorted(random, own) / len(random), np.nan).astype(np.float32)


def sieve(view: LabelView) -> np.ndarray:
    """CORES score (arXiv:2010.02347): cross-entropy of the given label minus its mean over all labels, while training.

    Sees: the mean logit against the given label's. Wrong when: many classes: then it hardly asks which rival is preferred.
    Sample: 0.5 where the given label is as likely as the geometric mean of all.

    Returns: (N,) float32: logistic of the mean score over the epochs; NaN where never trained on.
    """
    return squash(mean_over_epochs(view, "sieve"))
