"""The packed perceptron's forward and backward by hand against autograd's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from zcurate.training.models.packed import PackedPerceptron, relu_, relu_gradient_


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def perceptron(sizes=(4, 6, 5, 2), n_members=3, share=0.0):
    made = PackedPerceptron(n_members, sizes, torch.Generator(), share, torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.flat.normal_(generator=torch.Generator().manual_seed(1)).div_(4)
    return made


def layer_by_layer(stack, x):
    """The same layer by layer, as autograd would have it."""
    *hidden, (weight, bias) = list(zip(*[iter(stack.parts(stack.flat))] * 2, strict=True))
    for w, b in hidden:
        x = F.relu(x @ w.to(x.dtype) + b.to(x.dtype))
    return x.float() @ weight + bias


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("sizes", [(4, 2), (4, 6, 2), (4, 6, 5, 3)])
def test_forward_and_backward_by_hand_are_those_of_autograd(n_members, sizes):
    stack = perceptron(sizes, n_members)
    x = torch.randn(n_members, 7, 4, requires_grad=True)
    expected, found = layer_by_layer(stack, x), stack(x)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape)
    wanted = torch.autograd.grad(expected, (x, stack.flat), upstream)
    torch.testing.assert_close(torch.autograd.grad(found, (x, stack.flat), upstream), wanted)
    _, kept = stack.ahead(x)
    whole, parts = stack.slopes
    torch.testing.assert_close((stack.back(kept, upstream, parts, 4), whole), wanted)
    torch.testing.assert_close(stack.back(kept, upstream, parts, 3), wanted[0][..., 1:])
    assert stack.back(kept, upstream, parts, 0) is None


def test_in_bfloat16_the_gradient_is_near_that_of_float32():
    stack, x, upstream = perceptron((40, 64, 64, 2)), torch.randn(3, 50, 40), torch.randn(3, 50, 2)
    gradients = []
    for kind in (torch.float32, torch.bfloat16):
        output, kept = stack.ahead(x.to(kind))
        assert output.dtype == torch.float32
        stack.back(kept, upstream, stack.slopes[1], 0)
        gradients.append(stack.slopes[0].clone())
    torch.testing.assert_close(output, layer_by_layer(stack, x.bfloat16()), atol=0.1, rtol=0.02)
    assert F.cosine_similarity(*gradients, 0) > 0.99


def test_units_are_dropped_in_training_alone_and_learn_nothing():
    stack, x = perceptron(share=0.5), torch.randn(3, 9, 4)
    stack.eval()
    torch.testing.assert_close(stack(x), layer_by_layer(stack, x))
    stack.train()
    _, kept = stack.ahead(x)
    stack.back(kept, torch.randn(3, 9, 2), stack.slopes[1], 0)
    h, slopes = kept[4], stack.slopes[1]
    dropped = (h == 0).all(1)
    assert 0 < dropped.float().mean() < 1
    assert (slopes[3][:, 0][dropped] == 0).all()
    torch.testing.assert_close(kept[4][kept[4] > 0], 2 * F.relu(kept[2] @ kept[3] + stack.own[3])[kept[4] > 0])


def test_bits_of_bfloat16_are_rectified_as_numbers_are():
    h = torch.cat([torch.randn(1000), torch.tensor([0.0, -0.0, 1e-40, -1e-40, float("inf"), -float("inf")])]).bfloat16()
    slope = torch.randn(len(h)).bfloat16()
    out = relu_(h.clone())
    assert torch.equal(out, h.relu())
    expected = torch.where(out > 0, slope, 0)
    relu_gradient_(slope, out)
    assert torch.equal(slope, expected)
