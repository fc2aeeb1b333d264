"""FLOP counts of the engine, and that plain training removes only z-scores, masks and training dynamics."""

from __future__ import annotations

import pytest
import torch

from tests.bench import engine
from zcurate.training import members, rounds

CPU = torch.device("cpu")


def test_flops_are_counted_by_the_formula():
    # Per row: 20 -> h -> h -> 2.
    assert engine.flops_per_row((20, 256, 256, 2)) == 6 * (20 * 256 + 256 * 256 + 256 * 2) - 2 * 20 * 256
    assert [round(engine.flops_per_row((20, h, h, 2)) / 1000) for h in (256, 128, 64)] == [417, 110, 30]
    assert engine.flops_per_row((320, 128, 128, 2)) == pytest.approx(264e3, rel=0.01)


def test_an_epoch_trains_on_all_folds_but_one():
    assert engine.epoch_flops((3, 5), 100, 4) == 100 * 3 * (6 * 15 - 2 * 15)


@pytest.fixture(scope="module")
def small():
    return engine.table_engine("blob", 400, CPU)


def test_the_engine_has_the_model_of_a_scan(small):
    assert small.sizes == (320, 128, 128, 2)
    assert small.members == small.plan.spec.folds


def test_training_can_be_timed_with_and_without_z_and_dynamics(small):
    before = members.score, rounds.TrainingDynamics
    assert engine.training_seconds(small, 1) > 0
    with engine.plain():
        assert engine.training_seconds(small, 1, torch.float32) > 0
        assert (members.score, rounds.TrainingDynamics) == (engine.plain_score, engine.NoDynamics)
    assert (members.score, rounds.TrainingDynamics) == before
    assert engine.feeding_seconds(small, small.encoded.inputs) > 0


@pytest.mark.slow
def test_plain_training_minimizes_the_mean_cross_entropy():
    output, y, weight = torch.randn(2, 6, 3), torch.randint(0, 3, (2, 6)), torch.tensor([1.0, 1, 1, 1, 1, 0]).expand(2, 6)
    scored, running = engine.plain_score(output, y, weight, "statistics", None, 2.0)
    expected = sum(torch.nn.functional.cross_entropy(output[k, :5], y[k, :5]) for k in range(2))
    torch.testing.assert_close(scored.loss, expected)
    assert running == "statistics"


def test_a_missing_hook_is_named(monkeypatch):
    monkeypatch.delattr(members, "score")
    with pytest.raises(engine.MissingHook, match="score"), engine.plain():
        pass


def test_the_peak_is_positive():
    with engine.one_thread():
        assert engine.peak(torch.float32, CPU, (64, 64, 64)) > 1e6
