"""The optimizer equals torch.optim step by step and does not import it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from zcurate.config.model_config import ModelConfig
from zcurate.training.optimizer import BETAS, MOMENTUM, PENALTY, Optimizer


def make_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_every_step_equals_torch_optim(name):
    spec = ModelConfig(optimiser=name, learning_rate=0.05, weight_decay=0.1)
    model, reference_model = make_model(), make_model()
    optimizer = Optimizer(spec, model)
    if name == "adamw":
        reference = torch.optim.AdamW(reference_model.parameters(), 0.05, weight_decay=0.1, betas=BETAS)
    else:
        reference = torch.optim.SGD(reference_model.parameters(), 0.05, weight_decay=0.1, momentum=MOMENTUM, nesterov=True)
    x = torch.randn(8, 3)
    for at in range(5):
        rate = 0.05 / (at + 1)
        for one in (model, reference_model):
            one.zero_grad()
            one(x).square().sum().backward()
        optimizer.step(rate)
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
    for a, b in zip(model.parameters(), reference_model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_parameter_without_gradient_is_not_changed():
    model = make_model()
    optimizer = Optimizer(ModelConfig(), model)
    before = [one.detach().clone() for one in model.parameters()]
    model[1](torch.ones(1, 4)).sum().backward()
    optimizer.step(0.1)
    after = list(model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(after[:2], before[:2], strict=True))
    assert not torch.equal(after[2], before[2])


@pytest.mark.slow
def test_training_does_not_import_the_compiler():
    code = (
        "import sys, numpy, torch; from zcurate.training import rounds; from zcurate.encoding.encoded import EncodedRows; from zcurate.training.models import builder;"
        "from zcurate.config.model_config import ModelConfig, Plan; from zcurate.runtime.context import RunContext;"
        "x = torch.randn(60, 2); y = (x[:, 0] > 0).long(); e = EncodedRows(y, numpy.arange(60), numpy.arange(60), 2, dense=x);"
        "rounds.train(e, Plan(ModelConfig(name='mlp', hidden=(8,)), True, 3, ''), builder('mlp'), RunContext());"
        "sys.exit('torch._dynamo' in sys.modules or 'sympy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_parameters_that_training_goes_on_from_draw_it_back(name):
    moves = []
    for stays_near in (False, True):
        model = make_model()
        optimizer = Optimizer(ModelConfig(optimiser=name, weight_decay=0.0), model)
        if stays_near:
            optimizer.stay_near()
        before = [one.detach().clone() for one in model.parameters()]
        for _ in range(300):
            optimizer.zero_grad()
            sum(one.sum() for one in model.parameters()).backward()
            optimizer.step(0.01)
        moves.append(max(float((a - b.detach()).abs().max()) for a, b in zip(before, model.parameters(), strict=True)))
    # Steps of the size of the learning rate end at the inverse of the penalty; momentum makes those of SGD ten times as large.
    assert moves[0] > 2.5
    assert moves[1] < (1.01 if name == "adamw" else 10.1) / PENALTY
