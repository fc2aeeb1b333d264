"""Every format, parsed back."""

from __future__ import annotations

import csv
import datetime
import io
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.report.test_report import small
from zcurate.config.report_options import ReportOptions
from zcurate.errors import UsageError
from zcurate.plugins import FORMATS
from zcurate.report.formats import xlsx

AWKWARD = pa.table(
    {
        "row": [0, 1, 2],
        "given": ['say "hi", you', "two\nlines", "naïve | pipe"],
        "p_incorrect": pa.array([0.1, None, 1 / 3], pa.float32()),
        "residual": pa.array([0.1 + 0.2, None, -1e-300]),
        "verdict": ["incorrect", "hard", "clean"],
        "reasons": pa.array([["a", "b"], [], ["c"]], pa.list_(pa.string())),
    }
)


def rendered(form, table=AWKWARD, **options):
    stream = io.BytesIO()
    FORMATS.load(form)(table, stream, ReportOptions(**options))
    return stream.getvalue()


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_delimited_text_reads_back(form, delimiter):
    content = rendered(form).decode()
    assert "\r" not in content
    rows = list(csv.reader(io.StringIO(content), delimiter=delimiter))
    assert rows[0] == AWKWARD.column_names
    assert [row[1] for row in rows[1:]] == AWKWARD.column("given").to_pylist()
    assert [row[2] for row in rows[1:]] == ["0.1", "", str(np.float32(1 / 3))]
    assert float(rows[1][3]) == 0.1 + 0.2
    assert rows[1][5] == "a b"


def test_json_lines_read_back():
    rows = [json.loads(line) for line in rendered("jsonl").splitlines()]
    assert [row["given"] for row in rows] == AWKWARD.column("given").to_pylist()
    assert rows[0]["p_incorrect"] == 0.1
    assert rows[1]["p_incorrect"] is None
    assert rows[0]["reasons"] == ["a", "b"]
    assert rows[2]["residual"] == -1e-300


def test_a_json_array_reads_back():
    assert json.loads(rendered("json")) == [json.loads(line) for line in rendered("jsonl").splitlines()]
    assert json.loads(rendered("json", AWKWARD.slice(0, 0))) == []


def test_parquet_reads_back():
    assert pq.read_table(io.BytesIO(rendered("parquet"))).equals(AWKWARD)


def test_ids_are_id_else_path_else_row():
    assert rendered("ids") == b"0\n1\n2\n"
    assert rendered("ids", AWKWARD.append_column("path", [["a/1.png", "b 2.png", "c.png"]]), null=True) == b"a/1.png\0b 2.png\0c.png\0"
    assert rendered("ids", AWKWARD.append_column("path", [["p"] * 3]).append_column("id", [[7, 8, 9]])) == b"7\n8\n9\n"


def test_markdown_escapes_pipes():
    lines = rendered("markdown").decode().splitlines()
    assert lines[1] == "| --- | --- | --- | --- | --- | --- |"
    assert "naïve \\| pipe" in lines[4]
    assert len(lines) == 5


def test_the_table_is_for_people():
    text = rendered("table", small().table).decode()
    assert "models that never saw the row" in " ".join(text.split())
    assert "cat" in text
    assert "\x1b" not in text


def test_markup_in_the_data_is_printed_literally():
    table = small().table
    table = table.set_column(1, "given", [["[red]x[/red]"] * table.num_rows])
    assert "[red]x[/red]" in rendered("table", table).decode()


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_takes_an_empty_selection(form):
    rendered(form, small().table.slice(0, 0))


def test_lists_of_numbers_keep_their_digits_and_nulls():
    table = pa.table({"row": [0, 1], "loss_curve": pa.array([[0.1, None, 1 / 3], None], pa.list_(pa.float32()))})
    assert rendered("csv", table).decode().splitlines()[1:] == ["0,0.1 null 0.33333334", "1,"]
    assert json.loads(rendered("json", table)) == [{"row": 0, "loss_curve": [0.1, None, 0.33333334]}, {"row": 1, "loss_curve": None}]
    assert "| 0 | 0.1 null 0.33333334 |" in rendered("markdown", table).decode()
    assert pq.read_table(io.BytesIO(rendered("parquet", table))).equals(table)
    assert "0.1 null" in rendered("table", table, columns="row,loss_curve").decode()


