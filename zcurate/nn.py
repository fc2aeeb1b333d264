"""Losses for your own training loop."""

from __future__ import annotations

from zcurate.training.loss_modules import DenoisingLoss, DiscrimLoss, ExponentiatedGradientLoss, ZErrorLoss

__all__ = ["DenoisingLoss", "DiscrimLoss", "ExponentiatedGradientLoss", "ZErrorLoss"]
