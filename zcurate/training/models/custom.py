"""A user's own torch module, wrapped so that it receives plain tensors.

Tables arrive as (B, D) floats: piecewise-linear numbers, vectors, then one-hot categories. Images arrive as (B, C, H, W) floats in
[-0.5, 0.5]. Free text is not supported; use a built-in model for it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import Batch, EncodedRows
from zcurate.errors import UsageError
from zcurate.runtime.user_code import load_function

MAX_ONE_HOT = 4096
"""Category values in all columns that are passed one-hot, at most."""


class CustomModel(nn.Module):
    """One member that wraps the user's module."""

    def __init__(self, inner: nn.Module, n_codes: int) -> None:
        super().__init__()
        self.inner = inner
        self.n_codes = n_codes

    def forward(self, inputs: Batch) -> Tensor:
        """Map the inputs of (1, B) rows to logits (1, B, C)."""
        if inputs.images is not None:
            output: Tensor = self.inner(inputs.images[0].float().div_(255).sub_(0.5))
            return output[None]
        parts = [] if inputs.x is None else [inputs.x[0]]
        if inputs.codes is not None:
            parts.append(F.one_hot(inputs.codes[0], self.n_codes).sum(1).float())
        output = self.inner(torch.cat(parts, 1))
        return output[None]


def build(spec: ModelConfig, encoded: EncodedRows, n_members: int, generator: torch.Generator) -> nn.Module:
    """Build the user's model by calling the function with the input's shape and the number of outputs.

    Args:
        spec: `name` is `file.py:function`.
        encoded: shapes of the inputs and number of outputs.
        n_members: must be 1.
        generator: its seed is set on torch's global generator while the function runs, so that results are reproducible.

    Raises:
        UsageError: the data contains text or too many categories, or the function does not return a module.
    """
    if encoded.n_terms or encoded.n_codes > MAX_ONE_HOT:
        unsupported = "free text" if encoded.n_terms else f"{encoded.n_codes} category values"
        raise UsageError(
            f"--model {spec.name}: the data contains {unsupported} — a custom model takes numbers, pictures and at most {MAX_ONE_HOT} category values — "
            "use --model mlp"
        )
    if encoded.images is not None:
        shape = tuple(encoded.images.shape[1:])
    else:
        shape = (encoded.width + encoded.n_codes,)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator.initial_seed())
        inner = load_function(spec.name, "--model")(shape, encoded.n_outputs)
    if not isinstance(inner, nn.Module):
        raise UsageError(f"--model {spec.name}: returned {type(inner).__name__} — expected a torch.nn.Module")
    return CustomModel(inner, encoded.n_codes)
