"""The report of pictures: splits, skipped pictures with the reason, names that are not UTF-8."""

from __future__ import annotations

import io
import os

import numpy as np
import pyarrow as pa
import pytest

import zcurate
from tests.data.pictures import write_classes
from zcurate.config.report_options import ReportOptions
from zcurate.data.dataset import Dataset, InputInfo, Roles, SkippedRow, Task
from zcurate.plugins import FORMATS
from zcurate.report import build, listing, run_card
from zcurate.report.explain import explain
from zcurate.report.report import Report

SKIPPED = (SkippedRow(1, "empty file", path="b/1.png"), SkippedRow(3, "not a picture", path="b/3.png"))


def data_of(pictures=True, **changes):
    labels = pa.array(["a", "b"] * 2)
    pixels = np.zeros((4, 1, 8, 8), np.uint8) if pictures else None
    return Dataset(pa.table({"label": labels}), Roles("label"), Task("binary", "", ("a", "b")), labels, InputInfo("d", "folder"), pixels, **changes)


def report_of(root, paths):
    return Report(pa.table({"row": range(len(paths)), "path": paths}), {"input": {"root": str(root)}})


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """A folder with names that are not UTF-8, which is the current one."""
    monkeypatch.chdir(tmp_path)
    os.makedirs(b"d/k\xe4t ")
    for name in (b"d/k\xe4t /\xff.png", b"d/k\xe4t /1.png"):
        with open(name, "wb"):
            pass
    return report_of("d", ["k\\xe4t /\\xff.png", "k\\xe4t /1.png", None, "gone.png"])


def test_skipped_pictures_carry_the_reason():
    reasons = pa.array([["other_class"], [], [], []], pa.list_(pa.string()))
    assert build.with_skip_reasons(reasons, data_of(skipped=SKIPPED)).to_pylist() == [["other_class"], ["empty file"], [], ["not a picture"]]
    assert build.with_skip_reasons(reasons, data_of(pictures=False, skipped=SKIPPED)) is reasons
    assert build.with_skip_reasons(reasons, data_of()) is reasons


def test_the_card_holds_skipped_pictures_and_files_that_were_passed_over():
    card = run_card.describe_data(data_of(skipped=SKIPPED, passed_over={".txt": 3}))
    assert card["skipped"][0] == {"row": 1, "reason": "empty file", "line": None, "path": "b/1.png"}
    assert card["passed_over"] == {".txt": 3}


def test_ids_open_from_the_current_folder_whatever_their_bytes(strange):
    paths = listing.relative_paths(strange, strange.table)
    assert paths == [b"d/k\xe4t /\xff.png", b"d/k\xe4t /1.png", b"2", b"d/gone.png"]
    stream = io.BytesIO()
    FORMATS.load("ids")(pa.table({"path": pa.array(paths, pa.binary())}), stream, ReportOptions(null=True))
    assert stream.getvalue().split(b"\0")[:2] == paths[:2]


@pytest.mark.parametrize(("word", "row"), [(b"d/k\xe4t /\xff.png", 0), (b"d/k\xe4t /1.png", 1), (b"k\\xe4t /\\xff.png", 0), (b"d/gone.png", 3)])
def test_rows_are_found_by_such_a_name_as_typed_or_as_shown(strange, word, row):
    assert explain.rows_of_path(strange, os.fsdecode(word)) == [row]


@pytest.mark.slow
def test_a_scan_of_splits_says_which_row_is_in_which(tmp_path):
    write_classes(tmp_path, *(f"{split}/{label}" for split in ("train", "test") for label in ("cat", "dog")), n=10)
    (tmp_path / "train/cat/3.png").write_bytes(b"")
    (tmp_path / "data.yaml").write_bytes(b"x")
    report = zcurate.scan(str(tmp_path), epochs=1)
    assert report.table.column("split").to_pylist() == [path.split("/")[0] for path in report.table.column("path").to_pylist()]
    assert report.card["passed_over"] == {".yaml": 1}
    assert [skip["path"] for skip in report.card["skipped"]] == ["train/cat/3.png"]
    assert len(report.card["warnings"]) == 3
