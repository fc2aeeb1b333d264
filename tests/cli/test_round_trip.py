"""From a table to clean data and back: scan, review, update, apply, scan again with the decisions, as the README says."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

import zcurate
from tests.conftest import ROOT

CASES = {
    "penguins": ("penguins.csv", "species", "penguin", []),
    "flights": ("flights.csv", "air_minutes", "flight", ["--task", "regression"]),
}


def answers(report, truth):
    """Key presses for the rows that a review asks about: the label that is right, typed."""
    from zcurate.report.picks import pick_rows

    words = []
    for row in pick_rows(report, "teach", 25, 0, np.zeros(0, np.int64)).row.tolist():
        given = report.table.column("given")[row].as_py()
        right = truth[row]
        same = given == right if isinstance(given, str) else abs(float(given) - float(right)) < 1e-9
        words += ["k"] if same else ["t", str(right)]
    return "\n".join(words).encode() + b"\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_readme_s_way_makes_the_labels_better(name, run, here):
    file, label, key, options = CASES[name]
    for one in (file, "truth.csv"):
        shutil.copy(ROOT / "sample_data" / name / one, here / one)
    before = (here / file).read_bytes()
    assert run("scan", file, "--label", label, "--id", key, "-q", *options)[0] == 0
    path = f"{name}.zcurate.parquet"
    truth_table = pd.read_csv(here / "truth.csv")
    data = pd.read_csv(here / file)
    column = next(one for one in truth_table.columns if one.startswith("true"))
    truth = data[key].map(truth_table.set_index(truth_table.columns[0])[column]).tolist()
    report = zcurate.load_report(path)
    code, out, _ = run("review", path, stdin=answers(report, truth))
    assert code == 0
    assert "25 of 25: about" in out
    decisions = f"{name}.decisions.csv"
    assert len((here / decisions).read_text().splitlines()) == 26
    assert run("update", path, "--decisions", decisions)[0] == 0
    assert run("apply", path, "--action", "relabel", "-o", "clean.csv")[0] == 0
    assert (here / file).read_bytes() == before
    clean = pd.read_csv(here / "clean.csv")
    if name == "penguins":
        right = [(frame[label] == pd.Series(truth)).mean() for frame in (data, clean)]
        assert right[1] > right[0] + 0.04
    else:
        off = [np.abs(frame[label] - pd.Series(truth, dtype=float)).mean() for frame in (data, clean)]
        assert off[1] < 0.6 * off[0]
    assert run("scan", file, "--label", label, "--id", key, "--decisions", decisions, "-q", *options)[0] == 0
    again = zcurate.load_report(path)
    decided = [word for word in again.table.column("decision").to_pylist() if word is not None]
    assert len(decided) == 25
    code, out, _ = run("diff", path, path)
    assert (code, out.count("\n")) == (0, 1)
    assert run("apply", "--undo", "clean.csv.changes.jsonl")[0] == 0
    assert (here / "clean.csv").read_bytes() == before
