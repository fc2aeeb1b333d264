"""The weight that DiscrimLoss would take from the row by the end of the run (arXiv:2208.09884, METHODS 2.1), replayed on its loss curve.

Sees: the loss at each epoch against the moving threshold gamma(t) k. Wrong when: few epochs. Sample: 0.0 for a row that stays below the
threshold, 0.95 for one whose sigma ran to its largest, 20.
"""

from __future__ import annotations

import numpy as np

from zcurate.config.model_config import DiscrimSettings
from zcurate.evidence.evidence import View, losses

MEMORY, MOMENTUM, LARGEST = 0.9, 0.9, np.log(20.0)


def score(view: View) -> np.ndarray:
    """The weight that DiscrimLoss would take from the row by the end of the run (arXiv:2208.09884, METHODS 2.1), replayed on its loss curve.

    Sees: the loss at each epoch against the moving threshold gamma(t) k. Wrong when: few epochs. Sample: 0.0 for a row that stays below the
    threshold, 0.95 for one whose sigma ran to its largest, 20.

    Returns: (N,) float32: 1 - smallest sigma / sigma; NaN where never trained on.
    """
    settings = DiscrimSettings()
    loss, whole = losses(view), losses(view.whole)
    log_sigma = np.full(loss.shape[1], settings.discrim_least)
    speed, history, k = np.zeros(loss.shape[1]), np.zeros(loss.shape[1]), float("nan")
    for epoch, now in enumerate(loss):
        mean = float(np.nanmean(whole[epoch])) if np.isfinite(whole[epoch]).any() else k
        k = mean if np.isnan(k) else MEMORY * k + (1 - MEMORY) * mean
        history = MEMORY * history + (1 - MEMORY) * np.where(np.isnan(now), mean, now)
        gamma = settings.stage(epoch / len(loss))
        speed = MOMENTUM * speed - (history / (1 - MEMORY ** (epoch + 1)) - gamma * k) * np.exp(-log_sigma) / len(loss)
        log_sigma = np.clip(log_sigma - settings.discrim_rate * speed, settings.discrim_least, LARGEST)
    return np.where(np.isnan(loss).all(0), np.nan, 1 - np.exp(settings.discrim_least - log_sigma)).astype(np.float32)
