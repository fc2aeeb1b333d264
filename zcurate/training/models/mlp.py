"""Packed perceptrons: K small networks trained together, with one batched product per layer.

Numbers enter as piecewise-linear bins and categories as embeddings; a linear term on TF-IDF text is added. Weak on data whose classes
differ only in an interaction of many columns; strong and fast elsewhere.
Sources: packing as in TabM (arXiv:2410.24210); encoding arXiv:2203.05556.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import Batch, EncodedRows
from zcurate.training.models.packed import PackedPerceptron, PackedText, embedding_gradient, embedding_rows

TEXT_GAIN = 4.0
"""Factor by which the text term learns faster than the perceptron it is added to; chosen on the bench's tuning sets."""


class PackedMLP(nn.Module):
    """K perceptrons; with no hidden width, K linear models."""

    first_code: Tensor
    """(K, 1, 1) int64, offset of each member's rows in the embedding table."""

    def __init__(self, spec: ModelConfig, encoded: EncodedRows, n_members: int, hidden: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.generator = torch.Generator(device=encoded.device).manual_seed(generator.initial_seed())
        self.embedding: nn.Parameter | None = None
        width = encoded.width
        if encoded.codes is not None:
            table = torch.empty(n_members * encoded.n_codes, spec.embedding).normal_(0, 0.5, generator=generator)
            self.embedding = nn.Parameter(table)
            width += encoded.codes.shape[1] * spec.embedding
        self.register_buffer("first_code", torch.arange(n_members)[:, None, None] * encoded.n_codes, persistent=False)
        self.stack = PackedPerceptron(n_members, (width, *hidden, encoded.n_outputs), generator, spec.dropout, self.generator) if width else None
        self.text = PackedText(n_members, encoded.n_terms, encoded.n_outputs, TEXT_GAIN if hidden else 1.0) if encoded.n_terms else None

    def first_layer_input(self, inputs: Batch) -> Tensor:
        """Concatenate numbers and embedded categories of (K, B) rows, (K, B, D)."""
        parts = [] if inputs.x is None else [inputs.x]
        if self.embedding is not None and inputs.codes is not None:
            embedded = embedding_rows(self.embedding, inputs.codes + self.first_code).flatten(2)
            parts.append(embedded.to(parts[0].dtype) if parts else embedded)
        return torch.cat(parts, 2) if len(parts) > 1 else parts[0]

    def features(self, inputs: Batch) -> Tensor:
        """Compute the input of the last layer, (K, B, D), for (K, B) rows."""
        assert self.stack is not None  # crack: narrows types only
        return self.stack.hidden_layers(self.first_layer_input(inputs))[-1]

    def forward(self, inputs: Batch) -> Tensor:
        """Compute the logits, (K, B, C) float32, of (K, B) rows."""
        outputs = [] if self.stack is None else [self.stack(self.first_layer_input(inputs))]
        if self.text is not None:
            outputs.append(self.text(inputs))
        return outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]

    @property
    def has_manual_backward(self) -> bool:
        """Whether `forward_with_gradient` covers the whole model, which spares the overhead of autograd."""
        return self.stack is not None and self.text is None

    @torch.no_grad()
    def forward_with_gradient(self, inputs: Batch) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Run `forward` without autograd.

        Args:
            inputs: (K, B) rows.

        Returns:
            (K, B, C) float32 logits; and a function that takes their gradient (K, B, C) and sets `grad` of all parameters.
        """
        assert self.stack is not None  # crack: narrows types only
        output, saved = self.stack.forward_layers(self.first_layer_input(inputs))
        return output, partial(self.set_gradients, inputs, saved)

    @torch.no_grad()
    def set_gradients(self, inputs: Batch, saved: list[Tensor], upstream: Tensor) -> None:
        """Run the backward pass and set `grad` of all parameters.

        Args:
            inputs: (K, B) rows.
            saved: by the forward pass of the stack.
            upstream: (K, B, C) float32, gradient with respect to the logits.
        """
        assert self.stack is not None  # crack: narrows types only
        self.stack.flat.grad, gradients = self.stack.gradient_buffer
        n_embedded = 0 if self.embedding is None or inputs.codes is None else inputs.codes.shape[2] * self.embedding.shape[1]
        gradient = self.stack.backward_layers(saved, upstream, gradients, n_embedded)
        if self.embedding is not None and inputs.codes is not None and gradient is not None:
            self.embedding.grad = embedding_gradient(self.embedding, inputs.codes + self.first_code, gradient.float())


def build(spec: ModelConfig, encoded: EncodedRows, n_members: int, generator: torch.Generator) -> nn.Module:
    """Build K packed perceptrons for `encoded`.

    Args:
        spec: `hidden`, `dropout`, `embedding`.
        encoded: shapes of the inputs and number of outputs.
        n_members: K.
        generator: source of the initial weights (CPU).
    """
    return PackedMLP(spec, encoded, n_members, spec.hidden, generator)
