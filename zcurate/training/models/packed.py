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


def packed_product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply (K, n, m) by (K, m, p) and add a bias (K, 1, p).

    One member is multiplied as plain matrices, which is faster than a batch of one.
    """
    if len(a) == 1:
        return (torch.mm(a[0], b[0]) if bias is None else torch.addmm(bias[0], a[0], b[0]))[None]
    return torch.bmm(a, b) if bias is None else torch.baddbmm(bias, a, b)


def packed_product_into(out: Tensor, a: Tensor, b: Tensor) -> None:
    """Write a packed product into an existing tensor.

    Args:
        out: (K, n, p), written to; if its dtype differs from that of `a`, the product is computed first and then cast.
        a: (K, n, m).
        b: (K, m, p).
    """
    if out.dtype != a.dtype:
        out.copy_(packed_product(a, b))
    elif len(a) == 1:
        torch.mm(a[0], b[0], out=out[0])
    else:
        torch.bmm(a, b, out=out)


def dropout(h: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Apply dropout with an explicit generator.

    Args:
        h: any shape.
        probability: of dropping a unit, in [0, 1).
        generator: on the device of `h`.
    """
    return h * torch.empty_like(h).bernoulli_(1 - probability, generator=generator).div_(1 - probability)


def relu_(h: Tensor) -> Tensor:
    """Apply ReLU in place.

    bfloat16 is clamped by its bits read as int16, whose sign is that of the number: a quarter of the time on a CPU.
    """
    (h.view(torch.int16) if h.dtype == torch.bfloat16 else h).clamp_min_(0)
    return h


def relu_gradient_(gradient: Tensor, h: Tensor) -> None:
    """Backpropagate through a ReLU in place: set the gradient to 0 where the output is 0.

    Args:
        gradient: with respect to the ReLU's output, written to.
        h: the ReLU's output, >= 0; of the same dtype.
    """
    if h.dtype == torch.bfloat16:
        gradient.view(torch.int16).mul_(h.view(torch.int16).sign())
    else:
        torch.ops.aten.threshold_backward.grad_input(gradient, h, 0, grad_input=gradient)


class PackedPerceptron(nn.Module):
    """K multilayer perceptrons with ReLU, with manual forward and backward passes.

    All weights lie in one parameter, which is cast and updated in one operation; the ReLU's mask is its own output; products of one member
    are plain matrix products. The last layer is computed in float32 and transposed, which is fast for few outputs: the values of one output
    are contiguous.
    """

    def __init__(self, n_members: int, sizes: Sequence[int], generator: torch.Generator, dropout: float, dropout_generator: torch.Generator) -> None:
        """Draw the weights; biases are 0.

        Args:
            n_members: K.
            sizes: n_0 to n_L, widths from input to output.
            generator: source of the weights (CPU).
            dropout: probability of dropping a hidden unit in training.
            dropout_generator: source of the dropout masks.
        """
        super().__init__()
        self.dropout, self.dropout_generator = dropout, dropout_generator
        tensors = []
        for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            gain = 0.3 if layer == len(sizes) - 2 else math.sqrt(2)
            bound = gain * math.sqrt(3.0 / max(1, n_in))
            tensors += [torch.empty(n_members, n_in, n_out).uniform_(-bound, bound, generator=generator), torch.zeros(n_members, 1, n_out)]
        self.shapes = [one.shape for one in tensors]
        self.flat = nn.Parameter(torch.cat([one.reshape(-1) for one in tensors]))
        """Weight (K, n_in, n_out) and bias (K, 1, n_out) of each layer, one after another."""

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return weight and bias of each layer as views of a tensor with the layout of `flat`."""
        return [part.view(shape) for part, shape in zip(flat.split([shape.numel() for shape in self.shapes]), self.shapes, strict=True)]

    # Cached at first use, when the parameter is on its final device: creating the views anew would cost as much as some of the products.

    @cached_property
    def weights(self) -> list[Tensor]:
        """Views of `flat`."""
        return self.views(self.flat.detach())

    @cached_property
    def bfloat16_buffer(self) -> tuple[Tensor, list[Tensor]]:
        """Buffer for a bfloat16 copy of `flat`, and its views."""
        flat = self.flat.detach().to(torch.bfloat16)
        return flat, self.views(flat)

    @cached_property
    def gradient_buffer(self) -> tuple[Tensor, list[Tensor]]:
        """Buffer for the gradient of `flat`, and its views."""
        flat = torch.empty_like(self.flat)
        return flat, self.views(flat)

    @torch.no_grad()
    def hidden_layers(self, x: Tensor) -> list[Tensor]:
        """Compute all layers but the last.

        Args:
            x: (K, B, n_0) float32 or bfloat16, the dtype of the products.

        Returns:
            `x`, then weight and output of each hidden layer, in the dtype of `x`.
        """
        weights = self.weights
        if x.dtype == torch.bfloat16:
            flat, weights = self.bfloat16_buffer
            flat.copy_(self.flat)
        saved = [x]
        for at in range(0, len(weights) - 2, 2):
            h = relu_(packed_product(saved[-1], weights[at], weights[at + 1]))
            saved += [weights[at], dropout(h, self.dropout, self.dropout_generator) if self.training and self.dropout else h]
        return saved

    @torch.no_grad()
    def forward_layers(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run the forward pass.

        Args:
            x: (K, B, n_0) float32 or bfloat16, the dtype of the hidden layers' products.

        Returns:
            (K, B, n_L) float32; and the tensors that `backward_layers` needs, valid until the next call.
        """
        saved = self.hidden_layers(x)
        last_weight, last_input = self.weights[-2].mT.contiguous(), saved[-1].float()
        return packed_product(last_weight, last_input.mT, self.weights[-1].mT).mT, [*saved, last_input, last_weight]

    @torch.no_grad()
    def backward_layers(self, saved: Sequence[Tensor], upstream: Tensor, gradients: list[Tensor], n_columns: int) -> Tensor | None:
        """Run the backward pass.

        Args:
            saved: by `forward_layers`.
            upstream: (K, B, n_L) float32, gradient with respect to the output.
            gradients: float32 views as from `views`, overwritten with the gradients of the weights.
            n_columns: number of last columns of `x` whose gradient is needed too.

        Returns:
            (K, B, n_columns) gradient with respect to those columns, in the dtype of `x`; None for no column.
        """
        *layers, h, last_input, last_weight = saved
        gradients[-1].copy_(upstream.sum(1, keepdim=True))
        gradients[-2].copy_(packed_product(upstream.mT, last_input).mT)
        gradient = packed_product(upstream, last_weight).to(h.dtype) if layers or n_columns else None
        for at in range(len(layers) - 2, -2, -2):
            layer_input, weight = layers[at], layers[at + 1]
            assert gradient is not None  # crack: narrows types only
            relu_gradient_(gradient, h)
            gradient = gradient.div_(1 - self.dropout) if self.dropout else gradient
            gradients[at + 1].copy_(gradient.sum(1, keepdim=True))
            packed_product_into(gradients[at], layer_input.mT, gradient)
            if at or n_columns:
                gradient = packed_product(gradient, (weight if at else weight[:, -n_columns:]).mT)
            h = layer_input
        return gradient[..., -n_columns:] if gradient is not None and n_columns else None

    def forward(self, x: Tensor) -> Tensor:
        """Run `forward_layers` as an autograd operation.

        It launches more small kernels than the manual passes.
        """
        output: Tensor = PerceptronFunction.apply(x, self.flat, self)  # type: ignore[no-untyped-call]
        return output


