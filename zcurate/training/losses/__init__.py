"""Training losses; `zcurate.plugins.LOSSES` lists them.

The Z-Error statistics of `zerror.score` are computed whatever the loss, because the report shows them. A loss sets the z-score threshold above
which rows are masked; one that is callable (`ScalarLoss`) also replaces the masked mean row loss, whose gradient is otherwise written out.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class TrainingLoss(Protocol):
    """State of a loss for K members over N rows."""

    def z_threshold(self, progress: float) -> float:
        """Return the z-score threshold [sigma] at `progress` in [0, 1) of the run; `inf` masks no row."""

    def state(self) -> dict[str, Tensor]:
        """Return all tensors that a checkpoint must keep, by name; they are restored in place."""


class ScalarLoss(TrainingLoss, Protocol):
    """A loss that is differentiated by autograd."""

    def __call__(self, loss: Tensor, ids: Tensor, weight: Tensor, progress: float, output: Tensor) -> Tensor:
        """Return the scalar to differentiate, summed over the members.

        Args:
            loss: (K, B) float32 row losses, with gradient.
            ids: (K, B) int64 rows.
            weight: (K, B) float32, 0 for padding.
            progress: share of the run that is over, in [0, 1).
            output: (K, B, C) outputs that the losses are of.
        """


class MakeLoss(Protocol):
    """Contract of a loss: the function named by its plug-in."""

    def __call__(self, config: Any, n_members: int, n_rows: int, device: torch.device) -> TrainingLoss:
        """Create the state of a loss.

        Args:
            config: `ModelConfig.loss_config`.
            n_members: K.
            n_rows: N.
            device: of the tensors.
        """
