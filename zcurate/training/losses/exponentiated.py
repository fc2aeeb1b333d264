"""Exponentiated-gradient reweighting: each row is an expert whose weight falls with its loss, and rows count by their weights.

A gradient step on the weighted loss alternates with a mirror step on the distribution over all rows, w <- w^memory exp(-rate loss), normalized. The exponent
below 1 draws it back to the uniform distribution, without which it ends on few rows. Weights are kept as logarithms and normalized within a batch.
Source: arXiv:2104.01493; exponent and limit of the loss are ours, as the paper's constants were not at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zcurate.config.model_config import ExponentiatedConfig
from zcurate.training.losses.plain import PlainLoss


class ExponentiatedLoss(PlainLoss):
    """The loss of K members over N rows; 4 bytes per member and row."""

    def __init__(self, n_members: int, n_rows: int, settings: ExponentiatedConfig, device: torch.device) -> None:
        self.settings = settings
        self.log_weight = torch.zeros(n_members, n_rows, device=device)

    def state(self) -> dict[str, Tensor]:
        """Return the logarithms of the weights."""
        return {"log_weight": self.log_weight}

    def __call__(self, loss: Tensor, ids: Tensor, weight: Tensor, progress: float, output: Tensor) -> Tensor:
        """Sum over the members of the weighted mean loss; then the mirror step. Arguments as for `ScalarLoss`."""
        log_weight = self.log_weight.gather(1, ids)
        share = torch.softmax(log_weight + weight.log(), 1).nan_to_num(0.0)
        value = (share * loss).sum()
        current = loss.detach().clamp_max(self.settings.eg_limit)
        updated = self.settings.eg_memory * log_weight - self.settings.eg_rate * current
        self.log_weight.scatter_(1, ids, torch.where(weight > 0, updated, log_weight))
        return value


def make_loss(config: ExponentiatedConfig, n_members: int, n_rows: int, device: torch.device) -> ExponentiatedLoss:
    """Create the state of the loss; arguments as for `MakeLoss`."""
    return ExponentiatedLoss(n_members, n_rows, config, device)
