"""Packed perceptrons: K small networks side by side as one batched product per layer.

Sees numbers as piecewise-linear bins, categories as embeddings, and adds a linear term on TF-IDF text. Weak on data whose classes
differ only in a long interaction of many columns; strong and fast elsewhere.
Sources: packing as in TabM (arXiv:2410.24210); encoding arXiv:2203.05556.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zcurate.encode import Encoded, Inputs
from zcurate.spec import ModelSpec

TEXT_GAIN = 4.0
"""Texts beside a perceptron learn this much faster than it does: with 1 / 4 / 8 and a column of noise beside the text, average
precision on the tuning sets of the bench was .469 / .478 / .473 (sentence_polarity_rand) and .864 / .943 / .936 (sms_spam_asym10)."""


def product(a: Tensor, b: Tensor, plus: Tensor | None = None) -> Tensor:
    """(K, n, m) times (K, m, p), plus (K, 1, p): one member as a plain matrix product, which is faster than a batch of one."""
    if len(a) == 1:
        return (torch.mm(a[0], b[0]) if plus is None else torch.addmm(plus[0], a[0], b[0]))[None]
    return torch.bmm(a, b) if plus is None else torch.baddbmm(plus, a, b)


class PackedLinear(nn.Module):
    """K linear layers of one shape."""

    def __init__(self, n_members: int, n_in: int, n_out: int, generator: torch.Generator, gain: float = 1.0) -> None:
        super().__init__()
        bound = gain * math.sqrt(3.0 / max(1, n_in))
        weight = torch.empty(n_members, n_in, n_out).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, n_in) to (K, B, n_out), in the dtype of `x`."""
        return product(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class Perceptron(torch.autograd.Function):
    """K stacks of linear layers with ReLU between them, forward and backward by hand.

    Half of the small operations that autograd would make of it: each weight is cast once, the ReLU's mask is its own output, products
    of one member are plain matrix products. The last layer is taken in float32, and lies the way round in which thin products are fast.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *layers: Tensor) -> Tensor:
        """(K, B, n_0) to (K, B, n_L) float32, no ReLU after the last.

        Args:
            ctx: keeps inputs, activations and cast weights.
            x: (K, B, n_0) in the dtype of the products.
            layers: weight (K, n_in, n_out) and bias (K, 1, n_out) of each layer, float32.
        """
        h, kept = x, []
        for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            cast = weight.to(x.dtype)
            kept += [h, cast]
            h = product(h, cast, bias.to(x.dtype)).relu_()
        last = layers[-2].mT.contiguous()
        wide = h.float()
        ctx.save_for_backward(*kept, h, wide, last)
        return product(wide, last.mT, layers[-1])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of `x` where it is wanted, and of the layers, float32."""
        *kept, h, wide, last = ctx.saved_tensors
        found: list[Tensor | None] = [upstream.sum(1, keepdim=True), product(upstream.mT, wide).mT]
        wanted = bool(kept) or ctx.needs_input_grad[0]
        slope = product(upstream, last).to(h.dtype) if wanted else None
        for at in range(len(kept) - 2, -2, -2):
            before, weight = kept[at], kept[at + 1]
            slope = torch.ops.aten.threshold_backward(slope, h, 0)
            found += [slope.sum(1, keepdim=True).float(), product(before.mT, slope).float()]
            wanted = at > 0 or ctx.needs_input_grad[0]
            slope, h = product(slope, weight.mT) if wanted else None, before
        return (slope, *reversed(found))


def looked_up(table: Tensor, at: Tensor) -> Tensor:
    """Rows of an (n, D) table as an embedding's: (..., D). On the CPU the gradient of a plain selection takes a quarter of the time, and is the same."""
    if table.is_cuda:
        return F.embedding(at, table)
    return table.index_select(0, at.reshape(-1)).view(*at.shape, -1)


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

    first_code: Tensor
    """(K, 1, 1) int64, where each member's embeddings begin."""

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
        self.register_buffer("first_code", torch.arange(n_members)[:, None, None] * encoded.n_codes, persistent=False)
        sizes = (width, *hidden)
        self.layers = nn.ModuleList(PackedLinear(n_members, a, b, generator, math.sqrt(2)) for a, b in zip(sizes, sizes[1:], strict=False))
        self.head = PackedLinear(n_members, sizes[-1], encoded.n_outputs, generator, 0.3) if width else None
        self.text = PackedText(n_members, encoded.n_terms, encoded.n_outputs, TEXT_GAIN if hidden else 1.0) if encoded.n_terms else None

    def seen(self, inputs: Inputs) -> Tensor:
        """Inputs of (K, B) rows to (K, B, D): what the first layer sees."""
        parts = [] if inputs.x is None else [inputs.x]
        if self.embedding is not None and inputs.codes is not None:
            wide = looked_up(self.embedding, inputs.codes + self.first_code).flatten(2)
            parts.append(wide.to(parts[0].dtype) if parts else wide)
        return torch.cat(parts, 2) if len(parts) > 1 else parts[0]

    def features(self, inputs: Inputs) -> Tensor:
        """Inputs of (K, B) rows to (K, B, D): what the head sees."""
        h = self.seen(inputs)
        for layer in self.layers:
            h = torch.relu_(layer(h))
            h = dropout(h, self.dropout, self.generator) if self.training and self.dropout else h
        return h

    def forward(self, inputs: Inputs) -> Tensor:
        """Inputs of (K, B) rows to (K, B, C) logits, float32."""
        outputs = []
        if self.head is not None and self.dropout:
            outputs.append(self.head(self.features(inputs).float()))
        elif self.head is not None:
            layers = [part for layer in (*self.layers, self.head) for part in (layer.weight, layer.bias)]
            outputs.append(Perceptron.apply(self.seen(inputs), *layers))  # type: ignore[no-untyped-call]
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
