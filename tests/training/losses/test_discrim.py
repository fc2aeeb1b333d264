"""DiscrimLoss: stages, thresholds and weights agree with manual calculations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zcurate.config.model_config import DiscrimConfig
from zcurate.training.losses.discrim import MAX_LOG_SIGMA, DiscrimLoss

CPU = torch.device("cpu")
SETTINGS = DiscrimConfig()


def test_the_threshold_factor_rises_from_1_to_1_plus_2a():
    assert SETTINGS.stage(0.0) == pytest.approx(1.0, abs=1e-6)
    assert SETTINGS.stage(0.5) == pytest.approx(1 + SETTINGS.discrim_a)
    assert SETTINGS.stage(0.99) == pytest.approx(1 + 2 * SETTINGS.discrim_a, abs=1e-6)


def test_the_first_batch_equals_the_manual_calculation():
    loss = torch.tensor([[1.0, 3.0]], requires_grad=True)
    loss_function = DiscrimLoss(1, 4, SETTINGS, CPU)
    out = loss_function(loss, torch.tensor([[2, 0]]), torch.ones(1, 2), 0.5, torch.zeros(1, 2, 2))
    gamma, least = 1 + SETTINGS.discrim_a, SETTINGS.discrim_least
    expected = np.mean([1.0 - gamma * 2.0, 3.0 - gamma * 2.0]) * np.exp(-least)
    assert float(out.detach()) == pytest.approx(expected, rel=1e-5)
    assert loss_function.history[0].tolist() == pytest.approx([0.3, 0, 0.1, 0])
    assert loss_function.visits[0].tolist() == [1, 0, 1, 0]
    assert loss_function.threshold.tolist() == pytest.approx([2.0])
    out.backward()
    # With the bias correction the history equals the loss at the first visit, so that the whole gradient passes.
    np.testing.assert_allclose(loss.grad.numpy(), 0.5 * np.exp(-least), rtol=1e-5)


def test_a_row_above_the_threshold_loses_weight_and_an_easy_row_does_not():
    loss_function = DiscrimLoss(1, 3, SETTINGS, CPU)
    for epoch in range(30):
        loss_function(torch.tensor([[0.1, 0.1, 4.0]]), torch.tensor([[0, 1, 2]]), torch.ones(1, 3), epoch / 30, torch.zeros(1, 3, 2))
    sigma = loss_function.log_sigma[0]
    assert sigma[2] == pytest.approx(MAX_LOG_SIGMA)
    assert sigma[0] == pytest.approx(SETTINGS.discrim_least)


def test_padding_is_ignored():
    one, two = DiscrimLoss(1, 3, SETTINGS, CPU), DiscrimLoss(1, 3, SETTINGS, CPU)
    a = one(torch.tensor([[1.0, 2.0]]), torch.tensor([[0, 1]]), torch.ones(1, 2), 0.2, torch.zeros(1, 2, 2))
    b = two(torch.tensor([[1.0, 2.0, 9.0]]), torch.tensor([[0, 1, 2]]), torch.tensor([[1.0, 1.0, 0.0]]), 0.2, torch.zeros(1, 3, 2))
    assert float(a) == pytest.approx(float(b))
    assert two.history[0, 2] == 0 and two.visits[0, 2] == 0
    torch.testing.assert_close(one.log_sigma, two.log_sigma)
