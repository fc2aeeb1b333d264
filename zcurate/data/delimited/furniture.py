"""Rows of a delimited file that are no data: the header again, a line of units below it, totals at the end."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.conversions import NEARLY_ALL, without_markers
from zcurate.data.dataset import SkippedRow
from zcurate.data.delimited.layout import TRAILING
from zcurate.data.values import as_numbers, without_missing_words
from zcurate.errors import listed

FOOTER = re.compile(r"(?i)\W*((grand|sub|over-?all)[ -]?)?(totals?|sum|mean|average|avg|median|count|summe|gesamt|mittelwert|rows?|source|notes?|n)\b.*")
"""Matches the first cell of a line of totals, or of a remark, below the data."""
LAST_ROWS = 5
"""Rows at the end among which totals are looked for."""
MAX_UNIT_ROWS = 2
"""Lines below the header that may be no data: units, types, the ids of questions."""
UNIT_ROWS = 100
"""Rows below the first from which a line of units is told."""
MIN_SWALLOWED = 4
"""Delimiters in a quoted cell from which it may hold whole rows."""
MAX_NAMED = 3
"""Rows that a warning names."""


def without_trailing(table: pa.Table) -> pa.Table:
    """Drop the column behind a delimiter at the end of every row, if nothing stands in it."""
    if TRAILING not in table.column_names:
        return table
    column = table.column(TRAILING)
    is_empty = column.null_count == len(column) or (pa.types.is_string(column.type) and pc.all(pc.equal(column.drop_null(), "")).as_py())
    return table.drop_columns([TRAILING]) if is_empty else table


def without_blanks(table: pa.Table) -> pa.Table:
    """Replace empty text by null."""
    missing = pa.scalar(None, pa.string())
    columns = [pc.if_else(pc.equal(column, ""), missing, column) if pa.types.is_string(column.type) else column for column in table.columns]
    return pa.table(columns, table.schema)


def find_furniture(table: pa.Table, label: str | None, refused: set[int]) -> dict[int, str]:
    """Find rows that are no data.

    Args:
        table: all rows.
        label: the label column, read as text; None if it is not known.
        refused: rows that do not fit the header.

    Returns:
        Row -> reason.
    """
    found: dict[int, str] = {}
    found |= dict.fromkeys(header_rows(table), "the header again")
    for row in range(MAX_UNIT_ROWS):
        if row in refused or row in found or not is_unit_row(table.slice(row), label):
            break
        found[row] = "a second header line, such as units"
    if label is not None and label in table.column_names and pa.types.is_string(table.column(label).type):
        found |= footers(table, label, refused | set(found))
    return found


def header_rows(table: pa.Table) -> list[int]:
    """Find the rows that repeat the header."""
    strings = [name for name in table.column_names if pa.types.is_string(table.column(name).type)]
    if not strings:
        return []
    same = pc.fill_null(pc.equal(table.column(strings[0]), strings[0]), False).to_numpy(zero_copy_only=False)
    names = [name for name in table.column_names if not name.startswith(("column_", TRAILING))]
    return [row for row in np.flatnonzero(same).tolist() if all(str(table.column(name)[row]).strip() == name for name in names)]


def is_unit_row(table: pa.Table, label: str | None) -> bool:
    """Return whether the first row holds words in every column that holds numbers below it.

    Args:
        table: all rows.
        label: the label column.
    """
    n_numeric = 0
    for name in table.column_names:
        column = table.column(name)
        if name == label:
            continue
        if not pa.types.is_string(column.type):
            if (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)) and column[0].is_valid:
                return False
            continue
        head = without_markers(without_missing_words(column.slice(0, UNIT_ROWS + 1).combine_chunks()))
        below = head.slice(MAX_UNIT_ROWS).drop_null()
        if len(below) < 5 or sum(as_numbers(pa.array([value])) is not None for value in below.to_pylist()) < NEARLY_ALL * len(below):
            continue
        if head[0].is_valid and as_numbers(head.slice(0, 1)) is not None:
            return False
        n_numeric += 1 if head[0].is_valid else 0
    if label is None or n_numeric == 0:
        return n_numeric > 1
    labels = table.column(label)
    return not pc.any(pc.equal(labels.slice(1), labels[0])).as_py()


def footers(table: pa.Table, label: str, taken: set[int]) -> dict[int, str]:
    """Find lines of totals: rows at the end without a label whose first word names a sum.

    Args:
        table: all rows.
        label: the label column, read as text.
        taken: rows that are no data already.
    """
    found: dict[int, str] = {}
    for row in range(table.num_rows - 1, max(-1, table.num_rows - 1 - LAST_ROWS), -1):
        if row in taken:
            continue
        cells = [str(table.column(name)[row]).strip() for name in table.column_names if table.column(name)[row].is_valid]
        first = next((cell for cell in cells if cell), "")
        has_label = str(table.column(label)[row] if table.column(label)[row].is_valid else "").strip() != ""
        if has_label or not FOOTER.fullmatch(first):
            break
        found[row] = f"a footer: {first[:30]}"
    return found


def holds_quotes(table: pa.Table) -> bool:
    """Return whether any cell holds a quote, which a parser may have misread."""
    texts = [column for column in table.columns if pa.types.is_string(column.type)]
    return any(pc.any(pc.match_substring(column, '"')).as_py() for column in texts)


def check_swallowed(table: pa.Table, delimiter: str) -> int | None:
    """Find the first row with a cell that holds whole rows: as many delimiters as its line ends would need.

    A quote that opens and never closes swallows the rows up to the next quote.

    Args:
        table: all rows.
        delimiter: between fields.

    Returns:
        The row; None if there is none.
    """
    n_columns = table.num_columns
    if n_columns < 2:
        return None
    rows = []
    for column in table.columns:
        if not pa.types.is_string(column.type):
            continue
        n_lines, n_delimiters = pc.count_substring(column, "\n"), pc.count_substring(column, delimiter)
        n_spaced = pc.count_substring(column, delimiter + " ")
        whole = pc.and_(pc.equal(n_delimiters, pc.multiply(n_lines, n_columns - 1)), pc.greater_equal(n_delimiters, MIN_SWALLOWED))
        found = np.flatnonzero(pc.fill_null(pc.and_(whole, pc.less(pc.multiply(n_spaced, 2), n_delimiters)), False).to_numpy(zero_copy_only=False))
        rows += found[:1].tolist()
    return min(rows, default=None)


def blanked(table: pa.Table, rows: list[int]) -> pa.Table:
    """Replace rows by rows of nulls."""
    if not rows:
        return table
    index = np.arange(table.num_rows)
    index[rows] = -1
    positions = pa.array(index)
    return table.take(pc.if_else(pc.less(positions, 0), pa.scalar(None, pa.int64()), positions))


def skipped_warnings(skipped: list[SkippedRow], location: str) -> list[str]:
    """Say which rows are no data."""
    if not skipped:
        return []
    named = listed((f"line {skip.line} ({skip.reason})" for skip in skipped[:MAX_NAMED]), MAX_NAMED)
    more = f" and {len(skipped) - MAX_NAMED} more" if len(skipped) > MAX_NAMED else ""
    return [f"{location}: {len(skipped)} row{'s' if len(skipped) > 1 else ''} skipped: {named}{more}"]
