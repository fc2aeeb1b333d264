"""The same table, as programs write it: the same rows, kinds and labels from every one of them."""

import csv
import datetime as dt
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zcurate
from zcurate.config.options import ScanOptions
from zcurate.data import discovery, readers

N = 60
WORDS = ["red", "light blue", 'so-called "green"', "grün, hell", "a;b", "it's", "tab\there", "two\nlines"]


def table(seed, n=N):
    """Rows with numbers, whole numbers, dates, categories with odd characters, gaps, and classes that depend on the numbers."""
    rng = np.random.default_rng(seed)
    code = rng.integers(0, 3, n)
    start = dt.date(2019, 1, 1)
    return {
        "size": [None if rng.random() < 0.1 else round(float(v), 2) for v in rng.normal(1500 * (1 + code), 400)],
        "count": [int(v) for v in rng.poisson(3 + 2 * code)],
        "day": [start + dt.timedelta(days=int(v)) for v in rng.integers(0, 900, n)],
        "colour": [None if rng.random() < 0.1 else WORDS[k] for k in rng.integers(0, len(WORDS), n)],
        "label": [("ash", "birch", "cedar")[k] for k in code],
    }


def text_of(value, number, day, missing):
    if value is None:
        return missing
    return number(value) if isinstance(value, float) else value.strftime(day) if isinstance(value, dt.date) else str(value)


def written(columns, delimiter, end, quoting, number, day, missing, bom=False):
    """Write a table with Python's csv module, as some program would."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(columns)
    writer.writerows([text_of(value, number, day, missing) for value in row] for row in zip(*columns.values(), strict=True))
    return out.getvalue().encode("utf-8-sig" if bom else "utf-8")


def thousands(value):
    return f"{value:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")


WRITERS = {
    "pandas": {"delimiter": ",", "end": "\n", "quoting": csv.QUOTE_MINIMAL, "number": repr, "day": "%Y-%m-%d", "missing": ""},
    "R": {"delimiter": ",", "end": "\n", "quoting": csv.QUOTE_NONNUMERIC, "number": lambda v: f"{v:.15g}", "day": "%Y-%m-%d", "missing": "NA"},
    "spreadsheet": {"delimiter": ";", "end": "\r\n", "quoting": csv.QUOTE_MINIMAL, "number": thousands, "day": "%d.%m.%Y", "missing": "", "bom": True},
    "American": {"delimiter": ",", "end": "\r\n", "quoting": csv.QUOTE_ALL, "number": lambda v: f"${v:,.2f}", "day": "%m/%d/%Y", "missing": "#N/A"},
    "tab": {"delimiter": "\t", "end": "\n", "quoting": csv.QUOTE_MINIMAL, "number": repr, "day": "%d %b %Y", "missing": "?"},
}


def read(path, **options):
    return readers.read(discovery.locate(str(path), None), ScanOptions(**options))


def facts(data):
    """Rows, kinds, values and labels, in a form that all formats share."""
    values = {}
    for column in data.roles.features:
        array = data.arrays[column.name]
        if column.kind == "time":
            array = array.cast(pa.timestamp("us")).cast(pa.date32())
        elif column.kind == "number":
            array = array.cast(pa.float64())
        values[column.name] = [None if value in ("?", "#N/A") else value for value in array.to_pylist()]
    return data.n_rows, {column.name: column.kind for column in data.roles.features}, values, data.given.to_pylist(), data.task.classes


def put(folder, columns):
    """Write a table in every way; return the file names."""
    for name, how in WRITERS.items():
        (folder / f"{name}.csv").write_bytes(written(columns, **how))
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    (folder / "lines.jsonl").write_text("".join(json.dumps({**row, "day": row["day"].isoformat()}) + "\n" for row in rows))
    pq.write_table(pa.table(columns), folder / "typed.parquet")
    return [*(f"{name}.csv" for name in WRITERS), "lines.jsonl", "typed.parquet"]


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_writer_gives_the_same_rows_and_kinds(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("written")
    columns = table(seed)
    expected = facts(read(folder / put(folder, columns)[-1]))
    assert expected[0] == N
    assert expected[1] == {"size": "number", "count": "number", "day": "time", "colour": "category"}
    for name in put(folder, columns):
        assert facts(read(folder / name)) == expected, name


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_every_writer_gives_the_same_verdicts(tmp_path, seed):
    columns = table(seed, 240)
    columns["label"][7], columns["label"][19] = "cedar", "ash"
    # Categories that a text format writes as missing are left out of the comparison.
    columns["colour"] = [word or "red" for word in columns["colour"]]
    reports = {name: zcurate.scan(str(tmp_path / name), label="label", model="linear").table for name in put(tmp_path, columns)}
    expected = reports.pop("typed.parquet").column("verdict").to_pylist()
    for name, report in reports.items():
        assert report.column("verdict").to_pylist() == expected, name
