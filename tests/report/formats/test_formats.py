"""Every format, parsed back."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.report.test_report import small
from zcurate.config.options import ReportOptions
from zcurate.plugins import FORMATS

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
