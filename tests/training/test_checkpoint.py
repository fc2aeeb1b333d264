"""Checkpoints: a scan killed at any time ends in the same report when resumed; the checkpoint of another scan is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from tests import small_runs
from tests.conftest import ROOT
from tests.training.test_rounds import toy
from zcurate.config.model_config import ModelConfig
from zcurate.errors import UsageError
from zcurate.pipeline import api, scan
from zcurate.runtime.progress import NoProgress
from zcurate.training.checkpoint import Checkpoint

PENGUINS = str(ROOT / "sample_data" / "penguins" / "penguins.csv")
SPEC = ModelConfig(name="mlp", hidden=(8,), batch=32, rounds=2)


class Killed(Exception):
    """Stands in for a signal."""


class KilledAfter(NoProgress):
    """Progress that raises `Killed` at the given step."""

    def __init__(self, steps):
        self.steps = steps

    def step(self, done, total):
        self.steps -= 1
        if self.steps == 0:
            raise Killed


def train(checkpoint=None, progress=None, spec=SPEC, encoded=None, packed=True):
    return small_runs.train(encoded or toy(), spec, 4, packed, progress=progress or NoProgress(), checkpoint=checkpoint)[0]


def members_only(folder):
    """Disable the auxiliary models, which saves seconds in tests about something else."""
    (folder / "members_only.toml").write_text("ensemble = []\n")
    return {"model": str(folder / "members_only.toml")}


def assert_equal(one, two):
    assert one.columns.keys() == two.columns.keys()
    for name in one.columns:
        np.testing.assert_array_equal(one.columns[name], two.columns[name])
    for name in one.curves:
        np.testing.assert_array_equal(one.curves[name], two.curves[name])
    np.testing.assert_array_equal(one.heldout, two.heldout)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 6, 8])
def test_training_killed_at_any_epoch_ends_in_the_same_evidence(tmp_path, steps):
    checkpoint = Checkpoint(str(tmp_path / "x.checkpoint"), {"rows": 200})
    with pytest.raises(Killed):
        train(checkpoint, KilledAfter(steps))
    assert_equal(train(checkpoint), train())


@pytest.mark.parametrize(
    "spec",
    [
        ModelConfig(name="mlp", hidden=(8,), dropout=0.2, batch=32, rounds=1),
        ModelConfig(name="mlp", hidden=(8,), loss="discrim", optimiser="sgd", learning_rate=0.05, batch=32, rounds=1),
    ],
)
def test_the_state_of_dropout_and_discrim_loss_is_saved(tmp_path, spec):
    checkpoint = Checkpoint(str(tmp_path / "x.checkpoint"), {})
    with pytest.raises(Killed):
        train(checkpoint, KilledAfter(10), spec, packed=False)
    assert checkpoint.exists()
    assert_equal(train(checkpoint, spec=spec, packed=False), train(spec=spec, packed=False))


def test_a_finished_round_is_loaded_and_not_trained_again(tmp_path):
    checkpoint = Checkpoint(str(tmp_path / "x.checkpoint"), {})
    evidence = train(checkpoint)
    progress = KilledAfter(1)
    assert_equal(train(checkpoint, progress), evidence)
    assert progress.steps == 1


@pytest.mark.parametrize("part", ["running", "round-0"])
def test_a_checkpoint_of_another_scan_is_refused_with_the_difference(tmp_path, part):
    checkpoint = Checkpoint(str(tmp_path / "x.checkpoint"), {"seed": 1})
    train(checkpoint)
    with pytest.raises(UsageError, match="seed was 1"):
        Checkpoint(checkpoint.folder, {"seed": 2}).load(part)


def test_a_checkpoint_of_another_version_is_refused(tmp_path):
    found = Checkpoint(str(tmp_path / "x.checkpoint"), {"seed": 1})
    with pytest.raises(UsageError, match="is of another version: format 1 — expected 3"):
        found.check({"format": 1, "seed": 1})
    found.check({"format": 3, "seed": 1})
    os.makedirs(found.folder)
    save_file({"x": np.zeros(3)}, found.file("running"), {"metadata": "{}", "fingerprint": '{"format": 2, "seed": 1}'})
    with pytest.raises(UsageError, match="is of another version: format 2 — expected 3"):
        found.load("running")


def warned_checkpoint(folder):
    warnings = []
    return Checkpoint(str(folder / "x.checkpoint"), {"rows": 200}, warnings.append), warnings


def flipped(content, rng):
    """The content with one bit changed."""
    at, changed = rng.integers(len(content)), bytearray(content)
    changed[at] ^= 1 << rng.integers(8)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("part", ["running", "round-0", "round-1"])
def test_a_part_with_a_flipped_bit_is_told_and_trained_again(tmp_path, part, seed):
    checkpoint, warnings = warned_checkpoint(tmp_path)
    with pytest.raises(Killed):
        train(checkpoint, KilledAfter(7))
    if part == "round-1":
        train(checkpoint)
    with open(checkpoint.file(part), "rb") as file:
        content = flipped(file.read(), np.random.default_rng(seed))
    with open(checkpoint.file(part), "wb") as file:
        file.write(content)
    assert checkpoint.load(part) is None
    assert_equal(train(checkpoint), train())
    assert all(f"{part}.safetensors: " in text and "this part is trained again" in text for text in warnings) and warnings


PICKLE = b"\x80\x04cposix\nsystem\n(S'touch executed'\ntR."


@pytest.mark.parametrize("content", [b"", b"no safetensors", PICKLE, b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"{}"])
def test_what_is_no_checkpoint_is_told_and_nothing_of_it_is_executed(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    checkpoint, warnings = warned_checkpoint(tmp_path)
    os.makedirs(checkpoint.folder)
    with open(checkpoint.file("running"), "wb") as file:
        file.write(content)
    assert checkpoint.load_epoch(0) is None
    assert len(warnings) == 1
    assert os.listdir(tmp_path) == ["x.checkpoint"]


def test_only_the_checkpoint_s_own_files_are_deleted(tmp_path):
    checkpoint, _ = warned_checkpoint(tmp_path)
    os.makedirs(checkpoint.folder)
    mine = {"notes.txt", "model.safetensors", "round-1.safetensors.bak", ".part"}
    for name in mine | {".running.part", ".round-0.part"}:
        (tmp_path / "x.checkpoint" / name).write_text("mine")
    assert not checkpoint.exists()
    train(checkpoint)
    checkpoint.clear()
    assert set(os.listdir(checkpoint.folder)) == mine
    for name in mine:
        (tmp_path / "x.checkpoint" / name).unlink()
    checkpoint.clear()
    assert not os.path.exists(checkpoint.folder)


def test_a_checkpoint_that_cannot_be_written_is_one_warning(tmp_path, monkeypatch):
    checkpoint, warnings = warned_checkpoint(tmp_path)
    (tmp_path / "x.checkpoint").write_text("a file of mine")
    assert_equal(train(checkpoint), train())
    assert len(warnings) == 1
    assert "the checkpoint cannot be written" in warnings[0]
    assert (tmp_path / "x.checkpoint").read_text() == "a file of mine"


def test_after_a_time_limit_nothing_is_saved(tmp_path):
    checkpoint = Checkpoint(str(tmp_path / "x.checkpoint"), {})
    _, cut = small_runs.train(toy(), SPEC, 4, True, time_limit=1e-9, checkpoint=checkpoint)
    assert cut
    assert not checkpoint.exists()


def test_resume_reports_a_fresh_start_and_does_nothing_after_the_end(tmp_path, monkeypatch):
    messages = []
    progress = NoProgress()
    progress.note = progress.warn = messages.append
    settings = {**members_only(tmp_path), "label": "species", "output": str(tmp_path / "p.zcurate.parquet"), "resume": True, "epochs": 3}
    report = api.scan(PENGUINS, progress=progress, **settings)
    assert any("starting anew" in text for text in messages)
    assert not os.path.exists(settings["output"] + ".checkpoint")
    monkeypatch.setattr(scan, "examine", None)
    again = api.scan(PENGUINS, progress=progress, **settings)
    assert any("nothing was done" in text for text in messages)
    assert again.table.equals(report.table)


def test_a_finished_report_with_another_budget_is_judged_again(tmp_path):
    settings = {**members_only(tmp_path), "label": "species", "output": str(tmp_path / "p.zcurate.parquet"), "resume": True, "epochs": 3}
    before = api.scan(PENGUINS, **settings)
    after = api.scan(PENGUINS, **settings, budget=2)
    assert before.counts()["incorrect"] > 2
    assert after.counts()["incorrect"] == 2


def test_data_in_memory_cannot_be_resumed(tmp_path):
    table = pa.table({"x": [0.5, 1.5] * 30, "label": ["a", "b"] * 30})
    with pytest.raises(UsageError, match="in memory"):
        api.scan(table, label="label", output=str(tmp_path / "m.zcurate.parquet"), resume=True)


@pytest.mark.slow
def test_a_scan_killed_at_random_times_ends_in_the_uninterrupted_report(tmp_path):
    command = [sys.executable, "-m", "zcurate", "scan", PENGUINS, "--label", "species", "--resume", "-q"]
    subprocess.run([*command, "-o", str(tmp_path / "uninterrupted.zcurate.parquet")], check=True)
    path, rng = str(tmp_path / "killed.zcurate.parquet"), np.random.default_rng(0)
    for _ in range(4):
        scan = subprocess.Popen([*command, "-o", path])
        time.sleep(rng.uniform(2, 6))
        scan.send_signal(signal.SIGKILL)
        scan.wait()
    subprocess.run([*command, "-o", path], check=True)
    assert (
        pq.read_table(path).replace_schema_metadata(None).equals(pq.read_table(str(tmp_path / "uninterrupted.zcurate.parquet")).replace_schema_metadata(None))
    )
