"""Keep Z-Error from masking a whole slice of the data, and weigh slices by their loss.

A mask of the rows with large errors is the opposite of robustness for groups: it drops the worst one. A slice that was masked much more often than the rest in
an epoch is therefore not masked in the next; and with `slice_weight` the rows of a slice count by the softmax of its loss.
Source: arXiv:2306.12070 (softmax-weighted gradient over tasks); the guard is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zcurate.runtime.process_group import SingleProcess
from zcurate.training.losses.terms import loss_of_error
from zcurate.training.losses.zerror import LossOutput
from zcurate.training.sampler import Visits

MOST_MASKED, TIMES_MASKED = 0.5, 2.0
"""A slice is guarded when more than this share of its visits was masked, and that many times the share of all visits."""


class SliceGuard:
    """State of the slices of one group of members; its tensors are changed in place, as recorded steps read them."""

    def __init__(self, of_row: Tensor, temperature: float, regression: bool) -> None:
        """Nothing is guarded, and all slices weigh one.

        Args:
            of_row: (N,) int64 slice of each row.
            temperature: mu of the softmax [1 / nat].
            regression: errors are signed.
        """
        self.of_row, self.temperature, self.regression = of_row, temperature, regression
        n = int(of_row.max()) + 1
        self.guarded = torch.zeros(n, dtype=torch.bool, device=of_row.device)
        self.weight = torch.ones(n, device=of_row.device)

    def state(self) -> dict[str, Tensor]:
        """All tensors, to be restored in place."""
        return {"guarded": self.guarded, "weight": self.weight}

    def update(self, visits: Visits, output: LossOutput, processes: SingleProcess) -> None:
        """Learn from an epoch which slices to guard and how to weigh them in the next.

        Args:
            visits: (K, n) of the epoch.
            output: of each visit.
            processes: that share the rows.
        """
        slice_of, counts = self.of_row[visits.ids].reshape(-1), visits.weight.reshape(-1)
        loss = loss_of_error(output.error, self.regression).reshape(-1)
        sums = torch.zeros(3, len(self.guarded), device=counts.device)
        sums.index_add_(1, slice_of, torch.stack([counts, counts * (~output.keep).reshape(-1), counts * loss]))
        n, masked, loss = processes.summed(sums)
        share = masked / n.clamp_min(1)
        self.guarded.copy_((share > MOST_MASKED) & (share > TIMES_MASKED * masked.sum() / n.sum().clamp_min(1)))
        if self.temperature:
            weight = torch.softmax((self.temperature * loss / n.clamp_min(1)).masked_fill(n == 0, float("-inf")), 0)
            # Of mean one over the rows, so that the learning rate keeps its meaning.
            self.weight.copy_(weight * n.sum() / (weight * n).sum().clamp_min(1e-12))
