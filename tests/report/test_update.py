"""Updates: answers change the judgement, none changes nothing, and the scan's own comes back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import zcurate
from zcurate.errors import ReportError, UsageError
from zcurate.judge.thresholds import Cut
from zcurate.report import recut
from zcurate.report.decisions import Decision
from zcurate.report.picks import pick_rows
from zcurate.report.update import TAUGHT_CLUES, undo, update


@pytest.fixture(scope="module")
def report(scanned):
    return zcurate.load_report(str(scanned[1]))


def answers(report, truth, n=25, seed=0, how="teach"):
    picks = pick_rows(report, how, n, seed, np.zeros(0, np.int64))
    given = report.table.column("given").to_pylist()
    return [
        Decision("keep" if given[row] == truth[row] else "relabel", None if given[row] == truth[row] else truth[row], row=int(row), draw_probability=float(p))
        for row, p in zip(picks.row, picks.draw_probability, strict=True)
    ]


def test_no_answers_move_nothing(report):
    assert update(report, []).report.table.equals(report.table)
    unsure = update(report, [Decision("unsure", row=4)])
    for name in ("p_incorrect", "p_hard", "p_suggested", "suggested", "rank", "verdict"):
        assert unsure.report.table.column(name).to_pylist() == report.table.column(name).to_pylist()
    assert "no answer tells anything" in unsure.warnings[0]


def test_answers_settle_their_rows_and_change_the_others(report, scanned):
    given_answers = answers(report, scanned[2])
    changed = update(report, given_answers).report
    table = changed.table
    p = table.column("p_incorrect").to_pylist()
    for one in given_answers:
        assert p[one.row] == (one.decision == "relabel")
        assert table.column("verdict")[one.row].as_py() == ("incorrect" if one.decision == "relabel" else "clean")
        assert table.column("decided")[one.row].as_py() == table.column("suggested")[one.row].as_py() == scanned[2][one.row]
    before = report.table.column("p_incorrect").to_pylist()
    assert sum(abs(a - b) > 1e-4 for a, b in zip(p, before, strict=True)) > 100
    total = pc.add(pc.add(table.column("p_incorrect"), table.column("p_hard")), table.column("p_outlier"))
    assert pc.max(total).as_py() <= 1 + 1e-6
    assert sorted(table.column("rank").to_pylist()) == list(range(1, 301))
    assert changed.card["answers"]["used"] == 25
    assert changed.card["noise_rate"]["low"] <= changed.card["noise_rate"]["estimate"] <= changed.card["noise_rate"]["high"]


def test_one_answer_moves_little(report, scanned):
    one = [single for single in answers(report, scanned[2]) if single.decision == "keep"][:1]
    p, before = (np.array(some.table.column("p_incorrect").to_pylist()) for some in (update(report, one).report, report))
    others = np.arange(300) != one[0].row
    assert np.abs(p - before)[others].max() < 0.15


def test_undo_restores_the_scan_cell_for_cell(report, scanned, tmp_path):
    path = str(tmp_path / "new.zcurate.parquet")
    update(report, answers(report, scanned[2])).report.save(path)
    again = undo(zcurate.load_report(path))
    assert again.table.equals(report.table)
    assert again.card == report.card
    with pytest.raises(ReportError, match="never updated"):
        undo(again)


def test_an_update_starts_from_the_scan_whatever_came_before(report, scanned):
    first, second = answers(report, scanned[2], seed=1), answers(report, scanned[2], seed=2)
    once, twice = update(report, second).report, update(update(report, first).report, second).report
    assert twice.table.equals(once.table)
    assert twice.card == once.card


def test_answers_that_contradict_the_scan_are_said_to(report):
    picks = pick_rows(report, "top", 20, 0, np.zeros(0, np.int64))
    kept = [Decision("keep", row=int(row), draw_probability=1.0) for row in picks.row]
    assert "the answers contradict the scan: 0 of 20 rows are wrong" in update(report, kept).warnings[0]


def test_the_cut_still_moves_and_decided_rows_stay(report, scanned):
    changed = update(report, answers(report, scanned[2])).report
    wrong = {one.row for one in answers(report, scanned[2]) if one.decision == "relabel"}
    strict = recut.with_cut(changed, Cut(threshold=0.999))
    assert wrong <= set(np.flatnonzero(strict.called("incorrect")).tolist())
    loose = recut.with_cut(changed, Cut(threshold=0.001))
    kept = {one.row for one in answers(report, scanned[2]) if one.decision == "keep"}
    assert not kept & set(np.flatnonzero(loose.called("incorrect")).tolist())


def test_a_drop_counts_as_wrong_and_suggests_nothing_new(report):
    row = int(pick_rows(report, "top", 1, 0, np.zeros(0, np.int64)).row[0])
    changed = update(report, [Decision("drop", row=row)]).report
    assert changed.table.column("verdict")[row].as_py() == "incorrect"
    assert changed.table.column("decided")[row].as_py() is None


def test_python_takes_a_file_a_list_or_a_frame(report, tmp_path):
    (tmp_path / "d.csv").write_text("row,decision\n3,keep\n")
    from_file = report.update(str(tmp_path / "d.csv"), output=str(tmp_path / "o.zcurate.parquet"))
    from_list = report.update([{"row": 3, "decision": "keep"}])
    from_frame = report.update(pa.table({"row": [3], "decision": ["keep"]}).to_pandas())
    assert from_file.table.equals(from_list.table) and from_list.table.equals(from_frame.table)
    assert zcurate.load_report(str(tmp_path / "o.zcurate.parquet")).table.equals(from_file.table)
    assert "decision" not in report.table.column_names


def test_targets_are_updated_too():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = x[:, 0] * 3 + rng.normal(0, 0.1, 300)
    wrong = rng.choice(300, 25, replace=False)
    given = y.copy()
    given[wrong] += 4
    report = zcurate.scan(pa.table({"a": x[:, 0], "b": x[:, 1], "y": given}), label="y", task="regression", epochs=6)
    row = int(wrong[0])
    changed = report.update([{"row": row, "decision": "relabel", "label": "1.25"}, {"row": int(wrong[1]), "decision": "drop"}])
    assert changed.table.column("decided")[row].as_py() == changed.table.column("suggested")[row].as_py() == 1.25
    assert changed.called("incorrect")[wrong[:2]].all()
    with pytest.raises(UsageError, match="label 'tall' is no number"):
        report.update([{"row": row, "decision": "relabel", "label": "tall"}])


def test_the_taught_clues_exist():
    from zcurate.plugins import SIGNALS

    assert set(TAUGHT_CLUES) <= set(SIGNALS)
