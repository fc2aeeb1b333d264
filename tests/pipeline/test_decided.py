"""`scan --decisions`: decided labels are used and trusted, and stand in the report."""

from __future__ import annotations

import numpy as np
import pytest

import zcurate
from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError, ZcurateError
from zcurate.training import rounds


@pytest.fixture(scope="module")
def decided(scanned, tmp_path_factory):
    """A scan with decisions: k3 kept, k5 relabeled, k7 dropped, k9 unsure, and the arguments that `rounds.train` got."""
    folder = tmp_path_factory.mktemp("decided")
    report = zcurate.load_report(str(scanned[1]))
    given = report.table.column("given").to_pylist()
    other = next(name for name in ("ant", "bee", "cat") if name != given[5])
    (folder / "d.csv").write_text(f"id,decision,label\nk3,keep,\nk5,relabel,{other}\nk7,drop,\nk9,unsure,\ngone,keep,\n")
    seen = {}
    original = rounds.train

    def spy(encoded, *words, **settings):
        evidence, cut = original(encoded, *words, **settings)
        seen.update(encoded=encoded, evidence=evidence)
        return evidence, cut

    patch = pytest.MonkeyPatch()
    patch.setattr(rounds, "train", spy)
    found = zcurate.scan(str(scanned[0]), label="label", id="key", epochs=4, decisions=str(folder / "d.csv"), output=str(folder / "r.zcurate.parquet"))
    patch.undo()
    return found, seen, other, folder


def test_decisions_stand_in_the_report(decided):
    report, _, other, folder = decided
    rows = {row["id"]: row for row in report.table.to_pylist()}
    assert [rows[f"k{k}"]["decision"] for k in (3, 5, 7, 9, 11)] == ["keep", "relabel", "drop", "unsure", None]
    assert [rows[f"k{k}"]["verdict"] for k in (3, 5, 7)] == ["clean", "incorrect", "incorrect"]
    assert [rows[f"k{k}"]["p_incorrect"] for k in (3, 5, 7)] == [0, 1, 1]
    assert rows["k5"]["suggested"] == rows["k5"]["decided"] == other
    assert rows["k5"]["given"] != other
    assert report.card["decided"] == {"rows": 4, "lost": 1}
    assert zcurate.load_report(str(folder / "r.zcurate.parquet")).table.equals(report.table)


def test_decided_labels_are_trained_on_never_planted_and_never_masked(decided):
    _, seen, other, _ = decided
    encoded, evidence = seen["encoded"], seen["evidence"]
    assert np.flatnonzero(encoded.trusted.numpy()).tolist() == [3, 5]
    assert evidence.y[5] == ["ant", "bee", "cat"].index(other)
    assert evidence.y[7] == -1
    planted = np.concatenate([one.planted.row for one in evidence.rounds])
    assert not {3, 5} & set(planted.tolist())
    assert evidence.columns["n_masked"][[3, 5]].tolist() == [0, 0]
    assert evidence.columns["n_masked"].max() > 0


@pytest.mark.slow
def test_trusted_rows_are_never_planted_as_copies(scanned, monkeypatch):
    from zcurate.evidence.planted import Planted
    from zcurate.training import rounds as rounds_module

    monkeypatch.setattr(rounds_module, "plant_round", lambda *_: Planted(np.array([3, 5, 8]), np.array([0, 0, 0]), np.full(3, "uniform", "U8")))
    planted = {}
    original = rounds_module.Trainer.train_round
    monkeypatch.setattr(
        rounds_module.Trainer, "train_round", lambda self, at, fold, labels, one: planted.setdefault(at, one) and original(self, at, fold, labels, one)
    )
    path = scanned[0].parent / "keep.csv"
    path.write_text("id,decision\nk3,keep\n")
    zcurate.scan(str(scanned[0]), label="label", id="key", epochs=1, decisions=str(path))
    assert 3 not in planted[0].row
    path.unlink()


def test_an_update_of_a_scan_with_decisions_keeps_them(decided):
    report, _, _, _ = decided
    changed = report.update([{"id": "k20", "decision": "keep"}])
    rows = {row["id"]: row for row in changed.table.to_pylist()}
    assert [rows[f"k{k}"]["p_incorrect"] for k in (3, 5, 7, 20)] == [0, 1, 1, 0]
    assert [rows[f"k{k}"]["decision"] for k in (3, 5, 7, 20)] == ["keep", "relabel", "drop", "keep"]


def test_bad_decisions_leave_no_report(scanned, tmp_path):
    for text, message in (
        ("row,decision\n1,kepp\n", "did you mean keep"),
        ("id,decision,label\nk1,relabel,dog\n", "no class"),
        ("id,decision\nz,keep\n", "none of 1"),
    ):
        (tmp_path / "d.csv").write_text(text)
        with pytest.raises(ZcurateError, match=message):
            zcurate.scan(str(scanned[0]), label="label", id="key", epochs=1, decisions=str(tmp_path / "d.csv"), output=str(tmp_path / "r.zcurate.parquet"))
        assert [path.name for path in tmp_path.iterdir()] == ["d.csv"]


def test_rows_that_do_not_fit_into_memory_are_refused(scanned, tmp_path):
    from zcurate.pipeline.decided import with_decisions

    (tmp_path / "d.csv").write_text("row,decision\n1,keep\n")
    options = ScanOptions(decisions=str(tmp_path / "d.csv"))
    with pytest.raises(UsageError, match="do not fit into memory"):
        with_decisions(object(), options, None)


@pytest.mark.slow
def test_the_report_is_replaced_by_a_scan_with_decisions(decided, scanned):
    _, _, _, folder = decided
    zcurate.scan(str(scanned[0]), label="label", id="key", epochs=4, output=str(folder / "r2.zcurate.parquet"))
    zcurate.scan(str(scanned[0]), label="label", id="key", epochs=4, decisions=str(folder / "d.csv"), output=str(folder / "r2.zcurate.parquet"))
    assert "decision" in zcurate.load_report(str(folder / "r2.zcurate.parquet")).table.column_names
