"""Change a delimited text byte by byte: only the labels that are replaced, the rows that are dropped and the cells that are added differ. No torch."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zcurate.data.delimited.layout import CsvLayout
from zcurate.errors import InputError
from zcurate.report.apply.changes import Changes
from zcurate.report.apply.edits import Edit
from zcurate.report.formats.cells import column_texts

QUOTE, NEWLINE, RETURN = 34, 10, 13
"""Bytes."""


@dataclass(frozen=True)
class Records:
    """Where the records of a text begin and end."""

    begin: np.ndarray
    """(R,) int64 first byte of each."""
    end: np.ndarray
    """(R,) int64 byte behind each, without its line end."""
    following: np.ndarray
    """(R,) int64 byte behind its line end."""


def find_records(content: bytes, skip_lines: int) -> Records:
    """Find the records of a text: lines, but for line ends within quotes; blank lines are no records.

    Args:
        content: of the file.
        skip_lines: lines above the header, or above the data.
    """
    data = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    if b'"' in content:
        quotes = np.flatnonzero(data == QUOTE)
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    following = ends + 1
    if not content.endswith(b"\n"):
        ends, following = np.append(ends, len(content)), np.append(following, len(content))
    begin = np.concatenate([[0], following[:-1]])
    end = np.where((ends > begin) & (data[np.maximum(ends, 1) - 1] == RETURN), ends - 1, ends)
    begin, end, following = (values[skip_lines:] for values in (begin, end, following))
    kept = end > begin
    return Records(begin[kept], end[kept], following[kept])


def text_edits(content: bytes, layout: CsvLayout, label: str, changes: Changes, location: str) -> list[Edit]:
    """List the edits that make the changes, in order.

    Args:
        content: of the file, UTF-8 or an encoding that extends ASCII.
        layout: of the text.
        label: name of the column of labels.
        changes: of its rows; `given` as the text has the labels.
        location: name of the file, for messages.

    Raises:
        InputError: its records are not the rows that were scanned.
    """
    records = find_records(content, layout.skip_lines)
    first = int(layout.has_header)
    if len(records.begin) - first != changes.n_rows:
        raise InputError(f"{location}: {len(records.begin) - first} records where {changes.n_rows} rows were scanned")
    column, edits = layout.names.index(label), list[Edit]()
    columns = {name: written_numbers(values, layout.decimal) for name, values in changes.added.items()}
    is_number = layout.decimal == "," and not has_words(changes.label.values())
    if columns and first:
        end = int(records.end[0])
        edits.append((end, end, added_cells(list(columns), layout, content[records.begin[0] : end])))
    for row in range(changes.n_rows) if columns else sorted({*np.flatnonzero(changes.drop).tolist(), *changes.label}):
        begin, end, following = (int(values[row + first]) for values in (records.begin, records.end, records.following))
        if changes.drop[row]:
            edits.append((begin, following, b""))
            continue
        if row in changes.label:
            where = cell_span(content[begin:end], layout.delimiter, column)
            old = b"" if where is None else content[begin + where[0] : begin + where[1]]
            if where is None or cell_value(old) != (changes.given[row] or "").strip():
                raise InputError(f"{location}: the label of row {row} is not where it was read")
            new = changes.label[row].replace(".", ",") if is_number else changes.label[row]
            edits.append((begin + where[0], begin + where[1], cell_bytes(new, layout.delimiter, old)))
        if columns:
            edits.append((end, end, added_cells([values[row] for values in columns.values()], layout, content[begin:end])))
    return edits


def written_numbers(values: pa.Array, decimal: str) -> list[str]:
    """Format a column as text, numbers with the decimal mark of the file."""
    texts = column_texts(pa.chunked_array([values]))
    return [text.replace(".", decimal) for text in texts] if pa.types.is_floating(values.type) and decimal != "." else texts


def has_words(labels: Iterable[str]) -> bool:
    """Tell whether any of the labels is no number."""
    try:
        return not all(map(math.isfinite, map(float, labels)))
    except ValueError:
        return True


def cell_span(record: bytes, delimiter: str, column: int) -> tuple[int, int] | None:
    """Find a cell in a record, with its quotes; None where the record has fewer.

    Args:
        record: without its line end.
        delimiter: of the cells.
        column: number of the cell.
    """
    begin, number, quoted, separator = 0, 0, False, delimiter.encode()[0]
    for place, byte in enumerate(record):
        if byte == QUOTE:
            quoted = not quoted
        elif byte == separator and not quoted:
            if number == column:
                return begin, place
            begin, number = place + 1, number + 1
    return (begin, len(record)) if number == column else None


def cell_value(cell: bytes) -> str:
    """Return the text of a cell as it is written."""
    text = cell.decode("utf-8", "surrogateescape")
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] == '"':
        return stripped[1:-1].replace('""', '"').strip()
    return stripped


def cell_bytes(text: str, delimiter: str, old: bytes = b"") -> bytes:
    """Write a text as a cell: in quotes where it needs them, or where the old cell had them.

    Args:
        text: to write.
        delimiter: of the cells.
        old: the cell that it replaces.
    """
    needs = any(character in text for character in (delimiter, '"', "\n", "\r")) or text != text.strip()
    if needs or old.strip()[:1] == b'"':
        text = '"' + text.replace('"', '""') + '"'
    return text.encode("utf-8", "surrogateescape")


def added_cells(texts: list[str], layout: CsvLayout, record: bytes) -> bytes:
    """Write cells to add at the end of a record, which may end in a delimiter."""
    separator = layout.delimiter.encode()
    cells = separator.join(cell_bytes(text, layout.delimiter) for text in texts)
    return cells if record.endswith(separator) and layout.names and layout.names[-1] == "unnamed_trailing" else separator + cells


def rewritten(table: pa.Table, label: str, changes: Changes, delimiter: str) -> bytes:
    """Write a text anew, where it cannot be changed byte by byte.

    Args:
        table: every column as text.
        label: name of the column of labels.
        changes: of its rows.
        delimiter: of the cells.
    """
    columns = {name: column_texts(table.column(name)) for name in table.column_names}
    for row, text in changes.label.items():
        columns[label][row] = text
    columns |= {name: column_texts(pa.chunked_array([values])) for name, values in changes.added.items()}
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow(list(columns))
    writer.writerows(cells for cells, gone in zip(zip(*columns.values(), strict=True), changes.drop.tolist(), strict=True) if not gone)
    return stream.getvalue().encode("utf-8", "surrogateescape")
