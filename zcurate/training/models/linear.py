"""Packed linear models: K logistic (or linear) regressions on the encoded columns and TF-IDF text.

Suited to text and to very few rows; `mlp` is better where the relation is not linear.
"""

from __future__ import annotations

import torch
from torch import nn

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.training.models.mlp import PackedMLP


def build(spec: ModelConfig, encoded: EncodedRows, n_members: int, generator: torch.Generator) -> nn.Module:
    """Build K packed linear models for `encoded`; arguments as for `mlp.build`."""
    return PackedMLP(spec, encoded, n_members, (), generator)