class PerceptronFunction(torch.autograd.Function):
    """A packed perceptron as an autograd operation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, flat: Tensor, perceptron: PackedPerceptron) -> Tensor:
        """Map (K, B, n_0) to (K, B, n_L) float32.

        Args:
            ctx: autograd context, stores the tensors for the backward pass.
            x: as for `perceptron`.
            flat: the parameter of `perceptron`, so that autograd tracks it.
            perceptron: does the work.
        """
        output, saved = perceptron.forward_layers(x)
        ctx.perceptron = perceptron
        ctx.save_for_backward(*saved)
        return output

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor, None]:
        """Compute the gradients of `flat`, and of `x` where it is needed."""
        perceptron = ctx.perceptron
        flat = torch.empty_like(perceptron.flat)
        n_columns = perceptron.shapes[0][1] if ctx.needs_input_grad[0] else 0
        return perceptron.backward_layers(ctx.saved_tensors, upstream, perceptron.views(flat), n_columns), flat, None


def embedding_rows(table: Tensor, codes: Tensor) -> Tensor:
    """Look up rows of an (n, D) embedding table, (..., D).

    On the CPU `index_select` is used: its gradient is the same and takes a quarter of the time.
    """
    if table.is_cuda:
        return F.embedding(codes, table)
    return table.index_select(0, codes.reshape(-1)).view(*codes.shape, table.shape[1])


def embedding_gradient(table: Tensor, codes: Tensor, upstream: Tensor) -> Tensor:
    """Compute the gradient of an embedding table, (n, D), from that of the rows looked up.

    Args:
        table: (n, D).
        codes: (K, B, Q) int64.
        upstream: (K, B, Q x D) float32.
    """
    rows = upstream.reshape(codes.numel(), table.shape[1])
    if table.is_cuda:
        return torch.ops.aten.embedding_dense_backward(rows, codes.reshape(-1), len(table), -1, False)
    return torch.zeros_like(table).index_add_(0, codes.reshape(-1), rows)


class PackedText(nn.Module):
    """K linear models on TF-IDF rows, as one sparse bag product."""

    def __init__(self, n_members: int, n_terms: int, n_out: int, gain: float) -> None:
        super().__init__()
        self.n_members, self.n_terms, self.gain = n_members, n_terms, gain
        self.weight = nn.Parameter(torch.zeros(n_members * n_terms, n_out))

    def forward(self, inputs: Batch) -> Tensor:
        """Map the texts of K * B rows to (K, B, n_out)."""
        assert inputs.term is not None and inputs.term_start is not None and inputs.term_weight is not None  # crack: narrows types only
        start = inputs.term_start
        n_rows = len(start) // self.n_members
        edges = torch.cat([start[::n_rows], start.new_full((1,), len(inputs.term))])
        member = torch.repeat_interleave(torch.arange(self.n_members, device=start.device), edges.diff(), output_size=len(inputs.term))
        out = F.embedding_bag(inputs.term + member * self.n_terms, self.weight, start, mode="sum", per_sample_weights=inputs.term_weight)
        return self.gain * out.view(self.n_members, n_rows, -1)
