"""JSON Lines: one object per line; a JSON array of objects is read too.

Sees numbers, text, booleans, lists of numbers. A column that mixes types is read as text. Wrong when: a line is no object; the
error names the first such line.
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

BLOCK = 1 << 24


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: a line is no JSON object.
    """
    parts = []
    for name in source.files or (None,):
        try:
            content = source.open(name).read()
        except OSError as error:
            raise InputError(f"{name or source.path}: cannot be read ({error}) — is the file complete?") from error
        parts.append(table_of(content, name or source.path, (options.label, options.id, options.group, *schema.USUAL_LABELS)))
    return tables.dataset(tables.joined(parts, source, loose=True), source.origin(), options, room=source.room)


def table_of(content: bytes, place: str, as_written: tuple[str | None, ...] = ()) -> pa.Table:
    """One table, fast where the types are plain, line by line where they are not.

    Args:
        content: the file.
        place: its name, for messages.
        as_written: columns whose text must not be taken for a date.

    Raises:
        InputError: a line is no JSON object.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        content = content.decode("cp1252", "replace").encode()
    if not content.strip():
        raise InputError(f"{place}: the file is empty — expected a JSON object per line — is this the right file?")
    if not content.lstrip().startswith(b"["):
        try:
            options = pa.json.ReadOptions(block_size=max(BLOCK, content.find(b"\n") * 2))
            table = pa.json.read_json(pa.BufferReader(content), read_options=options)
            if not any(pa.types.is_timestamp(table.schema.field(name).type) for name in as_written if name in table.column_names):
                return table
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    return from_objects(objects(content, place))


def objects(content: bytes, place: str) -> list[dict[str, Any]]:
    """The objects of the file, one per line or in one array.

    Raises:
        InputError: naming the first line that is none.
    """
    if content.lstrip().startswith(b"["):
        try:
            rows = json.loads(content)
        except ValueError as error:
            raise InputError(f"{place}: broken JSON — {error} — expected an array of objects or one object per line") from error
        if not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{place}: an array of other things than objects — expected objects — wrap each row in {{}}")
        return list(rows)
    rows = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            start = line[:40].decode("utf-8", "replace")
            raise InputError(f"{place} line {number}: broken JSON: {start} — expected one object per line — repair or remove the line") from error
        if not isinstance(row, dict):
            raise InputError(f"{place} line {number}: no JSON object — expected one object per line — repair or remove the line")
        rows.append(row)
    return rows


def from_objects(rows: list[dict[str, Any]]) -> pa.Table:
    """A table of objects whose columns may mix types: a mixed column becomes text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    arrays = []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            arrays.append(pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values]))
    return pa.table(arrays, names=names)
