"""Packed linear models: logistic (or linear) regression on the encoded columns and TF-IDF text, K side by side.

The right choice for text and for very few rows; on anything curved the `mlp` sees more.
"""

from __future__ import annotations

import torch
from torch import nn

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.training.models.mlp import PackedMLP


def build(spec: ModelConfig, encoded: EncodedRows, n_members: int, generator: torch.Generator) -> nn.Module:
    """K packed linear models for `encoded`; arguments as for `mlp`."""
    return PackedMLP(spec, encoded, n_members, (), generator)
