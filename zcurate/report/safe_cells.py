"""Cells that no spreadsheet takes for a formula and no terminal for a command.

A cell of text that begins with `=`, `+`, `-` or `@` and is no number gets a `'` in front, by which a spreadsheet takes it for text; control characters are
written `\\x1b`. Numbers, and columns of numbers, stay as they are.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.report.formats.cells import column_texts
from zcurate.runtime.safe_text import visible

FORMULA_STARTS = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"
"""First characters of what a spreadsheet may take for a formula, full-width ones among them."""
SUSPECT = (
    r"^\s*[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]|^[\t\r]|[\x00-\x08\x0b-\x1f\x7f-\x{9f}\x{061c}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}\x{feff}]"
)
"""Matches text that `safe_text` may change, in the syntax of Arrow's kernels."""
HARMLESS = re.compile(r"[+\-]?(\d+([.,]\d+)*|\.\d+)([eE][+\-]?\d+)?\s*%?|\W")
"""Matches a number, and a single sign."""


def safe_text(text: str) -> str:
    """Make one cell's text safe; line breaks and tabs inside it stay."""
    start = text.lstrip()[:1] if text[:1] not in ("\t", "\r") else text[:1]
    is_formula = start != "" and start in FORMULA_STARTS and HARMLESS.fullmatch(text.strip()) is None
    shown = "".join(part if part in ("\n", "\t") else visible(part) for part in re.split(r"([\n\t])", text))
    return f"'{shown}" if is_formula else shown


def is_suspect(column: pa.ChunkedArray) -> bool:
    """Tell whether a column of text has a cell that `safe_text` may change."""
    return bool(pc.any(pc.match_substring_regex(column, SUSPECT), min_count=0).as_py())


def make_safe(table: pa.Table) -> tuple[pa.Table, int]:
    """Make the text cells and the column names of a table safe.

    Args:
        table: rows to write.

    Returns:
        The table, with columns of text, of lists and of other types without numbers as text; and the number of cells that changed.
    """
    n_changed = 0
    for at, field in enumerate(table.schema):
        if is_plain(field.type):
            continue
        texts = text_column(table.column(at))
        if is_suspect(texts):
            safe = [safe_text(text or "") for text in texts.to_pylist()]
            n_changed += sum(one != (text or "") for one, text in zip(safe, texts.to_pylist(), strict=True))
            table = table.set_column(at, field.name, pa.chunked_array([safe], pa.string()))
    names = [safe_text(name) for name in table.column_names]
    n_changed += sum(one != name for one, name in zip(names, table.column_names, strict=True))
    return table.rename_columns(names), n_changed


def text_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as the text of its cells, without Python where Arrow can, as `pa.array` takes longer than all else to load."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return pc.binary_join(column, " ")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column
    return pa.chunked_array([column_texts(column)], pa.string()) if len(column) else pa.chunked_array([], pa.string())


def is_plain(kind: Any) -> bool:
    """Return whether the cells of a type are never text: numbers, truth values, dates and times."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind))
