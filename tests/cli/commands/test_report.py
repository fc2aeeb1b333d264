"""`zcurate report` and `explain`: what is no report is named for what it is."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.report.test_report import small
from zcurate.errors import UsageError


def last(err):
    return err.strip().splitlines()[-1]


@pytest.fixture
def files(here):
    """One of each kind of input, and no report."""
    (here / "t.csv").write_text("x,label\n1,a\n")
    (here / "t.jsonl").write_text('{"x": 1}\n')
    (here / "two words.csv").write_text("x,label\n1,a\n")
    pq.write_table(pa.table({"x": [1]}), here / "t.parquet")
    Image.new("L", (4, 4)).save(here / "p.png")
    (here / "pictures" / "cat").mkdir(parents=True)
    Image.new("L", (4, 4)).save(here / "pictures" / "cat" / "p.png")
    (here / "p.npz").write_bytes(b"PK")
    (here / "notes").write_text("nothing of the kind")
    return here


KINDS = [
    ("t.csv", "t.csv: is a table, not a report", "zcurate scan t.csv"),
    ("t.jsonl", "t.jsonl: is a table, not a report", "zcurate scan t.jsonl"),
    ("t.parquet", "t.parquet: is a table, not a report", "zcurate scan t.parquet"),
    ("two words.csv", "two words.csv: is a table, not a report", "zcurate scan 'two words.csv'"),
    ("pictures", "pictures: is a folder, not a report", "zcurate scan pictures"),
    ("p.png", "p.png: is a picture, not a report", "zcurate scan FOLDER"),
    ("p.npz", "p.npz: is a file of pictures, not a report", "zcurate scan p.npz"),
    ("notes", "notes: is a file of another kind, not a report", "check the path"),
]


@pytest.mark.parametrize(("name", "told", "cure"), KINDS)
def test_report_names_what_is_no_report(run, files, name, told, cure):
    code, out, err = run("report", name)
    assert (code, out) == (2, "")
    assert told in last(err) and last(err).endswith(cure)


@pytest.mark.parametrize("with_report", [False, True])
@pytest.mark.parametrize(("name", "told", "cure"), [kind for kind in KINDS if kind[0] != "p.png"])
def test_explain_names_what_is_no_report(run, files, name, told, cure, with_report):
    if with_report:
        small().save("a.zcurate.parquet")
    code, out, err = run("explain", name, "3")
    assert (code, out) == (2, "")
    assert told in last(err) and last(err).endswith(cure)


def test_the_report_of_a_table_is_named_if_it_is_here(run, files):
    small().save("t.zcurate.parquet")
    assert last(run("report", "t.csv")[2]).endswith("zcurate report t.zcurate.parquet")


@pytest.mark.parametrize("name", ["t", "t.csv", "tt.zcurate.parquet", "t.zcurate.parqet"])
def test_a_typing_error_in_the_name_of_a_report_suggests_the_report(run, here, name):
    small().save("t.zcurate.parquet")
    code, _, err = run("report", name)
    assert code == 2 and last(err).endswith("did you mean t.zcurate.parquet?")


def test_a_workbook_is_written_by_its_ending(run, here):
    openpyxl = pytest.importorskip("openpyxl")
    small().save("t.zcurate.parquet")
    assert run("report", "-o", "wrong.xlsx")[:2] == (0, "")
    rows = list(openpyxl.load_workbook("wrong.xlsx").active.iter_rows(values_only=True))
    assert rows[0][:4] == ("row", "given", "suggested", "verdict")
    assert {row[3] for row in rows[1:]} == {"incorrect"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wrong.xls", "did you mean .xlsx?"),
        ("wrong.csv.gz", "no format has the ending .gz"),
        ("wrong.html", "or --format F"),
        ("wrong.jsnl", "did you mean .jsonl?"),
    ],
)
def test_a_file_of_an_unknown_ending_is_not_written_as_csv(run, here, name, told):
    small().save("t.zcurate.parquet")
    code, out, err = run("report", "-o", name)
    assert (code, out) == (2, "") and told in last(err)
    assert run("report", "-o", name, "--format", "csv")[0] == 0


@pytest.mark.parametrize("form", ["xlsx", "parquet"])
def test_a_binary_format_is_not_written_to_a_terminal(run, here, monkeypatch, form):
    from zcurate.cli.commands import report
    from zcurate.config.report_options import ReportOptions

    monkeypatch.setattr(report.sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(UsageError, match=f"--format {form}: is not text for a terminal — .* — add -o report.{form}"):
        report.format_of(ReportOptions(format=form))
    assert report.format_of(ReportOptions(format=form, output="x.bin")) == form


def test_info_suggests_reports_too(run, here):
    small().save("t.zcurate.parquet")
    assert last(run("info", "t.zcurate.parqet")[2]).endswith("did you mean t.zcurate.parquet?")
    assert "zcurate.parquet" not in last(run("info", "t.csv")[2])


def test_report_takes_the_three_cuts(run, here, blobs_csv):
    path, _ = blobs_csv
    assert run("scan", path, "--epochs", "4", "-o", "a.zcurate.parquet")[0] == 0
    found = json.loads(run("report", "a.zcurate.parquet", "--budget", "5", "--format", "json", "--columns", "row,verdict")[1])
    assert [row["verdict"] for row in found] == ["incorrect"] * 5
    listed = run("report", "a.zcurate.parquet", "--threshold", "0.999", "--verdict", "suspect", "--format", "ids")[1].split()
    assert len(listed) >= 5
    code, _, err = run("report", "a.zcurate.parquet", "--budget", "5", "--threshold", "0.4")
    assert code == 2
    assert "both set the threshold" in err
