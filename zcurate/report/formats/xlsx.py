"""A workbook for Excel and LibreOffice, by openpyxl (`pip install 'zcurate[xlsx]'`): one sheet with a header that stays in view.

Text is always written as text: a label such as `=1+1` is never a formula, and numbers that a spreadsheet would round are digits.
"""

from __future__ import annotations

import datetime
import math
import re
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa

from zcurate.config.report_options import ReportOptions
from zcurate.errors import UsageError
from zcurate.report.formats.cells import CHUNK, cell_text
from zcurate.report.safe_cells import FORMULA_STARTS

if TYPE_CHECKING:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

MAX_ROWS, MAX_COLUMNS, MAX_CHARACTERS = 1_048_576, 16_384, 32_767
"""Limits of a sheet and of a cell."""
MAX_EXACT = 10**15
"""Integers from here on would lose digits: a spreadsheet keeps 15."""
FIRST_DATE = datetime.datetime(1900, 3, 1)
"""Earlier dates mean different days in different programs."""
ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML cannot hold."""
ESCAPE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
"""Begin of what a spreadsheet reads as an escaped character."""


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """Write a workbook of one sheet.

    Args:
        table: rows to write.
        stream: to write to.
        options: `safe_cells`: mark text that might be taken for a formula as text, which lasts when the cell is edited.

    Raises:
        UsageError: openpyxl is not installed, or the rows do not fit into a sheet.
    """
    try:
        from openpyxl import Workbook
    except ImportError as error:
        raise UsageError("--format xlsx: openpyxl is not installed — expected it for workbooks — pip install 'zcurate[xlsx]', or try --format csv") from error
    if table.num_rows >= MAX_ROWS or table.num_columns > MAX_COLUMNS:
        limit = f"at most {MAX_ROWS - 1} rows and {MAX_COLUMNS} columns"
        raise UsageError(f"--format xlsx: {table.num_rows} rows of {table.num_columns} columns — expected {limit} in a workbook — try --top N, or --format csv")
    book = Workbook(write_only=True)
    sheet = book.create_sheet("report")
    sheet.freeze_panes = "A2"
    quoted = options.safe_cells is not False
    sheet.append([text_cell(sheet, name, quoted) for name in table.column_names])
    kinds = [field.type for field in table.schema]
    for start in range(0, table.num_rows, CHUNK):
        columns = [column.to_pylist() for column in table.slice(start, CHUNK).columns]
        for row in zip(*columns, strict=True):
            sheet.append([cell(sheet, value, kind, quoted) for value, kind in zip(row, kinds, strict=True)])
    book.save(stream)
    stream.flush()


def cell(sheet: WriteOnlyWorksheet, value: Any, kind: pa.DataType, quoted: bool = True) -> Any:
    """Convert a value to what openpyxl writes: a number, a truth value, a date, or a cell of text; None for null.

    Args:
        sheet: that the cell is for.
        value: as Arrow gives it.
        kind: type of its column.
        quoted: mark what might be taken for a formula as text.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < MAX_EXACT else text_cell(sheet, str(value), quoted)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        number = float(str(np.float32(value))) if pa.types.is_float32(kind) else value
        return number if math.isfinite(number) else text_cell(sheet, str(number), quoted)
    if isinstance(value, datetime.datetime) and value.tzinfo is None and value >= FIRST_DATE:
        # Arrow gives times of nanoseconds as pandas' own type.
        return datetime.datetime(*value.timetuple()[:6], value.microsecond)
    if type(value) is datetime.date and value >= FIRST_DATE.date():
        return value
    return text_cell(sheet, value.hex() if isinstance(value, bytes) else cell_text(value, kind), quoted)


def text_cell(sheet: WriteOnlyWorksheet, text: str, quoted: bool = True) -> WriteOnlyCell:
    """Make a cell of text, whatever it looks like.

    Args:
        sheet: that the cell is for.
        text: of any length; what XML cannot hold is replaced by U+FFFD, and what exceeds a cell is cut, with an ellipsis at the end.
        quoted: mark what might be taken for a formula as text.
    """
    from openpyxl.cell import WriteOnlyCell

    plain = ESCAPE.sub("_x005F_", ILLEGAL.sub("\ufffd", text))
    made = WriteOnlyCell(sheet, plain if len(plain) <= MAX_CHARACTERS else plain[: MAX_CHARACTERS - 1] + "…")
    # openpyxl takes `=...` for a formula and `#N/A` for an error.
    made.data_type = "s"
    if quoted and text.startswith(tuple(FORMULA_STARTS)):
        made.quotePrefix = True
    return made
