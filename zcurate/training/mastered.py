"""Instance-dependent early stopping: rows whose loss has settled get no backward pass.

A row is mastered while the second difference of its loss over the epochs is below delta and the loss is low; a loss that is flat and high belongs to a row
that is never learned. Mastered rows are still predicted in every epoch, so that the record is whole, and come back when their loss moves.
Source: arXiv:2502.07547, in the form of the released code; that the loss must be low is ours.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from zcurate.evidence.signals.learning_time import MASTERED_DELTA
from zcurate.training.losses.terms import loss_of_error
from zcurate.training.losses.zerror import LossOutput
from zcurate.training.sampler import Visits


class MasteredRows:
    """Which rows K members have mastered; 13 bytes per member and row."""

    def __init__(self, n_members: int, n_rows: int, device: torch.device, regression: bool) -> None:
        """No row is mastered.

        Args:
            n_members: K.
            n_rows: N.
            device: of the record.
            regression: errors are signed, and a low loss is one below the median.
        """
        self.regression = regression
        self.before, self.last = (torch.full((n_members, n_rows), float("nan"), device=device) for _ in range(2))
        self.mask = torch.zeros(n_members, n_rows, dtype=torch.bool, device=device)
        self.skipped = torch.zeros(2, dtype=torch.int64, device=device)
        """Visits without a backward pass, and all visits."""

    def state(self) -> dict[str, Tensor]:
        """All tensors, to be restored in place."""
        return {"before": self.before, "last": self.last, "mask": self.mask, "skipped": self.skipped}

    def update(self, visits: Visits, output: LossOutput, n_skipped: Tensor) -> None:
        """Learn from an epoch which rows are mastered in the next.

        Args:
            visits: (K, n), each row that a member trains on once.
            output: of each visit.
            n_skipped: () visits that had no backward pass.
        """
        # Padding may be any row: it keeps what is known of it.
        current = self.last.clone()
        rows = torch.where(visits.weight > 0, loss_of_error(output.error, self.regression), current.gather(1, visits.ids))
        current.scatter_(1, visits.ids, rows)
        low = current.nanmedian(1, keepdim=True).values if self.regression else log(2)
        self.mask.copy_(((current - 2 * self.last + self.before).abs() < MASTERED_DELTA) & (current < low))
        self.before.copy_(self.last)
        self.last.copy_(current)
        self.skipped += torch.stack([n_skipped, (visits.weight > 0).sum()])
