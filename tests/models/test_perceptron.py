"""The packed perceptron's forward and backward by hand against autograd's."""

from __future__ import annotations

import pytest
import torch

from zcurate.models.mlp import Perceptron


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_gradients_are_those_of_autograd(n_members, n_layers):
    generator = torch.Generator().manual_seed(n_layers)
    sizes = [5, 6, 4, 3][: n_layers + 1]
    x = torch.randn(n_members, 7, 5, generator=generator, requires_grad=True)
    layers = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        layers += [torch.randn(n_members, a, b, generator=generator, requires_grad=True), torch.randn(n_members, 1, b, generator=generator, requires_grad=True)]
    h = x
    for at in range(0, len(layers), 2):
        h = torch.baddbmm(layers[at + 1], h if at == 0 else h.relu(), layers[at])
    upstream = torch.randn(h.shape, generator=generator)
    found = Perceptron.apply(x, *layers)
    torch.testing.assert_close(found, h)
    for mine, theirs in zip(torch.autograd.grad(found, [x, *layers], upstream), torch.autograd.grad(h, [x, *layers], upstream), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_in_bfloat16_it_differs_by_rounding_only():
    x, w, b, v, c = torch.randn(1, 64, 32), torch.randn(1, 32, 16), torch.randn(1, 1, 16), torch.randn(1, 16, 2), torch.zeros(1, 1, 2)
    wide, narrow = Perceptron.apply(x, w, b, v, c), Perceptron.apply(x.bfloat16(), w, b, v, c)
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow, wide, atol=0.2, rtol=0.05)
