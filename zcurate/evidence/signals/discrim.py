"""Signals from DiscrimLoss and exponentiated-gradient weights."""

from __future__ import annotations

import numpy as np

from zcurate.config.model_config import DiscrimConfig
from zcurate.evidence.evidence import LabelView, losses, squash

STAGE_MEMORY, STAGE_FAR = 0.9, 1.5


def discrim_stage(view: LabelView) -> np.ndarray:
    """Where the row's loss history ends against DiscrimLoss's moving threshold (arXiv:2208.09884, METHODS 2.1).

    Sees: the bias-corrected moving average of the loss over the running mean k. Wrong when: few epochs. Sample: below one half for easy rows
    (below k), above for rows that end beyond 1.5 k, where the loss holds labels for wrong.

    Returns: (N,) float32: logistic of log(lbar / (1.5 k)) at the end; NaN where never trained on.
    """
    loss, whole = losses(view), losses(view.whole)
    with np.errstate(divide="ignore", invalid="ignore"):
        return squash(np.log(loss_history(loss) / (STAGE_FAR * np.nanmean(loss_history(whole)))))


def loss_history(loss: np.ndarray) -> np.ndarray:
    """(N,) float64: bias-corrected moving average of the loss, newest counting most."""
    weight = (1 - STAGE_MEMORY) * STAGE_MEMORY ** np.arange(len(loss) - 1, -1, -1)
    known = ~np.isnan(loss)
    return (weight[:, None] * np.nan_to_num(loss)).sum(0) / np.maximum((weight[:, None] * known).sum(0), 1e-12) / known.any(0)


WEIGHT_MEMORY, WEIGHT_MOMENTUM, MAX_LOG_SIGMA = 0.9, 0.9, np.log(20.0)


def discrim_weight(view: LabelView) -> np.ndarray:
    """The weight that DiscrimLoss would take from the row by the end of the run (arXiv:2208.09884, METHODS 2.1), replayed on its loss curve.

    Sees: the loss at each epoch against the moving threshold gamma(t) k. Wrong when: few epochs. Sample: 0.0 for a row that stays below the
    threshold, 0.95 for one whose sigma ran to its largest, 20.

    Returns: (N,) float32: 1 - smallest sigma / sigma; NaN where never trained on.
    """
    settings = DiscrimConfig()
    loss, whole = losses(view), losses(view.whole)
    log_sigma = np.full(loss.shape[1], settings.discrim_least)
    speed, history, k = np.zeros(loss.shape[1]), np.zeros(loss.shape[1]), float("nan")
    for epoch, now in enumerate(loss):
        mean = float(np.nanmean(whole[epoch])) if np.isfinite(whole[epoch]).any() else k
        k = mean if np.isnan(k) else WEIGHT_MEMORY * k + (1 - WEIGHT_MEMORY) * mean
        history = WEIGHT_MEMORY * history + (1 - WEIGHT_MEMORY) * np.where(np.isnan(now), mean, now)
        gamma = settings.stage(epoch / len(loss))
        speed = WEIGHT_MOMENTUM * speed - (history / (1 - WEIGHT_MEMORY ** (epoch + 1)) - gamma * k) * np.exp(-log_sigma) / len(loss)
        log_sigma = np.clip(log_sigma - settings.discrim_rate * speed, settings.discrim_least, MAX_LOG_SIGMA)
    return np.where(np.isnan(loss).all(0), np.nan, 1 - np.exp(settings.discrim_least - log_sigma)).astype(np.float32)


STEP_SIZE = 1.0


def exponentiated(view: LabelView) -> np.ndarray:
    """The weight that exponentiated-gradient reweighting would take from the row (arXiv:2104.01493): w ~ exp(-eta sum of losses).

    Sees: the summed loss; the same order as the mean loss, capped as the method needs. Wrong when: the row is merely difficult.
    Sample: 0.95 for a summed loss of three.

    Returns: (N,) float32: 1 - exp(-eta mean loss); NaN where never trained on.
    """
    loss = losses(view)
    seen = (~np.isnan(loss)).sum(0)
    with np.errstate(invalid="ignore"):
        return (1 - np.exp(-STEP_SIZE * np.nansum(loss, 0) / np.where(seen > 0, seen, np.nan))).astype(np.float32)
