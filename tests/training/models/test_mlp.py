"""The manual forward and backward passes of the packed perceptron agree with autograd."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from zcurate.training.models.packed import PackedPerceptron, relu_, relu_gradient_


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def perceptron(sizes=(4, 6, 5, 2), n_members=3, dropout=0.0):
    stack = PackedPerceptron(n_members, sizes, torch.Generator(), dropout, torch.Generator().manual_seed(0))
    with torch.no_grad():
        stack.flat.normal_(generator=torch.Generator().manual_seed(1)).div_(4)
    return stack


def layer_by_layer(stack, x):
    """Compute the output layer by layer with autograd."""
    *hidden, (weight, bias) = list(zip(*[iter(stack.views(stack.flat))] * 2, strict=True))
    for w, b in hidden:
        x = F.relu(x @ w.to(x.dtype) + b.to(x.dtype))
    return x.float() @ weight + bias


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("sizes", [(4, 2), (4, 6, 2), (4, 6, 5, 3)])
def test_manual_forward_and_backward_equal_autograd(n_members, sizes):
    stack = perceptron(sizes, n_members)
    x = torch.randn(n_members, 7, 4, requires_grad=True)
    expected, output = layer_by_layer(stack, x), stack(x)
    torch.testing.assert_close(output, expected)
    upstream = torch.randn(output.shape)
    gradients = torch.autograd.grad(expected, (x, stack.flat), upstream)
    torch.testing.assert_close(torch.autograd.grad(output, (x, stack.flat), upstream), gradients)
    _, saved = stack.forward_layers(x)
    flat, views = stack.gradient_buffer
    torch.testing.assert_close((stack.backward_layers(saved, upstream, views, 4), flat), gradients)
    torch.testing.assert_close(stack.backward_layers(saved, upstream, views, 3), gradients[0][..., 1:])
    assert stack.backward_layers(saved, upstream, views, 0) is None


def test_bfloat16_gradients_are_close_to_float32():
    stack, x, upstream = perceptron((40, 64, 64, 2)), torch.randn(3, 50, 40), torch.randn(3, 50, 2)
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        output, saved = stack.forward_layers(x.to(dtype))
        assert output.dtype == torch.float32
        stack.backward_layers(saved, upstream, stack.gradient_buffer[1], 0)
        gradients.append(stack.gradient_buffer[0].clone())
    torch.testing.assert_close(output, layer_by_layer(stack, x.bfloat16()), atol=0.1, rtol=0.02)
    assert F.cosine_similarity(*gradients, 0) > 0.99


def test_dropout_is_applied_in_training_only_and_dropped_units_get_no_gradient():
    stack, x = perceptron(dropout=0.5), torch.randn(3, 9, 4)
    stack.eval()
    torch.testing.assert_close(stack(x), layer_by_layer(stack, x))
    stack.train()
    _, saved = stack.forward_layers(x)
    gradients = stack.gradient_buffer[1]
    stack.backward_layers(saved, torch.randn(3, 9, 2), gradients, 0)
    h = saved[4]
    dropped = (h == 0).all(1)
    assert 0 < dropped.float().mean() < 1
    assert (gradients[3][:, 0][dropped] == 0).all()
    torch.testing.assert_close(h[h > 0], 2 * F.relu(saved[2] @ saved[3] + stack.weights[3])[h > 0])


def test_bfloat16_relu_on_bits_equals_relu_on_numbers():
    h = torch.cat([torch.randn(1000), torch.tensor([0.0, -0.0, 1e-40, -1e-40, float("inf"), -float("inf")])]).bfloat16()
    gradient = torch.randn(len(h)).bfloat16()
    out = relu_(h.clone())
    assert torch.equal(out, h.relu())
    expected = torch.where(out > 0, gradient, 0)
    relu_gradient_(gradient, out)
    assert torch.equal(gradient, expected)
