"""`--slices`: one labeller of four carries the noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import zcurate
from zcurate.errors import UsageError


@pytest.fixture(scope="module")
def frame():
    """1 200 rows of two overlapping classes; every third label of one labeller is wrong."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1200)
    x = rng.normal(0, 1, (1200, 3)) + 2.0 * y[:, None]
    who = rng.choice(["ann", "bob", "cid"], 1200, p=[0.5, 0.3, 0.2])
    wrong = (who == "cid") & (rng.random(1200) < 0.33)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "who": who, "label": np.where(np.where(wrong, 1 - y, y) == 1, "up", "down")})


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "spec.toml"
    path.write_text("rounds = 1\nensemble = []\nsecond_split_epochs = 2\nslice_weight = 0.5\n")
    return str(path)


@pytest.fixture(scope="module")
def report(frame, spec):
    return zcurate.scan(frame, label="label", slices="who", exclude=("who",), model=spec)


def test_the_noisiest_slice_comes_first_and_is_warned_of(report, frame):
    slices = report.card["slices"]
    assert slices["column"] == "who" and sum(entry["rows"] for entry in slices["slices"]) == len(frame)
    worst, *others = slices["slices"]
    assert worst["name"] == "cid" and worst["noise_low"] < 0.33 < worst["noise_high"] + 0.1
    assert all(entry["noise"] < 0.1 and entry["skill"] > 0.9 for entry in others)
    assert worst["flagged_low"] < worst["flagged"] < worst["flagged_high"]
    assert any(text.startswith("--slices who: 'cid' carries") for text in report.card["warnings"])


def test_labels_that_are_forgotten_in_the_second_split_are_the_wrong_ones(report):
    epoch = report.table.column("forgotten_epoch").to_numpy()
    assert epoch.min() >= 1 and epoch.max() <= 3
    assert np.nanmean(epoch[report.called("incorrect")]) < 2 < np.nanmean(epoch[report.called("clean")])


def test_reports_with_slices_are_whole(report, tmp_path):
    report.save(str(tmp_path / "r.zcurate.parquet"))
    again = zcurate.load_report(str(tmp_path / "r.zcurate.parquet"))
    assert again.card["slices"] == report.card["slices"]
    again.html(str(tmp_path / "r.html"))


def test_slices_of_targets_have_no_accuracy(frame, spec):
    rng = np.random.default_rng(0)
    data = frame[["a", "b", "who"]].assign(target=frame["a"] + 0.1 * rng.normal(size=len(frame)))
    found = zcurate.scan(data, label="target", slices="who", exclude=("who",), model=spec).card["slices"]["slices"]
    assert len(found) == 3 and all(entry["skill"] is None and 0 <= entry["masked"] < 1 for entry in found)


def test_a_column_that_is_not_there_is_told(frame):
    with pytest.raises(UsageError, match=r"no column 'whom'.*--slices who"):
        zcurate.scan(frame, label="label", slices="whom")
