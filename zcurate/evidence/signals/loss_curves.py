"""Signals from the level and shape of a row's loss curve."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, logistic, losses, mean_over_epochs


def curvature(view: LabelView) -> np.ndarray:
    """Measure how strongly the loss curve bends during training.

    Uses the mean absolute second difference of the loss. Blind to a loss that is flat and high, although such rows are the most suspicious
    of all. A mean of one nat scores 0.5.

    Returns:
        (N,) float32: logistic of the log of the mean |second difference|; NaN where never trained on or with fewer than three epochs.

    Source: instance-dependent early stopping, arXiv:2502.07547.
    """
    loss = losses(view)
    if len(loss) < 3:
        return np.full(loss.shape[1], np.nan, np.float32)
    bend = np.abs(np.diff(loss, 2, axis=0))
    n_known = (~np.isnan(bend)).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return logistic(np.log(np.nansum(bend, 0) / np.where(n_known > 0, n_known, np.nan)))


EMA_DECAY = 0.7
"""Weight of the past in the moving average of predictions."""


def ema_label(view: LabelView) -> np.ndarray:
    """Measure how far a moving average of the members' predictions prefers another label.

    Uses the probabilities of the given label and of its best rival at each epoch, averaged with weight .7 on the past. Misled when the members
    memorize labels by the end of the run. A rival ahead by .8 scores 0.9.

    Returns:
        (N,) float32: (1 - EMA of p_y - p_rival) / 2; NaN where never trained on.

    Source: early-learning regularization, arXiv:2007.00151.
    """
    error, margin = view.curves["error"], view.curves["margin"]
    with np.errstate(over="ignore"):
        lead = (1 - np.exp(-margin)) / (1 + np.exp(error))
    average = np.zeros(error.shape[1])
    for now in lead:
        average = EMA_DECAY * average + (1 - EMA_DECAY) * np.clip(np.nan_to_num(now), -1, 1)
    return np.where(np.isnan(error).all(0), np.nan, (1 - average) / 2).astype(np.float32)


N_WINDOWS = 4
"""Windows of the run in which losses are clustered."""


def loss_cluster(view: LabelView) -> np.ndarray:
    """Measure in how many windows of the run the row's loss belongs to the high-loss cluster of its class.

    Uses the mean loss in each of four windows, clustered within each class by 2-means. Misled when a class has no wrong label: then its hard rows form
    the high-loss cluster. A row with a high loss throughout scores 1.0.

    Returns:
        (N,) float32: share of the windows in the high-loss cluster, with a hundredth of the weight on the loss itself; NaN where never trained on.

    Source: CTRL, arXiv:2208.08464.
    """
    loss, population_loss = window_losses(view), window_losses(view.population)
    out = np.full(loss.shape[1], np.nan)
    for code in np.unique(view.label[view.label >= 0]):
        of_class = population_loss[:, view.population.label == code]
        rows = view.label == code
        threshold = np.array([two_means(one[~np.isnan(one)]) for one in of_class])[:, None]
        out[rows] = (0.99 * (loss[:, rows] > threshold) + 0.01 * np.tanh(loss[:, rows])).mean(0)
    return np.where(np.isnan(loss).any(0), np.nan, out).astype(np.float32)


def window_losses(view: LabelView) -> np.ndarray:
    """Average the loss, clipped at twice ln C, over each window of the run: (W, N) float64."""
    loss = np.minimum(losses(view), 2 * np.log(max(2, view.heldout.shape[1])))
    return np.stack([part.mean(0) for part in np.array_split(loss, min(N_WINDOWS, len(loss)))])


def two_means(x: np.ndarray, n_steps: int = 20) -> float:
    """Find the threshold between the two clusters of one-dimensional 2-means: the midpoint of their centers, or infinity for fewer than two values."""
    if len(x) < 2:
        return float("inf")
    threshold = (x.min() + x.max()) / 2
    for _ in range(n_steps):
        low, high = x[x <= threshold], x[x > threshold]
        if not len(low) or not len(high):
            break
        threshold = (low.mean() + high.mean()) / 2
    return float(threshold)


def random_label(view: LabelView) -> np.ndarray:
    """Rank the row's loss among the losses that rows would have under random labels.

    Uses held-out probabilities of all classes, which give these counterfactual losses at no cost. Weak with two classes, where a random label
    is right half the time. A loss at the median of the random ones scores 0.5.

    Returns:
        (N,) float32: share of the random-label losses below the row's own; NaN where unlabelled.

    Source: on-the-fly denoising, arXiv:2003.10647.
    """
    heldout = view.population.heldout
    sampled = heldout[:: max(1, len(heldout) // 20_000)]
    random = np.sort(-np.log(np.maximum(sampled, 1e-6)), None)
    own = -np.log(np.maximum(view.heldout[np.arange(len(view.label)), np.maximum(view.label, 0)], 1e-6))
    return np.where(view.label >= 0, np.searchsorted(random, own) / len(random), np.nan).astype(np.float32)


def sieve(view: LabelView) -> np.ndarray:
    """Compute the CORES score: cross-entropy of the given label minus its mean over all labels, during training.

    Uses the mean logit relative to that of the given label. Weak with many classes, when it hardly depends on which rival is preferred. A
    label as likely as the geometric mean of all labels scores 0.5.

    Returns:
        (N,) float32: logistic of the score averaged over the epochs; NaN where never trained on.

    Source: CORES, arXiv:2010.02347.
    """
    return logistic(mean_over_epochs(view, "sieve"))
