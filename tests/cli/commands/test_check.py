"""`zcurate check` and `diff`: exit codes, one line per broken rule, JUnit, Markdown, tables."""

from __future__ import annotations

import csv
import io
import json
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest

import zcurate

R = "blobs.zcurate.parquet"


@pytest.fixture
def here_with_report(here, scanned):
    shutil.copy(scanned[1], here / R)
    return here


def test_kept_rules_exit_0_and_broken_ones_1(run, here_with_report):
    report = zcurate.load_report(R)
    n = report.counts()["incorrect"]
    assert run("check", R, "--max-incorrect", "50%", "--max-noise", "60%", "--class", "ant=90%")[0] == 0
    code, out, _ = run("check", R, "--max-incorrect", "1", "--max-noise", "0.1%", "--class", "ant=0%", "--class", "bee=100%")
    assert code == 1
    lines = out.splitlines()
    assert len(lines) == 3
    assert lines[0] == f"{R}: --max-incorrect 1: {n} rows are incorrect, allowed 1"
    assert "of the labels are wrong" in lines[1]
    assert "rows of class ant are incorrect" in lines[2]
    assert run("check", R, "--max-incorrect", "1", "--budget", "1")[0] == 0


def test_new_rows_are_counted_against_an_earlier_report(run, here_with_report):
    assert run("check", R, "--max-new", "0", "--against", R)[0] == 0
    report = zcurate.load_report(R)
    flagged = np.flatnonzero(report.called("incorrect"))
    report.update([{"row": int(row), "decision": "keep"} for row in flagged[:4]], output="fewer.zcurate.parquet")
    code, out, _ = run("check", R, "--max-new", "3", "--against", "fewer.zcurate.parquet")
    assert code == 1
    assert "4 rows are newly flagged, allowed 3" in out or "rows are newly flagged, allowed 3" in out


def test_junit_and_github_hold_every_rule(run, here_with_report, monkeypatch):
    code, out, _ = run("check", R, "--max-incorrect", "1", "--class", "bee=100%", "--junit", "j.xml", "--github")
    assert code == 1
    suite = ET.parse(here_with_report / "j.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert "| rule | | found |" in out
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(here_with_report / "summary.md"))
    run("check", R, "--max-incorrect", "1", "--github")
    assert "**broken**" in (here_with_report / "summary.md").read_text()


def test_an_unjudged_report_is_no_pass(run, here):
    rng = np.random.default_rng(0)
    table = pa.table({"a": rng.normal(size=100), "label": rng.integers(0, 2, 100).astype(str)})
    zcurate.scan(table, label="label", epochs=1, output="noise.zcurate.parquet")
    code, _, err = run("check", "noise.zcurate.parquet", "--max-incorrect", "2%")
    assert code == 3
    assert "no rule can be checked" in err


BAD = [
    ((), "no rule"),
    (("--max-new", "3"), "--max-new and --against go together"),
    (("--max-incorrect", "2x"), "--max-incorrect"),
    (("--max-noise", "200%"), "--max-noise"),
    (("--class", "ant"), "expected a class and its limit"),
    (("--class", "aunt=1%"), "no class 'aunt'"),
    (("--max-incorrect", "2%", "--junit", R), "is the report itself"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=range(len(BAD)))
def test_bad_rules_exit_2(words, message, run, here_with_report):
    code, _, err = run("check", R, *words)
    assert code == 2
    assert message in err


def test_diff_writes_tables_csv_and_json(run, here_with_report):
    report = zcurate.load_report(R)
    row = int(np.flatnonzero(report.called("incorrect"))[0])
    report.update([{"row": row, "decision": "keep"}], output="new.zcurate.parquet")
    code, out, err = run("diff", R, "new.zcurate.parquet")
    assert code == 0
    table = list(csv.DictReader(io.StringIO(out)))
    assert next(entry for entry in table if entry["row_old"] == str(row))["change"] == "no longer flagged"
    assert "no longer flagged" in err
    assert "rows 300 → 300, wrong labels" in err
    assert json.loads(run("diff", R, "new.zcurate.parquet", "--format", "json")[1])[0]["change"] in ("newly flagged", "no longer flagged")
    assert run("diff", R, "new.zcurate.parquet", "-o", "d.jsonl")[0] == 0
    assert json.loads((here_with_report / "d.jsonl").read_text().splitlines()[0])
    shown = run("diff", R, "new.zcurate.parquet", "--format", "table")[1]
    assert "incorrect → clean" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert run("diff", R)[0] == 2
    assert run("diff", R, "none.zcurate.parquet")[0] == 2