def sheet(table):
    openpyxl = pytest.importorskip("openpyxl")
    return openpyxl.load_workbook(io.BytesIO(rendered("xlsx", table))).active


def test_a_workbook_reads_back():
    rows = list(sheet(AWKWARD).iter_rows(values_only=True))
    assert list(rows[0]) == AWKWARD.column_names
    assert [row[0] for row in rows[1:]] == [0, 1, 2]
    assert [row[1] for row in rows[1:]] == AWKWARD.column("given").to_pylist()
    assert [row[2] for row in rows[1:]] == [0.1, None, float(str(np.float32(1 / 3)))]
    assert [row[3] for row in rows[1:]] == [pytest.approx(0.1 + 0.2, rel=1e-15), None, -1e-300]
    assert [row[5] or "" for row in rows[1:]] == ["a b", "", "c"]
    assert sheet(AWKWARD).freeze_panes == "A2"
    assert list(sheet(AWKWARD.slice(0, 0)).iter_rows(values_only=True)) == [tuple(AWKWARD.column_names)]


TEXTS = ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")', "\t=1", "#N/A", "#REF!", "TRUE", "12", "2020-01-01", " padded "]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.string())])
def test_text_is_text_in_a_workbook_whatever_it_looks_like(kind):
    values = [[text] for text in TEXTS] if pa.types.is_list(kind) else TEXTS
    table = pa.table({"=name()": pa.array(values, pa.string()).cast(kind) if not pa.types.is_list(kind) else pa.array(values, kind)})
    cells = [row[0] for row in sheet(table).iter_rows()]
    assert [cell.value for cell in cells] == ["=name()", *TEXTS]
    assert {cell.data_type for cell in cells} == {"s"}
    assert all(cell.quotePrefix for cell in cells if cell.value[0] in "=+-@\t")


def test_what_a_workbook_cannot_hold_is_replaced_cut_or_digits():
    texts = ["a\x00b\x1fc", "d\ufffee\uffff", "x" * 40_000]
    assert [row[0] for row in sheet(pa.table({"t": texts})).iter_rows(values_only=True)][1:] == ["a\ufffdb\ufffdc", "d\ufffde\ufffd", "x" * 32_766 + "…"]
    numbers = pa.table({"n": [2**60, -(2**60), 10**15 - 1]})
    assert [row[0] for row in sheet(numbers).iter_rows(values_only=True)][1:] == [str(2**60), str(-(2**60)), 10**15 - 1]
    floats = pa.table({"f": [float("nan"), float("inf"), -0.5]})
    assert [row[0] for row in sheet(floats).iter_rows(values_only=True)][1:] == [None, "inf", -0.5]


def test_dates_of_a_workbook_are_dates_or_text():
    noon = datetime.datetime(2024, 5, 6, 12)
    table = pa.table({
        "naive": [noon], "zoned": pa.array([noon], pa.timestamp("us", tz="UTC")), "old": [datetime.date(1850, 1, 1)], "day": [datetime.date(2024, 5, 6)],
        "time": [datetime.time(1, 2)], "bytes": [b"\x00\xff"], "truth": [True],
    })  # fmt: skip
    row = list(sheet(table).iter_rows(values_only=True))[1]
    assert row == (noon, "2024-05-06 12:00:00+00:00", "1850-01-01", datetime.datetime(2024, 5, 6), "01:02:00", "00ff", True)


def test_too_many_rows_for_a_workbook_are_refused(monkeypatch):
    pytest.importorskip("openpyxl")
    monkeypatch.setattr(xlsx, "MAX_ROWS", 3)
    with pytest.raises(UsageError, match="3 rows of 6 columns — expected at most 2 rows .* — try --top N"):
        rendered("xlsx")


def test_a_workbook_without_openpyxl_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(UsageError, match=r"openpyxl is not installed — .* — pip install 'zcurate\[xlsx\]'"):
        rendered("xlsx")
