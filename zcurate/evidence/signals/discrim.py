"""Signals from loss-based sample weights: DiscrimLoss and exponentiated-gradient reweighting, replayed on recorded loss curves."""

from __future__ import annotations

import numpy as np

from zcurate.config.model_config import DiscrimConfig
from zcurate.evidence.evidence import LabelView, logistic, losses

STAGE_DECAY, STAGE_FACTOR = 0.9, 1.5
"""Decay of the moving average of the loss, and the multiple of the mean loss k beyond which DiscrimLoss treats a label as wrong."""


def discrim_stage(view: LabelView) -> np.ndarray:
    """Compare the row's final smoothed loss with DiscrimLoss's moving threshold.

    Uses the bias-corrected moving average of the loss, divided by its mean k over all rows. Unreliable with few epochs. Easy rows, which end
    below 1.5 k, score below one half; rows that end above it, whose labels DiscrimLoss treats as wrong, score above.

    Returns:
        (N,) float32: logistic of log(average / (1.5 k)) at the end; NaN where never trained on.

    Source: arXiv:2208.09884, METHODS 2.1.
    """
    loss, population_loss = losses(view), losses(view.population)
    with np.errstate(divide="ignore", invalid="ignore"):
        return logistic(np.log(smoothed_loss(loss) / (STAGE_FACTOR * np.nanmean(smoothed_loss(population_loss)))))


def smoothed_loss(loss: np.ndarray) -> np.ndarray:
    """Compute the bias-corrected exponential moving average of the loss at the last epoch, (N,) float64.

    Args:
        loss: (E, N), NaN where not trained on.
    """
    weight = (1 - STAGE_DECAY) * STAGE_DECAY ** np.arange(len(loss) - 1, -1, -1)
    known = ~np.isnan(loss)
    return (weight[:, None] * np.nan_to_num(loss)).sum(0) / np.maximum((weight[:, None] * known).sum(0), 1e-12) / known.any(0)


WEIGHT_DECAY, WEIGHT_MOMENTUM, MAX_LOG_SIGMA = 0.9, 0.9, np.log(20.0)
"""Decay of the moving averages, momentum of log sigma, and its upper bound."""


def discrim_weight(view: LabelView) -> np.ndarray:
    """Compute the weight that DiscrimLoss would have taken from the row by the end of the run.

    Uses the loss at each epoch against the moving threshold gamma(t) k: DiscrimLoss is replayed on the recorded loss curve. Unreliable with few
    epochs. A row that stays below the threshold scores 0.0, one whose sigma reaches its maximum of 20 scores 0.95.

    Returns:
        (N,) float32: 1 - smallest sigma / sigma; NaN where never trained on.

    Source: arXiv:2208.09884, METHODS 2.1.
    """
    settings = DiscrimConfig()
    loss, population_loss = losses(view), losses(view.population)
    log_sigma = np.full(loss.shape[1], settings.discrim_least)
    velocity, average, k = np.zeros(loss.shape[1]), np.zeros(loss.shape[1]), float("nan")
    for epoch, now in enumerate(loss):
        mean = float(np.nanmean(population_loss[epoch])) if np.isfinite(population_loss[epoch]).any() else k
        k = mean if np.isnan(k) else WEIGHT_DECAY * k + (1 - WEIGHT_DECAY) * mean
        average = WEIGHT_DECAY * average + (1 - WEIGHT_DECAY) * np.where(np.isnan(now), mean, now)
        gamma = settings.stage(epoch / len(loss))
        velocity = WEIGHT_MOMENTUM * velocity - (average / (1 - WEIGHT_DECAY ** (epoch + 1)) - gamma * k) * np.exp(-log_sigma) / len(loss)
        log_sigma = np.clip(log_sigma - settings.discrim_rate * velocity, settings.discrim_least, MAX_LOG_SIGMA)
    return np.where(np.isnan(loss).all(0), np.nan, 1 - np.exp(settings.discrim_least - log_sigma)).astype(np.float32)


STEP_SIZE = 1.0
"""Step size eta of the exponentiated gradient."""


def exponentiated(view: LabelView) -> np.ndarray:
    """Compute the weight that exponentiated-gradient reweighting, w ~ exp(-eta sum of losses), would take from the row.

    Uses the loss averaged over the epochs; ranks rows as the mean loss does. Misled by rows that are merely hard. A mean loss of three
    scores 0.95.

    Returns:
        (N,) float32: 1 - exp(-eta mean loss); NaN where never trained on.

    Source: arXiv:2104.01493.
    """
    loss = losses(view)
    n_epochs = (~np.isnan(loss)).sum(0)
    with np.errstate(invalid="ignore"):
        return (1 - np.exp(-STEP_SIZE * np.nansum(loss, 0) / np.where(n_epochs > 0, n_epochs, np.nan))).astype(np.float32)
