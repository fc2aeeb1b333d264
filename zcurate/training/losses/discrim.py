"""DiscrimLoss: separates easy rows from difficult ones first, then hard rows from wrong ones.

Keeps a loss history and a weight for each row and member. In the form of the released default variant (METHODS 2.1): a moving
threshold gamma(t) k on the bias-corrected loss history, a trainable log sigma per row, early suppression in the first epochs.
Source: arXiv:2208.09884 (IEEE TMM 2023).
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from zcurate.config.model_config import DiscrimConfig

MEMORY = 0.9
"""Decay of a row's loss history (beta) and of the running threshold (rho)."""
MOMENTUM = 0.9
"""Momentum of the log sigma updates."""
MAX_LOG_SIGMA = log(20.0)
"""Largest log sigma."""


class DiscrimLoss:
    """DiscrimLoss of K members over N rows; its state takes about 16 bytes per member and row."""

    def __init__(self, n_members: int, n_rows: int, settings: DiscrimConfig, device: torch.device) -> None:
        self.settings = settings
        self.history = torch.zeros(n_members, n_rows, device=device)
        self.visits = torch.zeros(n_members, n_rows, device=device)
        self.log_sigma = torch.full((n_members, n_rows), settings.discrim_least, device=device)
        self.speed = torch.zeros(n_members, n_rows, device=device)
        self.threshold = torch.full((n_members,), float("nan"), device=device)

    def z_threshold(self, progress: float) -> float:
        """Return infinity: no row is masked."""
        return float("inf")

    def state(self) -> dict[str, Tensor]:
        """Return all state tensors by name."""
        return {name: getattr(self, name) for name in ("history", "visits", "log_sigma", "speed", "threshold")}

    def __call__(self, loss: Tensor, ids: Tensor, weight: Tensor, progress: float, output: Tensor) -> Tensor:
        """Sum over the members of mean ES (lbar - gamma k) / sigma; update history, threshold and log sigma.

        Args:
            loss: (K, B) float32 row losses, with gradient.
            ids: (K, B) int64 rows.
            weight: (K, B) float32, 0 for padding.
            progress: completed share of the run, in [0, 1).
            output: not used.
        """
        settings, current = self.settings, loss.detach()
        n_visits = self.visits.gather(1, ids) + 1
        past = self.history.gather(1, ids)
        correction = 1 - MEMORY**n_visits
        smooth = (MEMORY * past + (1 - MEMORY) * loss) / correction
        detached = smooth.detach()
        share = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
        mean = (share * detached).sum(1)
        self.threshold = torch.where(self.threshold.isnan(), mean, MEMORY * self.threshold + (1 - MEMORY) * mean)
        early = min(1.0, (progress * 120 + 1) / 10) if progress * 120 < settings.discrim_suppressed else 1.0
        excess = detached - settings.stage(progress) * self.threshold[:, None]
        log_sigma = self.log_sigma.gather(1, ids)
        inverse = torch.exp(-log_sigma)
        speed = MOMENTUM * self.speed.gather(1, ids) - share * early * excess * inverse
        updated = (log_sigma - settings.discrim_rate * speed).clamp(settings.discrim_least, MAX_LOG_SIGMA)
        real = weight > 0
        for state, value in (
            (self.history, MEMORY * past + (1 - MEMORY) * current),
            (self.visits, n_visits),
            (self.speed, speed),
            (self.log_sigma, updated),
        ):
            state.scatter_(1, ids, torch.where(real, value, state.gather(1, ids)))
        return (share * early * (smooth - settings.stage(progress) * self.threshold[:, None]) * inverse).sum()


def make_loss(config: DiscrimConfig, n_members: int, n_rows: int, device: torch.device) -> DiscrimLoss:
    """Create the state of the loss; arguments as for `MakeLoss`."""
    return DiscrimLoss(n_members, n_rows, config, device)
