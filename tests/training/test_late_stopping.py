"""Late stopping: rounds keep the rows learned first, and end when held-out predictions get no better."""

from __future__ import annotations

import numpy as np
import pytest

import zcurate
from zcurate.errors import UsageError
from zcurate.evidence.planted import Planted
from zcurate.evidence.untrained import untrained_round
from zcurate.training import rounds
from zcurate.training.late_stopping import is_over, learned_last, robust_loss


def one_round(p, epoch, margin, planted=()):
    import dataclasses

    one = untrained_round(np.stack([p, 1 - np.asarray(p)], 1).astype(np.float32), np.zeros(len(p), np.int64))
    row = np.array(planted, np.int64)
    columns = {"learned_epoch": np.asarray(epoch, float), "margin_mean": np.asarray(margin, float)}
    return dataclasses.replace(one, columns=columns, planted=Planted(row, np.ones(len(row), np.int64), np.full(len(row), "uniform")))


def test_rows_learned_last_are_left_out_and_stay_out():
    last = one_round([0.5] * 8, [0, 9, 9, 3, 2, np.nan, 9, 9], [5, -1, -2, 0, 1, np.nan, -3, -4], planted=[7])
    excluded = np.arange(8) == 5
    found = learned_last(last, excluded, 1 / 3, np.array([6]))
    # Row 6 must stay, row 7 carried another label; a third of the six candidates with it is two.
    assert np.flatnonzero(found).tolist() == [1, 2, 5]
    assert np.flatnonzero(learned_last(last, excluded, 1 / 3, np.array([5]))).tolist() == [2, 6]


def test_it_is_over_when_the_heldout_loss_does_not_fall():
    y = np.zeros(4, np.int64)
    better, worse = one_round([0.9] * 4, [0] * 4, [0] * 4), one_round([0.8] * 4, [0] * 4, [0] * 4)
    assert robust_loss(better, y) == pytest.approx(-np.log(0.9))
    assert robust_loss(one_round([0.0], [0], [0]), y[:1]) == pytest.approx(-np.log(0.05))
    assert [is_over(one, y) for one in ([worse], [worse, better], [better, worse], [better, better])] == [False, False, True, True]
    assert robust_loss(better, np.array([0, 0, -1, -1])) == robust_loss(better, y)


def test_a_scan_stops_and_judges_by_the_rounds_that_it_has(blobs_csv, tmp_path, monkeypatch):
    (tmp_path / "late.toml").write_text("rounds = 9\nlate_stopping = 0.05\nensemble = []\n")
    excluded = []
    original = rounds.Trainer.train_round
    monkeypatch.setattr(
        rounds.Trainer, "train_round", lambda self, *words: excluded.append(0 if self.excluded is None else int(self.excluded.sum())) or original(self, *words)
    )
    monkeypatch.setattr(rounds, "is_over", lambda found, y: len(found) == 3)
    report = zcurate.scan(
        str(blobs_csv[0]), label="label", epochs=15, model=str(tmp_path / "late.toml"), output=str(tmp_path / "r.zcurate.parquet"), keep_model=True
    )
    assert len(excluded) == len(report.card["model"]["n_epochs"]) == 3
    assert excluded[0] == 0 < excluded[1] < excluded[2]
    wrong = sorted(blobs_csv[1])
    assert report.called("incorrect")[wrong].mean() > 0.8
    again = zcurate.scan(str(blobs_csv[0]), against=str(tmp_path / "r.zcurate.parquet"))
    assert again.called("incorrect")[wrong].mean() > 0.8


def test_a_regression_cannot_stop_late(tmp_path):
    (tmp_path / "late.toml").write_text("late_stopping = 0.05\n")
    rng = np.random.default_rng(0)
    frame = {"a": rng.normal(size=60), "y": rng.normal(size=60)}
    with pytest.raises(UsageError, match="late_stopping for a regression — expected classes in memory"):
        zcurate.scan(frame, label="y", model=str(tmp_path / "late.toml"))


def test_settings_without_effect_are_told():
    from zcurate.config.model_config import ModelConfig
    from zcurate.config.options import ScanOptions
    from zcurate.pipeline.checks import without_effect

    assert without_effect(ModelConfig(), ScanOptions()) == []
    assert without_effect(ModelConfig(slice_weight=1.0, late_stopping=0.1), ScanOptions(slices="site")) == []
    found = without_effect(ModelConfig(slice_weight=1.0, late_stopping=0.1, rounds=1), ScanOptions())
    assert [text.partition(":")[0] for text in found] == ["slice_weight", "late_stopping"]
