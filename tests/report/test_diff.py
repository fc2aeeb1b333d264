"""Comparing two reports: rows are matched by what they are, not by where they stand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import zcurate
from zcurate.errors import ReportError
from zcurate.judge.thresholds import Cut
from zcurate.report import recut
from zcurate.report.diff import CHANGES, describe, diff, newly_flagged


@pytest.fixture(scope="module")
def report(scanned):
    return zcurate.load_report(str(scanned[1]))


def with_rows(report, rows):
    return dataclasses.replace(report, table=report.table.take(pa.array(rows)).set_column(0, "row", pa.array(np.arange(len(rows)))))


def test_a_report_does_not_differ_from_itself_sorted_otherwise(report):
    assert not any(diff(report, report).counts().values())
    assert not any(diff(report, with_rows(report, np.random.default_rng(0).permutation(300))).counts().values())


def test_each_change_is_told(report):
    flagged = np.flatnonzero(report.called("incorrect"))
    moved = recut.with_cut(report, Cut(budget=3))
    assert diff(report, moved).counts()["no longer flagged"] == len(flagged) - 3
    assert diff(moved, report).counts()["newly flagged"] == newly_flagged(moved, report) == len(flagged) - 3
    fewer = diff(report, with_rows(report, np.arange(10, 300)))
    assert fewer.counts()["row gone"] == 10
    assert fewer.n_rows == (300, 290)
    more = diff(with_rows(report, np.arange(10, 300)), report)
    assert more.counts()["new row"] + more.counts()["newly flagged"] == 10
    assert set(fewer.table.column("change").to_pylist()) <= set(CHANGES)
    assert "290" in describe(fewer)[1]


def test_a_changed_label_is_matched_by_the_features(report):
    from zcurate.data.fingerprints import relabeled

    row = int(np.flatnonzero(report.called("clean"))[0])
    given = report.table.column("given").to_pylist()
    prints = report.table.column("fingerprint").to_pylist()
    other = next(name for name in ("ant", "bee", "cat") if name != given[row])
    prints[row], given[row] = relabeled(prints[row], given[row], other), other
    table = report.table.set_column(report.table.column_names.index("given"), "given", pa.array(given))
    table = table.set_column(table.column_names.index("fingerprint"), "fingerprint", pa.array(prints))
    found = diff(report, dataclasses.replace(report, table=table))
    assert found.counts() == {**dict.fromkeys(CHANGES, 0), "label changed": 1}
    entry = found.table.to_pylist()[0]
    assert (entry["row_old"], entry["row_new"], entry["given_new"]) == (row, row, other)
    assert entry["key"] == f"k{row}"


def test_copies_are_paired_one_by_one(report):
    twice = with_rows(report, np.concatenate([np.arange(300), [7, 7]]))
    counts = diff(report, twice).counts()
    assert counts["new row"] + counts["newly flagged"] == 2
    assert not any(diff(twice, twice).counts().values())


def test_reports_of_version_1_are_matched_by_id(report):
    def old(one):
        return dataclasses.replace(one, table=one.table.drop_columns(["fingerprint"]))

    assert not any(diff(old(report), report).counts().values())
    assert not any(diff(old(report), old(with_rows(report, np.arange(299, -1, -1)))).counts().values())
    no_key = dataclasses.replace(report, table=report.table.drop_columns(["fingerprint", "id"]))
    assert not any(diff(no_key, no_key).counts().values())
    other = dataclasses.replace(no_key, card={**no_key.card, "input": {**no_key.card["input"], "digest": "x"}})
    with pytest.raises(ReportError, match="neither fingerprints nor ids"):
        diff(no_key, other)


def test_probabilities_stand_beside_each_other(report):
    moved = recut.with_cut(report, Cut(budget=1))
    table = diff(report, moved).table
    assert pc.all(pc.equal(table.column("p_incorrect_old"), table.column("p_incorrect_new"))).as_py()
    assert set(table.column("verdict_old").to_pylist()) == {"incorrect"}
