"""Requirements on every model: output shape, gradients, and weights determined by the seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.errors import UsageError
from zcurate.plugins import MODELS
from zcurate.runtime.user_code import load_function
from zcurate.training.models import builder
from zcurate.training.models.packed import dropout


def table(n=20):
    rng = np.random.default_rng(0)
    start = torch.arange(n + 1) * 3
    return EncodedRows(
        torch.arange(n) % 3, np.arange(n), np.arange(n), 3,
        dense=torch.from_numpy(rng.normal(size=(n, 4)).astype(np.float32)),
        codes=torch.from_numpy(rng.integers(0, 5, (n, 2))), n_codes=5,
        term=torch.from_numpy(rng.integers(0, 11, 3 * n)), term_start=start, term_weight=torch.rand(3 * n), n_terms=11,
    )  # fmt: skip


def pictures(n=20, channels=1):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (n, channels, 12, 12)).astype(np.uint8))
    return EncodedRows(torch.arange(n) % 3, np.arange(n), np.arange(n), 3, images=images)


def built(name, seed=0):
    encoded = pictures() if name == "resnet" else table()
    n_members = 1 if name == "resnet" else 2
    spec = ModelConfig(name=name, hidden=(16, 16) if name == "resnet" else (8,))
    ids = torch.tensor([[0, 5, 7]] * n_members)
    return builder(name)(spec, encoded, n_members, torch.Generator().manual_seed(seed)), encoded.inputs(ids), n_members


@pytest.mark.parametrize("name", MODELS)
def test_a_model_returns_logits_per_member_and_row(name):
    model, inputs, n_members = built(name)
    assert model(inputs).shape == (n_members, 3, 3)


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_gets_a_gradient(name):
    model, inputs, n_members = built(name)
    F.cross_entropy(model(inputs).flatten(0, 1), torch.arange(3 * n_members) % 3).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_alone_determines_every_weight(name):
    first, _, _ = built(name)
    torch.rand(5)
    second, _, _ = built(name)
    for (key, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_manual_gradients_equal_autograd(dtype):
    encoded = dataclasses.replace(table(), term=None, term_start=None, term_weight=None, n_terms=0, dtype=dtype)
    model = builder("mlp")(ModelConfig(hidden=(8,)), encoded, 2, torch.Generator().manual_seed(0))
    inputs, upstream = encoded.inputs(torch.tensor([[0, 5, 7], [1, 5, 5]])), torch.randn(2, 3, 3)
    model(inputs).backward(upstream)
    expected = [parameter.grad for parameter in model.parameters()]
    assert model.has_manual_backward
    output, set_gradients = model.forward_with_gradient(inputs)
    assert torch.equal(output, model(inputs).detach())
    set_gradients(upstream)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_members_are_independent():
    model, inputs, _ = built("mlp")
    model(inputs)[0].sum().backward()
    assert all((part[1] == 0).all() and (part[0] != 0).any() for part in model.stack.views(model.stack.flat.grad))
    for parameter in (model.embedding, model.text.weight):
        assert (parameter.grad.view(2, -1)[1] == 0).all()


def test_the_text_term_is_the_weighted_sum_of_its_terms():
    model, inputs, _ = built("linear")
    with torch.no_grad():
        model.text.weight.normal_(generator=torch.Generator().manual_seed(1))
    encoded = table()
    out = model.text(inputs)
    weight = model.text.weight.view(2, 11, 3)
    for member in range(2):
        for at, row in enumerate((0, 5, 7)):
            low = int(encoded.term_start[row])
            expected = (
                weight[member][inputs.term[(member * 3 + at) * 3 : (member * 3 + at) * 3 + 3]]
                * inputs.term_weight[(member * 3 + at) * 3 : (member * 3 + at) * 3 + 3, None]
            ).sum(0)
            torch.testing.assert_close(out[member, at], expected)
            assert inputs.term[(member * 3 + at) * 3] == encoded.term[low]


def test_dropout_keeps_the_mean_and_follows_its_generator():
    h = torch.ones(100_000)
    a, b = (dropout(h, 0.3, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.mean().item() == pytest.approx(1.0, abs=0.02)
    assert (a == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_images_are_accepted(channels):
    encoded = pictures(channels=channels)
    model = builder("resnet")(ModelConfig(hidden=(16, 16)), encoded, 1, torch.Generator().manual_seed(0))
    assert model(encoded.inputs(torch.tensor([[0, 1]]))).shape == (1, 2, 3)


def test_a_missing_function_is_refused_with_the_nearest_name(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("def network(shape, n_outputs):\n    return None\n")
    with pytest.raises(UsageError, match=r"no function 'netwrk' .* did you mean network\?"):
        load_function(f"{path}:netwrk", "--model")


def test_a_file_that_fails_to_run_is_refused_with_the_error(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("import nothing_like_this\n")
    with pytest.raises(UsageError, match="does not run — ModuleNotFoundError"):
        load_function(f"{path}:net", "--model")


def test_a_function_that_returns_no_module_is_refused(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("def net(shape, n_outputs):\n    return 3\n")
    encoded = EncodedRows(torch.arange(4) % 2, np.arange(4), np.arange(4), 2, dense=torch.rand(4, 2))
    with pytest.raises(UsageError, match=r"returned int — expected a torch.nn.Module"):
        builder(f"{path}:net")(ModelConfig(name=f"{path}:net"), encoded, 1, torch.Generator())
