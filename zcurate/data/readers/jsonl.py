"""Reader of JSON Lines, one object per line, of JSON arrays of objects, and of single objects that hold columns or rows.

Reads numbers, text, booleans and lists of numbers; a column of mixed types is read as text. A line that is not an object is an error that names it.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from zcurate.config.options import ScanOptions
from zcurate.data import schema, tables
from zcurate.data.dataset import Dataset
from zcurate.data.delimited.text import TEXT_COPIES, is_utf8
from zcurate.data.json_text import check_json
from zcurate.data.limits import MemoryLimit
from zcurate.data.source import Source
from zcurate.errors import InputError

BLOCK_BYTES = 1 << 24
"""Minimum size of the parser's blocks."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: a line is not a JSON object.
    """
    parts, limit = [], MemoryLimit.of(source.memory)
    for name in source.files or (None,):
        content = source.read(name, TEXT_COPIES)
        parts.append(table_of(content, name or source.path, limit, (options.label, options.id, options.group, *schema.USUAL_LABELS)))
    return tables.dataset(tables.join_parts(parts, source, loose=True), source.origin(), options, store=source.store)


def table_of(content: bytes, location: str, limit: MemoryLimit, as_written: tuple[str | None, ...] = ()) -> pa.Table:
    """Parse a file into a table with Arrow, or object by object if types are mixed.

    Args:
        content: the file's bytes.
        location: its name, for messages.
        limit: of the memory.
        as_written: columns whose text must not be parsed as a date.

    Raises:
        InputError: a line is not a JSON object, or nested too deeply; more keys than fit into memory.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not is_utf8(content):
        content = content.decode("cp1252", "replace").encode()
    if not content.strip():
        raise InputError(f"{location}: the file is empty — expected a JSON object per line — is this the right file?")
    check_json(content, limit, location)
    # Arrow's parser crashes on a bare `null`.
    if content.lstrip().startswith(b"{"):
        try:
            options = pa.json.ReadOptions(block_size=max(BLOCK_BYTES, content.find(b"\n") * 2))
            table = pa.json.read_json(pa.BufferReader(content), read_options=options)
            types = [field.type for field in table.schema]
            holds_rows = any(pa.types.is_list(kind) and pa.types.is_struct(kind.value_type) for kind in types)
            is_document = table.num_rows == 1 and (holds_rows or all(map(pa.types.is_nested, types)))
            if not is_document and not any(changes_text(table.column(name)) for name in as_written if name in table.column_names):
                return table
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    return from_objects(objects(content, location))


def changes_text(column: pa.ChunkedArray) -> bool:
    """Return whether Arrow's parser may have changed labels or ids: dates were text, and integers of more than 64 bits became floats."""
    if pa.types.is_timestamp(column.type):
        return True
    return pa.types.is_floating(column.type) and bool(pc.any(pc.greater_equal(pc.abs(column), 2.0**53)).as_py())


def objects(content: bytes, location: str) -> list[dict[str, Any]]:
    """Parse the rows of a file: one object per line, an array of objects, or one object that holds columns or rows.

    Raises:
        InputError: names the first line that is not an object.
    """
    start = content.lstrip()[:1]
    if start == b"[":
        rows = parse_json(content, location)
        if not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{location}: an array with elements that are not objects — expected objects — wrap each row in {{}}")
        return list(rows)
    lines = [(number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]
    rows = []
    for number, line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == lines[0][0] and start == b"{" and len(lines) > 1 and (document := whole_object(content)) is not None:
                return rows_of_document(document, location)
            begin = line[:40].decode("utf-8", "replace")
            raise InputError(f"{location} line {number}: broken JSON: {begin} — expected one object per line — repair or remove the line") from error
        if not isinstance(row, dict):
            raise InputError(f"{location} line {number}: not a JSON object — expected one object per line — repair or remove the line")
        rows.append(row)
    return rows_of_document(rows[0], location) if len(rows) == 1 and is_document(rows[0]) else rows


def is_document(row: dict[str, Any]) -> bool:
    """Return whether the only object of a file holds columns or rows rather than being one: it holds a list of objects, or nothing but containers."""
    holds_rows = any(isinstance(value, list) and value and all(isinstance(item, dict) for item in value) for value in row.values())
    return holds_rows or all(isinstance(value, (dict, list)) for value in row.values())


def parse_json(content: bytes, location: str) -> Any:
    """Parse a whole file.

    Raises:
        InputError: it is not JSON, or too deep.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{location}: broken JSON — {str(error)[:80]} — expected an array of objects or one object per line") from error


def whole_object(content: bytes) -> dict[str, Any] | None:
    """Parse a file that is one object over several lines; None if it is not."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def rows_of_document(document: dict[str, Any], location: str) -> list[dict[str, Any]]:
    """Find the rows in one object: `DataFrame.to_json` by columns, index, split or table, GeoJSON, or one list of records.

    Args:
        document: the object.
        location: the file, for messages.

    Raises:
        InputError: it holds no rows.
    """
    if isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
        return [dict(zip(document["columns"], row, strict=False)) for row in document["data"] if isinstance(row, list)]
    lists = [value for value in document.values() if isinstance(value, list) and value and all(isinstance(row, dict) for row in value)]
    if len(lists) == 1:
        rows: list[dict[str, Any]] = lists[0]
        return [row["properties"] for row in rows] if all(isinstance(row.get("properties"), dict) for row in rows) else rows
    values = list(document.values())
    if values and all(isinstance(value, list) for value in values) and len(set(map(len, values))) == 1:
        return [dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)]
    if values and all(isinstance(value, dict) for value in values):
        inner = dict.fromkeys(key for value in values for key in value)
        if len(document) <= len(inner):
            return [{name: column.get(key) for name, column in document.items()} for key in inner]
        return values
    raise InputError(f"{location}: one object that holds no rows — expected one object per line, an array of objects, or columns of equal length")


def from_objects(rows: list[dict[str, Any]]) -> pa.Table:
    """Convert objects to a table; a column of mixed types becomes text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    arrays = []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowException, OverflowError, UnicodeError, ValueError, TypeError):
            texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
            arrays.append(pa.array([text and writable(text) for text in texts], pa.string()))
    return pa.table(arrays, names=list(map(writable, names)))


def writable(text: str) -> str:
    """Write half pairs of surrogates, which are no characters, as escape sequences."""
    return text.encode("utf-8", "backslashreplace").decode()
