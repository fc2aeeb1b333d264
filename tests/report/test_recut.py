"""Moving the cut of a report: the verdicts follow from its probabilities as in a scan with that cut."""

from __future__ import annotations

import functools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import zcurate
from zcurate.judge.thresholds import Cut
from zcurate.report import recut


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 400)
    x = rng.normal(0, 1.1, (400, 2)) + np.array([[0, 0], [3, 0], [0, 3]])[y]
    given = np.where(rng.random(400) < 0.12, rng.integers(0, 3, 400), y)
    table = pa.table({"a": x[:, 0], "b": x[:, 1], "label": np.array(["ant", "bee", "cat"])[given]})

    @functools.cache
    def run(**cut):
        return zcurate.scan(table, label="label", epochs=3, **cut)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("cut", [{"threshold": 0.9}, {"threshold": 0.1}, {"precision": 0.8}, {"budget": 7}])
def test_the_verdicts_are_those_of_a_scan_with_that_cut(scans, cut):
    usual, wanted = scans(), scans(**cut)
    moved = recut.with_cut(usual, Cut(**cut))
    assert moved.table.column("verdict").to_pylist() == wanted.table.column("verdict").to_pylist()
    for name in ("p_incorrect", "review"):
        assert moved.card["thresholds"][name] == wanted.card["thresholds"][name]
    assert moved.card["expected"]["precision"] == pytest.approx(wanted.card["expected"]["precision"], nan_ok=True)
    assert moved.card["classes"] == wanted.card["classes"]
    assert moved.counts() == wanted.counts()
    assert recut.with_cut(usual, Cut()) is usual


@pytest.mark.slow
def test_no_cut_makes_a_row_hard(scans):
    usual = scans()
    hard = usual.called("hard")
    for threshold in (0.05, 0.3, 0.7, 0.99):
        assert not (recut.with_cut(usual, Cut(threshold=threshold)).called("hard") & ~hard).any()


def test_a_report_of_version_1_gets_a_review_cut(scans, tmp_path):
    usual = scans()
    card = json.loads(json.dumps(usual.card))
    card["schema_version"] = 1
    del card["thresholds"]["review"]
    verdict = usual.table.column("verdict").to_pylist()
    old = pa.array(["clean" if word == "suspect" else word for word in verdict]).dictionary_encode()
    table = usual.table.drop_columns(["fingerprint"]).set_column(usual.table.column_names.index("verdict") - 1, "verdict", old)
    pq.write_table(table.replace_schema_metadata({b"zcurate": json.dumps(card)}), tmp_path / "old.zcurate.parquet")
    before = zcurate.load_report(str(tmp_path / "old.zcurate.parquet"))
    assert "suspect" not in before.counts()
    moved = recut.with_cut(before, Cut(threshold=0.5))
    assert moved.table.column("verdict").to_pylist() == verdict
