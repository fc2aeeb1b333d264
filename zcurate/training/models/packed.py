"""Layers of K packed members, with manual backward passes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zcurate.encoding.encoded import Batch


def packed_product(a: Tensor, b: Tensor, plus: Tensor | None = None) -> Tensor:
    """(K, n, m) times (K, m, p), plus (K, 1, p): one member as a plain matrix product, which is faster than a batch of one."""
    if len(a) == 1:
        return (torch.mm(a[0], b[0]) if plus is None else torch.addmm(plus[0], a[0], b[0]))[None]
    return torch.bmm(a, b) if plus is None else torch.baddbmm(plus, a, b)


def packed_product_into(into: Tensor, a: Tensor, b: Tensor) -> None:
    """Write a product where it is kept.

    Args:
        into: (K, n, p), written to; of another dtype the product is taken first.
        a: (K, n, m).
        b: (K, m, p).
    """
    if into.dtype != a.dtype:
        into.copy_(packed_product(a, b))
    elif len(a) == 1:
        torch.mm(a[0], b[0], out=into[0])
    else:
        torch.bmm(a, b, out=into)


def dropout(h: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Drop a share of the units and scale up the rest, drawing from a generator of our own.

    Args:
        h: any shape.
        share: of the units, in [0, 1).
        generator: on the device of `h`.
    """
    return h * torch.empty_like(h).bernoulli_(1 - share, generator=generator).div_(1 - share)


def relu_(h: Tensor) -> Tensor:
    """ReLU in place. bfloat16 by its bits, which are in order about zero as whole numbers are: a quarter of the time on a CPU."""
    (h.view(torch.int16) if h.dtype == torch.bfloat16 else h).clamp_min_(0)
    return h


def relu_gradient_(slope: Tensor, h: Tensor) -> None:
    """Gradient behind a ReLU, in place: 0 where it let nothing through.

    Args:
        slope: of what came out, written to.
        h: what came out, 0 or more; of the same dtype.
    """
    if h.dtype == torch.bfloat16:
        slope.view(torch.int16).mul_(h.view(torch.int16).sign())
    else:
        torch.ops.aten.threshold_backward.grad_input(slope, h, 0, grad_input=slope)


