"""Losses for your own training loop."""

from __future__ import annotations

from zcurate.training.losses.modules import DiscrimLoss, ZErrorLoss

__all__ = ["DiscrimLoss", "ZErrorLoss"]
