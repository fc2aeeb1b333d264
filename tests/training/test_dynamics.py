"""Training dynamics: what is recorded in batches comes out per row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zcurate.evidence.planted import Planted
from zcurate.training import dynamics
from zcurate.training.dynamics import RecordLayout, TrainingDynamics
from zcurate.training.losses.zerror import LossOutput

CPU = torch.device("cpu")


def scored(error, z, keep, margin):
    zero = torch.tensor(0.0)
    return LossOutput(zero, zero, *(torch.tensor(part) for part in (error, z, keep, margin, margin)))


def test_visits_are_summed_per_row_over_members_and_batches():
    recorded = TrainingDynamics(RecordLayout(3, 2, 2), CPU)
    weight = torch.ones(2, 2)
    ids = torch.tensor([[0, 1], [1, 2]])
    recorded.record(0, ids, scored([[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [2.0, 3.0]], [[True, True], [True, False]], [[1.0, 1.0], [-1.0, -1.0]]), weight)
    recorded.record(1, ids, scored([[0.0, 0.0], [0.0, 0.0]], [[0.0, 5.0], [0.0, 0.0]], [[True, False], [True, True]], [[1.0, 1.0], [1.0, 1.0]]), weight)
    found = recorded.freeze(np.array([0, 1, 0]), Planted.none())
    assert found.columns["n_seen"].tolist() == [2, 4, 2]
    assert found.columns["n_masked"].tolist() == [0, 1, 1]
    assert found.columns["z_score"].tolist() == [0.0, 2.0, 1.5]
    assert found.columns["z_max"].tolist() == [0.0, 5.0, 3.0]
    assert found.columns["z_last"].tolist() == [0.0, 2.5, 0.0]
    np.testing.assert_allclose(found.error, [[1.0, 2.5, 4.0], [0, 0, 0]])


def test_padding_is_not_recorded():
    recorded = TrainingDynamics(RecordLayout(2, 1, 2), CPU)
    weight = torch.tensor([[1.0, 0.0]])
    recorded.record(0, torch.tensor([[0, 1]]), scored([[1.0, 9.0]], [[0.5, 9.0]], [[True, False]], [[1.0, 9.0]]), weight)
    found = recorded.freeze(np.array([0, 1]), Planted.none())
    assert found.columns["n_seen"].tolist() == [1, 0]
    assert np.isnan(found.columns["z_score"][1])
    assert np.isnan(found.columns["z_max"][1])


def test_heldout_probabilities_are_averaged():
    recorded = TrainingDynamics(RecordLayout(2, 1, 2), CPU)
    weight = torch.ones(1, 2)
    recorded.record_heldout(0, torch.tensor([[0, 1]]), torch.tensor([[[0.0, 0.0], [100.0, 0.0]]]), weight)
    recorded.record_heldout(0, torch.tensor([[0, 1]]), torch.tensor([[[0.0, 100.0], [100.0, 0.0]]]), weight)
    found = recorded.freeze(np.array([0, 0]), Planted.none())
    np.testing.assert_allclose(found.heldout, [[0.25, 0.75], [1.0, 0.0]], atol=1e-6)


def test_the_part_of_the_run_that_predicts_best_is_taken():
    total = np.zeros((4, 10, 2), np.float32)
    n = np.ones((4, 10), np.float32)
    y = np.arange(10) % 2
    for part, confidence in enumerate((0.5, 0.9, 0.6, 0.2)):
        total[part, np.arange(10), y] = confidence
        total[part, np.arange(10), 1 - y] = 1 - confidence
    heldout, best = dynamics.best_heldout(total, n, y, np.ones(10, bool))
    assert best == 0.5
    np.testing.assert_allclose(heldout[np.arange(10), y], 0.9, atol=1e-6)


def test_planted_rows_do_not_choose_the_part():
    total = np.zeros((2, 4, 2), np.float32)
    total[0] = [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]
    total[1] = [[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]]
    labels = np.zeros(4, np.int64)
    _, best = dynamics.best_heldout(total, np.ones((2, 4), np.float32), labels, np.array([True, True, False, False]))
    assert best == 0.5


@pytest.mark.parametrize(
    ("correct", "epoch"),
    [([0, 1, 1, 1], 1), ([1, 0, 1, 1], 2), ([1, 1, 0, 0], 0), ([0, 1, 0, 1], 4), ([0, 0, 0, 0], 4)],
)
def test_learned_is_the_first_of_two_consecutive_epochs(correct, epoch):
    assert dynamics.learned_epoch(np.array(correct, bool)[:, None])[0] == epoch
