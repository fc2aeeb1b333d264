"""On-the-fly denoising: after a warm-up, rows whose loss is like that of a random label are left out for good.

In the second half of the warm-up the loss of each row is averaged, and so is recorded what the loss of a random label would be: that of a class that
goes round with rows and visits, from the outputs that are there anyway. A percentile of the latter is the limit for the former.
Source: arXiv:2003.10647, which derives the random labels' loss from the last layer; here it is measured.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zcurate.config.model_config import DenoisingConfig
from zcurate.training.losses.plain import PlainLoss

N_BINS, MAX_LOSS = 512, 16.0
"""Of the record of random labels' losses [nats]."""


class DenoisingLoss(PlainLoss):
    """The loss of K members over N rows; 12 bytes per member and row."""

    def __init__(self, n_members: int, n_rows: int, settings: DenoisingConfig, device: torch.device) -> None:
        self.settings = settings
        self.total, self.visits, self.left_out = (torch.zeros(n_members, n_rows, device=device) for _ in range(3))
        self.random = torch.zeros(n_members, N_BINS, device=device)
        self.is_decided = False
        """`left_out` was computed from the record, which does not change any more."""

    def state(self) -> dict[str, Tensor]:
        """Return the record of the warm-up and which rows are left out."""
        return {name: getattr(self, name) for name in ("total", "visits", "left_out", "random")}

    def __call__(self, loss: Tensor, ids: Tensor, weight: Tensor, progress: float, output: Tensor) -> Tensor:
        """Sum over the members of the mean loss of the rows that are not left out. Arguments as for `ScalarLoss`."""
        warmup = self.settings.odd_warmup
        if warmup / 2 <= progress < warmup:
            self.record(loss.detach(), ids, weight, output.detach())
            self.is_decided = False
        if progress >= warmup and not self.is_decided:
            self.decide()
        kept = weight * (1 - self.left_out.gather(1, ids))
        share = kept / kept.sum(1, keepdim=True).clamp_min(1e-12)
        return (share * loss).sum()

    def record(self, loss: Tensor, ids: Tensor, weight: Tensor, output: Tensor) -> None:
        """Add a batch of the warm-up's second half to the record."""
        label = (ids + self.visits.gather(1, ids).long()) % output.shape[2]
        random = output.logsumexp(2) - output.gather(2, label[..., None])[..., 0]
        at = (random * (N_BINS / MAX_LOSS)).long().clamp(0, N_BINS - 1)
        self.random.scatter_add_(1, at, weight)
        self.total.scatter_add_(1, ids, loss * weight)
        self.visits.scatter_add_(1, ids, weight)

    def decide(self) -> None:
        """Leave out the rows whose mean loss is above the percentile. The record is complete, so that a restart from a checkpoint leaves out the same."""
        self.is_decided = True
        share = self.random.cumsum(1) / self.random.sum(1, keepdim=True).clamp_min(1e-12)
        limit = ((share < self.settings.odd_percentile / 100).sum(1, keepdim=True) + 1) * (MAX_LOSS / N_BINS)
        self.left_out.copy_(((self.visits > 0) & (self.total > limit * self.visits)).float())


def make_loss(config: DenoisingConfig, n_members: int, n_rows: int, device: torch.device) -> DenoisingLoss:
    """Create the state of the loss; arguments as for `MakeLoss`."""
    return DenoisingLoss(n_members, n_rows, config, device)
