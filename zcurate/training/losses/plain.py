"""The plain loss: the mean row loss, no row is masked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class PlainLoss:
    """Threshold of the plain loss; it has no state."""

    def z_threshold(self, progress: float) -> float:
        """Return infinity: every row is kept."""
        return float("inf")

    def state(self) -> dict[str, Tensor]:
        """Return no tensors."""
        return {}


def make_loss(config: Any, n_members: int, n_rows: int, device: torch.device) -> PlainLoss:
    """Create the loss; it needs none of the arguments."""
    return PlainLoss()
