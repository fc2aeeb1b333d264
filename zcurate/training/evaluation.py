"""Predictions of members on rows that they never trained on."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class RepresentationObserver(Protocol):
    """Looks at what a member has learned."""

    def keys(self, n_train: int, n_rows: int, device: torch.device) -> Tensor:
        """(M,) int64 which of a member's own rows to compare with."""

    def __call__(self, queries: Tensor, own: Tensor, train_features: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
        """Columns (Q,) of rows that the member never saw: their features (Q, D) and classes, and those (M, D) of its own."""


SECOND_RATE = 0.5
"""Learning rate of the second split, as a share of the peak: high, so that what is not held fast is forgotten."""
