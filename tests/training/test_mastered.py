"""Rows that are mastered get no backward pass, and are recorded all the same."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import zcurate
from zcurate.errors import UsageError
from zcurate.pipeline.checks import check_process_group
from zcurate.training.losses.zerror import LossOutput
from zcurate.training.mastered import MasteredRows
from zcurate.training.sampler import Visits


def epoch(loss, weight=(1, 1, 1)):
    """Visits of rows 0 to 2 by one member with these losses."""
    error = torch.log(torch.expm1(torch.tensor([loss])))
    keep = torch.ones_like(error, dtype=torch.bool)
    return Visits(torch.arange(3)[None], torch.tensor([weight], dtype=torch.float32), None), LossOutput(torch.zeros(()), error, error, error, keep)


def test_a_row_is_mastered_while_its_loss_is_low_and_straight():
    rows = MasteredRows(1, 3, torch.device("cpu"), regression=False)
    for losses, expected in (
        ([0.5, 0.9, 2.0], [False] * 3),
        ([0.3, 0.5, 2.0], [False] * 3),
        ([0.1, 0.3, 2.0], [True, False, False]),  # straight and low; curved; straight but high
        ([0.4, 0.1, 2.0], [False, True, False]),  # the first one comes back
    ):
        rows.update(*epoch(losses), torch.tensor(0))
        assert rows.mask[0].tolist() == expected
    assert rows.skipped.tolist() == [0, 12]


def test_padding_changes_nothing():
    rows = MasteredRows(1, 3, torch.device("cpu"), regression=False)
    rows.update(*epoch([0.5, 0.5, 0.5]), torch.tensor(0))
    rows.update(*epoch([0.1, 0.1, 0.1], (1, 1, 0)), torch.tensor(1))
    torch.testing.assert_close(rows.last[0], torch.tensor([0.1, 0.1, 0.5]))
    assert rows.skipped.tolist() == [1, 5]


@pytest.mark.slow
@pytest.mark.parametrize("target", [False, True])
def test_the_record_of_a_scan_stays_whole(target, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (400, 3))
    y = x[:, 0] + 0.1 * rng.normal(size=400) if target else np.where(x[:, 0] > 0, "a", "b")
    (tmp_path / "s.toml").write_text("skip_mastered = true\nrounds = 1\nensemble = []\nepochs = 12\n")
    (tmp_path / "p.toml").write_text("rounds = 1\nensemble = []\nepochs = 12\n")
    found, plain = (zcurate.scan(pd.DataFrame(x).assign(label=y), label="label", model=str(tmp_path / f"{name}.toml")) for name in "sp")
    # Each row has one visit per member and epoch, and a loss in every epoch.
    assert found.table.column("n_seen").to_pylist() == plain.table.column("n_seen").to_pylist()
    assert {len(curve) for curve in found.table.column("loss_curve").to_pylist()} == {12}
    assert np.mean(found.called("clean") == plain.called("clean")) > 0.9


@pytest.mark.slow
def test_rows_are_skipped_and_it_is_told(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (300, 2))
    pd.DataFrame(x).assign(label=np.where(x[:, 0] > 0, "a", "b")).to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "s.toml").write_text("skip_mastered = true\nrounds = 1\nensemble = []\nepochs = 30\n")
    words = [sys.executable, "-m", "zcurate", "scan", "d.csv", "--label", "label", "--model", "s.toml", "-v"]
    err = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
    line = next(line for line in err.splitlines() if "skip_mastered" in line)
    assert int(line.split("round 1: ")[1].split("%")[0]) >= 10


def test_several_processes_do_not_skip(tmp_path):
    from zcurate.config.model_config import ModelConfig, Plan
    from zcurate.config.options import ScanOptions

    with pytest.raises(UsageError, match="skip_mastered = true — expected a single process"):
        check_process_group(2, ScanOptions(), Plan(ModelConfig(name="mlp", skip_mastered=True), True, 5, ""))
