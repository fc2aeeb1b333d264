"""Reader of JSON Lines, one object per line, and of JSON arrays of objects.

Reads numbers, text, booleans and lists of numbers; a column of mixed types is read as text. A line that is not an object is an error that names it.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.json

from zcurate.config.options import ScanOptions
from zcurate.data import schema, tables
from zcurate.data.dataset import Dataset
from zcurate.data.source import Source
from zcurate.errors import InputError

BLOCK_BYTES = 1 << 24
"""Minimum size of the parser's blocks."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: a line is not a JSON object.
    """
    parts = []
    for name in source.files or (None,):
        try:
            content = source.open(name).read()
        except OSError as error:
            raise InputError(f"{name or source.path}: cannot be read ({error}) — is the file complete?") from error
        parts.append(table_of(content, name or source.path, (options.label, options.id, options.group, *schema.USUAL_LABELS)))
    return tables.dataset(tables.join_parts(parts, source, loose=True), source.origin(), options, store=source.store)


def table_of(content: bytes, location: str, as_written: tuple[str | None, ...] = ()) -> pa.Table:
    """Parse a file into a table with Arrow, or object by object if types are mixed.

    Args:
        content: the file's bytes.
        location: its name, for messages.
        as_written: columns whose text must not be parsed as a date.

    Raises:
        InputError: a line is not a JSON object.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        content = content.decode("cp1252", "replace").encode()
    if not content.strip():
        raise InputError(f"{location}: the file is empty — expected a JSON object per line — is this the right file?")
    if not content.lstrip().startswith(b"["):
        try:
            options = pa.json.ReadOptions(block_size=max(BLOCK_BYTES, content.find(b"\n") * 2))
            table = pa.json.read_json(pa.BufferReader(content), read_options=options)
            if not any(pa.types.is_timestamp(table.schema.field(name).type) for name in as_written if name in table.column_names):
                return table
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    return from_objects(objects(content, location))


def objects(content: bytes, location: str) -> list[dict[str, Any]]:
    """Parse the objects of a file, one per line or in one array.

    Raises:
        InputError: names the first line that is not an object.
    """
    if content.lstrip().startswith(b"["):
        try:
            rows = json.loads(content)
        except ValueError as error:
            raise InputError(f"{location}: broken JSON — {error} — expected an array of objects or one object per line") from error
        if not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{location}: an array with elements that are not objects — expected objects — wrap each row in {{}}")
        return list(rows)
    rows = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            start = line[:40].decode("utf-8", "replace")
            raise InputError(f"{location} line {number}: broken JSON: {start} — expected one object per line — repair or remove the line") from error
        if not isinstance(row, dict):
            raise InputError(f"{location} line {number}: not a JSON object — expected one object per line — repair or remove the line")
        rows.append(row)
    return rows


def from_objects(rows: list[dict[str, Any]]) -> pa.Table:
    """Convert objects to a table; a column of mixed types becomes text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    arrays = []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            arrays.append(pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values]))
    return pa.table(arrays, names=names)
