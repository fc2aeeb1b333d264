"""The metrics of a trial, on a few given rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from zcurate.pipeline.trial import metrics
from zcurate.pipeline.trial.metrics import ComparedScans

#            planted: 3 found of 4           | suspected | hard, now incorrect | clean | unlabelled
KIND = np.array(["uniform", "uniform", "confused", "confused", "", "", "", "", ""])
BEFORE = np.array([0.1, 0.0, 0.2, 0.1, 0.9, 0.4, 0.1, 0.1, np.nan])
AFTER = np.array([0.9, 0.8, 0.7, 0.3, 0.95, 0.6, 0.1, 0.2, np.nan])
WORDS_BEFORE = np.array(["clean", "clean", "clean", "clean", "incorrect", "hard", "clean", "clean", "unlabelled"])
WORDS_AFTER = np.array(["incorrect", "incorrect", "incorrect", "hard", "incorrect", "incorrect", "clean", "clean", "unlabelled"])
RESTORED = np.array([True, False, True, True, False, False, False, False, False])
ROWS = ComparedScans(KIND, BEFORE, WORDS_BEFORE, AFTER, WORDS_AFTER, RESTORED, {"p": AFTER, "backwards": -AFTER})


def test_recall_is_counted_by_kind_and_for_all():
    table = {row["kind"]: row for row in metrics.by_kind(ROWS)}
    assert list(table) == ["uniform", "confused", "all"]
    assert [table[kind]["planted"] for kind in table] == [2, 2, 4]
    assert [table[kind]["found"] for kind in table] == [2, 1, 3]
    assert [table[kind]["recall"] for kind in table] == [1.0, 0.5, 0.75]
    assert [table[kind]["hard"] for kind in table] == [0, 1, 1]
    assert [table[kind]["restored"] for kind in table] == [1, 1, 2]


def test_the_interval_is_wilsons():
    row = metrics.by_kind(ROWS)[-1]
    # 3 of 4: (p + z2/2n ± z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n), z = 1.96
    assert (row["recall_low"], row["recall_high"]) == pytest.approx((0.3006, 0.9544), abs=1e-4)


def test_rows_flagged_before_planting_are_separated_from_false_alarms():
    cut = metrics.at_cut(ROWS)
    assert (cut["flagged"], cut["planted"], cut["before"], cut["other"]) == (5, 3, 1, 1)
    assert (cut["precision_low"], cut["precision_high"]) == (3 / 5, 4 / 5)


def test_a_planted_row_that_was_suspected_before_counts_as_planted_only():
    rows = dataclasses.replace(ROWS, before=np.where(ROWS.planted, 0.99, BEFORE), verdict_before=np.where(ROWS.planted, "incorrect", WORDS_BEFORE))
    cut = metrics.at_cut(rows)
    assert (cut["planted"], cut["before"], cut["other"]) == (3, 1, 1)


def test_each_cut_applies_to_both_scans():
    table = {row["cut"]: row for row in metrics.by_cut(ROWS)}
    assert [table[0.5][name] for name in ("flagged", "planted", "before", "other")] == [5, 3, 1, 1]
    # At 0.3 the hard row was flagged before planting too; at 0.95 nothing is above.
    assert [table[0.3][name] for name in ("flagged", "planted", "before", "other")] == [5, 3, 2, 0]
    assert table[0.95]["flagged"] == 0
    assert (table[0.95]["recall"], table[0.95]["precision_low"]) == (0.0, None)


def test_rankings_leave_suspected_rows_out_except_in_average_precision_all():
    right, backwards, chance = metrics.rankings(ROWS)
    assert [row["ranking"] for row in (right, backwards, chance)] == ["p", "backwards", "chance"]
    # Without the suspected row: .9 .8 .7 planted, .6 not, .3 planted, .2 .1 not: 11 of 12 pairs in order.
    assert right["auroc"] == pytest.approx(11 / 12)
    assert right["average_precision"] == pytest.approx((1 + 1 + 1 + 4 / 5) / 4)
    # With it, .95 stands before all of them.
    assert right["average_precision_all"] == pytest.approx((1 / 2 + 2 / 3 + 3 / 4 + 4 / 6) / 4)
    assert backwards["auroc"] == pytest.approx(1 / 12)
    assert (chance["average_precision"], chance["average_precision_all"]) == (4 / 7, 4 / 8)


def test_wrong_against_hard_compares_only_planted_and_hard_rows():
    assert metrics.rankings(ROWS)[0]["over_hard"] == pytest.approx(3 / 4)
    nothing_hard = dataclasses.replace(ROWS, verdict_before=np.where(WORDS_BEFORE == "hard", "clean", WORDS_BEFORE))
    assert metrics.rankings(nothing_hard)[0]["over_hard"] is None


def test_the_verdicts_of_hard_rows_after_planting_are_counted():
    assert metrics.hard_rows(ROWS) == {"rows": 1, "incorrect": 1, "suspect": 0, "hard": 0, "clean": 0, "outlier": 0}
