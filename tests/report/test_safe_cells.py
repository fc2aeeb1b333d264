"""Cells that a spreadsheet or a terminal would obey."""

from __future__ import annotations

import pyarrow as pa
import pytest

from zcurate.report.safe_cells import make_safe, safe_text


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", '=HYPERLINK("http://x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1+1", "+49 170 1", "-x", "--1", "=", "-1;2"
    ],
)  # fmt: skip
def test_what_may_be_a_formula_begins_with_an_apostrophe(text):
    expected = "=" if text == "=" else f"'{text}".replace("\r", "\\r")
    assert safe_text(text) == expected


@pytest.mark.parametrize("text", ["", "-", "+", "@", "-1", "+1.5e-3", "-1,234.5", "-12 %", "-.5", "a=b", "1-2", "x@y.z", "'=1", "two\nlines\tand tab"])
def test_numbers_and_other_text_stay(text):
    assert safe_text(text) == text


def test_only_columns_of_text_change_and_the_changes_are_counted():
    table = pa.table(
        {
            "=row": [-1, 2],
            "p": [-0.5, None],
            "given": pa.array(["=1", None]).dictionary_encode(),
            "id": pa.array(["ok", "\x1b[31m"], pa.large_string()),
            "telling": pa.array([["=a=1", "b=2"], []], pa.list_(pa.string())),
            "blob": pa.array([b"=1", b"x"]),
        }
    )
    safe, n = make_safe(table)
    assert n == 4
    assert safe.column_names == ["'=row", "p", "given", "id", "telling", "blob"]
    assert safe.column("given").to_pylist() == ["'=1", ""]
    assert safe.column("id").to_pylist() == ["ok", "\\x1b[31m"]
    assert safe.column("telling").to_pylist() == ["'=a=1 b=2", ""]
    assert safe.column(0).to_pylist() == [-1, 2] and safe.column("p").to_pylist() == [-0.5, None]
    same, n = make_safe(safe)
    assert n == 0 and same.equals(safe)
    assert make_safe(table.slice(0, 0))[1] == 1
