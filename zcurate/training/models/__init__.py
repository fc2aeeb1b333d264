"""The shelf of models: each file has `build(spec, encoded, n_members, generator) -> nn.Module` returning (K, B, C) for `Inputs`.

What else a module may have: `features(inputs)`, what its last layer sees; `has_manual_backward` and `taught(inputs)`, output and gradients without autograd.
"""

from __future__ import annotations

from typing import Any

from zcurate.registry import Registry

MODELS = Registry(
    "model",
    linear="zcurate.training.models.linear:build",
    mlp="zcurate.training.models.mlp:build",
    resnet="zcurate.training.models.resnet:build",
)


def builder(name: str) -> Any:
    """The `build` of a built-in model, or the wrapper around a user's `file.py:function`."""
    if ".py:" in name:
        from zcurate.training.models.custom import build

        return build
    return MODELS.load(name)
