"""`zcurate report` and `explain`: what is no report is named for what it is."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.report.test_report import small


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
    (here / "notes").write_text("nothing of the kind")
    return here


KINDS = [
    ("t.csv", "t.csv: is a table, not a report", "zcurate scan t.csv"),
    ("t.jsonl", "t.jsonl: is a table, not a report", "zcurate scan t.jsonl"),
    ("t.parquet", "t.parquet: is a table, not a report", "zcurate scan t.parquet"),
    ("two words.csv", "two words.csv: is a table, not a report", "zcurate scan 'two words.csv'"),
    ("pictures", "pictures: is a folder, not a report", "zcurate scan pictures"),
    ("p.png", "p.png: is a picture, not a report", "zcurate scan FOLDER"),
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