class PackedPerceptron(nn.Module):
    """K stacks of linear layers with ReLU between them and none after the last, forward and backward by hand.

    All weights lie in one parameter, which is cast and moved in one go; the ReLU's mask is its own output; products of one member are plain
    matrix products. The last layer is taken in float32, and its products the way round in which few outputs are fast: the output's classes lie apart.
    """

    def __init__(self, n_members: int, sizes: Sequence[int], generator: torch.Generator, share: float, drops: torch.Generator) -> None:
        """Weights drawn and biases of zero.

        Args:
            n_members: K.
            sizes: n_0 to n_L, widths from input to output.
            generator: source of the weights (CPU).
            share: of the hidden units dropped while training.
            drops: source of which.
        """
        super().__init__()
        self.share, self.drops = share, drops
        parts = []
        for at, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            gain = 0.3 if at == len(sizes) - 2 else math.sqrt(2)
            bound = gain * math.sqrt(3.0 / max(1, n_in))
            parts += [torch.empty(n_members, n_in, n_out).uniform_(-bound, bound, generator=generator), torch.zeros(n_members, 1, n_out)]
        self.shapes = [part.shape for part in parts]
        self.flat = nn.Parameter(torch.cat([part.reshape(-1) for part in parts]))
        """Weight (K, n_in, n_out) and bias (K, 1, n_out) of each layer, one after another."""

    def parts(self, flat: Tensor) -> list[Tensor]:
        """Weight and bias of each layer as views of something that lies as `flat` does."""
        return [part.view(shape) for part, shape in zip(flat.split([shape.numel() for shape in self.shapes]), self.shapes, strict=True)]

    # Made at first use, when the parameter is where it stays: taking views anew would cost as much as some of what is done with them.

    @cached_property
    def own(self) -> list[Tensor]:
        """The parts of `flat`."""
        return self.parts(self.flat.detach())

    @cached_property
    def low(self) -> tuple[Tensor, list[Tensor]]:
        """Room for `flat` in bfloat16, and its parts."""
        whole = self.flat.detach().to(torch.bfloat16)
        return whole, self.parts(whole)

    @cached_property
    def slopes(self) -> tuple[Tensor, list[Tensor]]:
        """Room for the gradient of `flat`, and its parts."""
        whole = torch.empty_like(self.flat)
        return whole, self.parts(whole)

    @torch.no_grad()
    def hidden(self, x: Tensor) -> list[Tensor]:
        """`x` (K, B, n_0), then of each layer but the last its weight and what comes out of it, in the dtype of `x`."""
        weights = self.own
        if x.dtype == torch.bfloat16:
            low, weights = self.low
            low.copy_(self.flat)
        found = [x]
        for at in range(0, len(weights) - 2, 2):
            h = relu_(packed_product(found[-1], weights[at], weights[at + 1]))
            found += [weights[at], dropout(h, self.share, self.drops) if self.training and self.share else h]
        return found

    @torch.no_grad()
    def ahead(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(K, B, n_0) to (K, B, n_L) float32; and what `back` needs, which holds until the next call.

        Args:
            x: float32 or bfloat16, the dtype of the products.
        """
        found = self.hidden(x)
        last, wide = self.own[-2].mT.contiguous(), found[-1].float()
        return packed_product(last, wide.mT, self.own[-1].mT).mT, [*found, wide, last]

    @torch.no_grad()
    def back(self, found: Sequence[Tensor], upstream: Tensor, into: list[Tensor], of_x: int) -> Tensor | None:
        """Gradients.

        Args:
            found: by `ahead`.
            upstream: (K, B, n_L) float32, the gradient of its output.
            into: room for those of the parts of `flat`, float32, written to.
            of_x: of how many columns of `x`, its last, it is wanted too.

        Returns:
            (K, B, of_x) in the dtype of `x`, or None for no column.
        """
        *kept, h, wide, last = found
        into[-1].copy_(upstream.sum(1, keepdim=True))
        into[-2].copy_(packed_product(upstream.mT, wide).mT)
        slope = packed_product(upstream, last).to(h.dtype) if kept or of_x else None
        for at in range(len(kept) - 2, -2, -2):
            before, weight = kept[at], kept[at + 1]
            assert slope is not None  # crack: narrows types only
            relu_gradient_(slope, h)
            slope = slope.div_(1 - self.share) if self.share else slope
            into[at + 1].copy_(slope.sum(1, keepdim=True))
            packed_product_into(into[at], before.mT, slope)
            if at or of_x:
                slope = packed_product(slope, (weight if at else weight[:, -of_x:]).mT)
            h = before
        return slope[..., -of_x:] if slope is not None and of_x else None

    def forward(self, x: Tensor) -> Tensor:
        """`ahead` as autograd knows it, which makes more small operations of the same."""
        output: Tensor = PerceptronFunction.apply(x, self.flat, self)  # type: ignore[no-untyped-call]
        return output


class PerceptronFunction(torch.autograd.Function):
    """A perceptron as a step of autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, flat: Tensor, of: PackedPerceptron) -> Tensor:
        """(K, B, n_0) to (K, B, n_L) float32.

        Args:
            ctx: keeps what `of` needs to go back.
            x: as for `of`.
            flat: of `of`, for autograd to see.
            of: the perceptron.
        """
        output, found = of.ahead(x)
        ctx.of = of
        ctx.save_for_backward(*found)
        return output

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor, None]:
        """Gradients of `x` where it is wanted, and of `flat`."""
        whole = torch.empty_like(ctx.of.flat)
        return ctx.of.back(ctx.saved_tensors, upstream, ctx.of.parts(whole), ctx.of.shapes[0][1] if ctx.needs_input_grad[0] else 0), whole, None


def embedding_rows(table: Tensor, at: Tensor) -> Tensor:
    """Rows of an (n, D) table as an embedding's: (..., D). On the CPU the gradient of a plain selection takes a quarter of the time, and is the same."""
    if table.is_cuda:
        return F.embedding(at, table)
    return table.index_select(0, at.reshape(-1)).view(*at.shape, -1)


def embedding_gradient(table: Tensor, at: Tensor, slope: Tensor) -> Tensor:
    """Gradient of a table's rows, (n, D), from that of what `looked_up` found there.

    Args:
        table: (n, D).
        at: (K, B, Q) int64.
        slope: (K, B, Q x D) float32.
    """
    rows = slope.reshape(at.numel(), -1)
    if table.is_cuda:
        return torch.ops.aten.embedding_dense_backward(rows, at.reshape(-1), len(table), -1, False)
    return torch.zeros_like(table).index_add_(0, at.reshape(-1), rows)


class PackedText(nn.Module):
    """K linear models on TF-IDF rows, as one sparse bag product."""

    def __init__(self, n_members: int, n_terms: int, n_out: int, gain: float) -> None:
        super().__init__()
        self.n_members, self.n_terms, self.gain = n_members, n_terms, gain
        self.weight = nn.Parameter(torch.zeros(n_members * n_terms, n_out))

    def forward(self, inputs: Batch) -> Tensor:
        """The texts of K * B rows to (K, B, n_out)."""
        assert inputs.term is not None and inputs.term_start is not None and inputs.term_weight is not None  # crack: narrows types only
        start = inputs.term_start
        n_rows = len(start) // self.n_members
        edges = torch.cat([start[::n_rows], start.new_full((1,), len(inputs.term))])
        member = torch.repeat_interleave(torch.arange(self.n_members, device=start.device), edges.diff(), output_size=len(inputs.term))
        out = F.embedding_bag(inputs.term + member * self.n_terms, self.weight, start, mode="sum", per_sample_weights=inputs.term_weight)
        return self.gain * out.view(self.n_members, n_rows, -1)
