"""Models: functions that build K members as one module; `zcurate.plugins.MODELS` lists them.

The module maps a `Batch` of (K, B) rows to outputs (K, B, C). It may have `features(batch)`, the input of its last layer, and, with
`has_manual_backward`, `forward_with_gradient(batch)`, which returns the output and a function that takes its gradient, without autograd.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.plugins import CUSTOM_MODEL, MODELS
from zcurate.registry import import_object


class BuildFunction(Protocol):
    """Contract of a model."""

    def __call__(self, spec: ModelConfig, encoded: EncodedRows, n_members: int, generator: torch.Generator) -> nn.Module:
        """Build the members.

        Args:
            spec: `hidden`, `dropout`, ...
            encoded: shapes of the inputs and number of outputs C.
            n_members: K; 1 for a model that is not `packed`.
            generator: source of the initial weights (CPU).

        Returns:
            Module from a `Batch` of (K, B) rows to (K, B, C) float.
        """


def builder(name: str) -> BuildFunction:
    """Return the function that builds a built-in model, or the wrapper around a user's `file.py:function`.

    Raises:
        UsageError: an unknown model.
    """
    build: BuildFunction = import_object(CUSTOM_MODEL.location) if ".py:" in name else MODELS.load(name)
    return build
