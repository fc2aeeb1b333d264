"""Networks trained on rows that a rule chooses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.training.prioritized import TRAINED_SHARE, Study, choose, trained_by

SPEC = ModelConfig(name="mlp", hidden=(16,), batch=32)


def data(n=400, regression=False):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    y = (x @ [1, -1]).astype(np.float32) if regression else (x[:, 0] > 0).astype(np.int64)
    rows = EncodedRows(torch.from_numpy(y), np.arange(n), np.arange(n), 2, dense=torch.from_numpy(x))
    return rows, y


def test_rows_are_drawn_in_proportion_to_their_weights_and_not_twice():
    rng = np.random.default_rng(0)
    weight = np.array([0.0, 1.0, 1.0, 8.0])
    drawn = [choose(weight, 1, rng)[0] for _ in range(4000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 4000, weight / 10, atol=0.03)
    assert sorted(choose(weight, 3, rng).tolist()) == [1, 2, 3]
    assert sorted(choose(weight, 4, rng).tolist()) == [0, 1, 2, 3]


def test_networks_learn_and_wrong_visits_are_counted():
    rows, y = data()
    given = y.copy()
    wrong = np.arange(0, 400, 10)
    given[wrong] = 1 - given[wrong]
    rows = dataclasses.replace(rows, y=torch.from_numpy(given))
    found, share = trained_by(Study(rows, y, given != y, np.zeros(400), SPEC, 40, 0), lambda training, heldout: np.ones(len(training)))
    assert len(found) == 3
    assert min(found) > 0.9
    assert share == pytest.approx(0.1, abs=0.02)
    only_wrong = np.zeros(400)
    only_wrong[wrong] = 1
    _, all_of_them = trained_by(Study(rows, y, given != y, only_wrong, SPEC, 2, 0), lambda training, heldout: heldout)
    assert all_of_them == pytest.approx(0.1 / TRAINED_SHARE, abs=0.05)


def test_rows_without_a_heldout_loss_are_left_out():
    rows, y = data()
    loss = np.zeros(400)
    loss[y == 1] = np.nan
    found, _ = trained_by(Study(rows, y, np.zeros(400, bool), loss, SPEC, 10, 0), lambda training, heldout: np.ones(len(training)))
    assert found == [1.0, 1.0, 1.0]


def test_a_regression_is_tested_by_its_error():
    from zcurate.encoding.targets import TargetScale

    rows, y = data(regression=True)
    rows = dataclasses.replace(rows, target=TargetScale(np.array([-1.0, 1.0]), np.array([-1.0, 1.0])))
    ones = lambda training, heldout: np.ones(len(training))  # noqa: E731
    short, long = (np.mean(trained_by(Study(rows, y, np.zeros(400, bool), np.zeros(400), SPEC, n, 0), ones)[0]) for n in (1, 60))
    assert long < 0.5 * short
