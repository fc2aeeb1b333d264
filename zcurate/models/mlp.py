"""Packed perceptrons: K small networks side by side as one batched product per layer.

Sees numbers as piecewise-linear bins, categories as embeddings, and adds a linear term on TF-IDF text. Weak on data whose classes
differ only in a long interaction of many columns; strong and fast elsewhere.
Sources: packing as in TabM (arXiv:2410.24210); encoding arXiv:2203.05556.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zcurate.encode import Encoded, Inputs
from zcurate.spec import ModelSpec

TEXT_GAIN = 4.0
"""Texts beside a perceptron learn this much faster than it does: with 1 / 4 / 8 and a column of noise beside the text, average
precision on the tuning sets of the bench was .469 / .478 / .473 (sentence_polarity_rand) and .864 / .943 / .936 (sms_spam_asym10)."""


class PackedLinear(nn.Module):
    """K linear layers of one shape."""

    def __init__(self, n_members: int, n_in: int, n_out: int, generator: torch.Generator, gain: float = 1.0) -> None:
        super().__init__()
        bound = gain * math.sqrt(3.0 / max(1, n_in))
        weight = torch.empty(n_members, n_in, n_out).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, n_in) to (K, B, n_out)."""
        return torch.baddbmm(self.bias, x, self.weight)


class PackedText(nn.Module):
    """K linear models on TF-IDF rows, as one sparse bag product."""

    def __init__(self, n_members: int, n_terms: int, n_out: int, gain: float) -> None:
        super().__init__()
        self.n_members, self.n_terms, self.gain = n_members, n_terms, gain
        self.weight = nn.Parameter(torch.zeros(n_members * n_terms, n_out))

    def forward(self, inputs: Inputs) -> Tensor:
        """The texts of K * B rows to (K, B, n_out)."""
        assert inputs.term is not None and inputs.term_start is not None and inputs.term_weight is not None  # crack: narrows types only
        start = inputs.term_start
        n_rows = len(start) // self.n_members
        edges = torch.cat([start[::n_rows], start.new_full((1,), len(inputs.term))])
        member = torch.repeat_interleave(torch.arange(self.n_members, device=start.device), edges.diff(), output_size=len(inputs.term))
        out = F.embedding_bag(inputs.term + member * self.n_terms, self.weight, start, mode="sum", per_sample_weights=inputs.term_weight)
        return self.gain * out.view(self.n_members, n_rows, -1)


def dropout(h: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Drop a share of the units and scale up the rest, drawing from a generator of our own.

    Args:
        h: any shape.
        share: of the units, in [0, 1).
        generator: on the device of `h`.
    """
    return h * torch.empty_like(h).bernoulli_(1 - share, generator=generator).div_(1 - share)


class PackedMLP(nn.Module):
    """K perceptrons; with no hidden width, K linear models."""

    def __init__(self, spec: ModelSpec, encoded: Encoded, n_members: int, hidden: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.dropout = spec.dropout
        self.generator = torch.Generator(device=encoded.device).manual_seed(generator.initial_seed())
        self.embedding: nn.Parameter | None = None
        width = encoded.width
        if encoded.codes is not None:
            table = torch.empty(n_members * encoded.n_codes, spec.embedding).normal_(0, 0.5, generator=generator)
            self.embedding = nn.Parameter(table)
            width += encoded.codes.shape[1] * spec.embedding
        self.n_codes, self.n_members = encoded.n_codes, n_members
        sizes = (width, *hidden)
        self.layers = nn.ModuleList(PackedLinear(n_members, a, b, generator, math.sqrt(2)) for a, b in zip(sizes, sizes[1:], strict=False))
        self.head = PackedLinear(n_members, sizes[-1], encoded.n_outputs, generator, 0.3) if width else None
        self.text = PackedText(n_members, encoded.n_terms, encoded.n_outputs, TEXT_GAIN if hidden else 1.0) if encoded.n_terms else None

    def features(self, inputs: Inputs) -> Tensor:
        """Inputs of (K, B) rows to (K, B, D): what the head sees."""
        parts = [] if inputs.x is None else [inputs.x]
        if self.embedding is not None and inputs.codes is not None:
            offset = torch.arange(self.n_members, device=inputs.codes.device)[:, None, None] * self.n_codes
            parts.append(F.embedding(inputs.codes + offset, self.embedding).flatten(2))
        h = torch.cat(parts, 2) if len(parts) > 1 else parts[0]
        for layer in self.layers:
            h = F.relu(layer(h))
            h = dropout(h, self.dropout, self.generator) if self.training and self.dropout else h
        return h

    def forward(self, inputs: Inputs) -> Tensor:
        """Inputs of (K, B) rows to (K, B, C) logits."""
        outputs = [] if self.head is None else [self.head(self.features(inputs))]
        if self.text is not None:
            outputs.append(self.text(inputs))
        return outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]


def build(spec: ModelSpec, encoded: Encoded, n_members: int, generator: torch.Generator) -> nn.Module:
    """K packed perceptrons for `encoded`.

    Args:
        spec: `hidden`, `dropout`, `embedding`.
        encoded: shapes of the inputs and number of outputs.
        n_members: K.
        generator: source of the initial weights (CPU).
    """
    return PackedMLP(spec, encoded, n_members, spec.hidden, generator)
