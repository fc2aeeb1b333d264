"""Losses for your own training loop."""

from __future__ import annotations

from zcurate.training.loss_modules import DiscrimLoss, ZErrorLoss

__all__ = ["DiscrimLoss", "ZErrorLoss"]
