"""Feather and Arrow IPC, file or stream.

Sees every column with its own type. Wrong when: the file is of Feather version 1, which pyarrow reads but few still write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.feather

from zcurate.config.options import ScanOptions
from zcurate.data import tables as tables_module
from zcurate.data.dataset import Dataset
from zcurate.data.source import Source
from zcurate.errors import InputError


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: a file is gone, truncated or no Arrow file, or does not fit the others.
    """
    tables: list[pa.Table] = []
    for name in source.files or (None,):
        with understood(source, name):
            tables.append(table_of(source.open(name).read()))
    return tables_module.dataset(tables_module.joined(tables, source), source.origin(), options, room=source.room)


@contextmanager
def understood(source: Source, name: str | None) -> Iterator[None]:
    """Turns what Arrow says of a broken file into an error that names it.

    Raises:
        InputError: truncated or no Arrow file.
    """
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        short = str(error).splitlines()[0][:120]
        raise InputError(f"{name or source.path}: not a whole Feather or Arrow file — {short} — is the download complete?") from error


def table_of(content: bytes) -> pa.Table:
    """An Arrow file, else an Arrow stream."""
    if content[:6] in (b"ARROW1", b"FEA1\x00\x00") or content[:4] == b"FEA1":
        return pyarrow.feather.read_table(pa.BufferReader(content))
    return pa.ipc.open_stream(pa.BufferReader(content)).read_all()


@contextmanager
def opened(source: Source, name: str | None) -> Iterator[Any]:
    """An Arrow reader of one part: of a file, or of a stream; version 1 is read as a whole.

    Raises:
        InputError: it is gone, truncated or no Arrow file.
    """
    with understood(source, name), source.passing(name) as raw:
        start = raw.read(6)
        raw.seek(0)
        if start == b"ARROW1":
            yield pa.ipc.open_file(raw)
        elif start[:4] == b"FEA1":
            yield pyarrow.feather.read_table(raw).to_reader()
        else:
            yield pa.ipc.open_stream(raw)


def head(source: Source, name: str | None, as_text: tuple[str, ...]) -> pa.Schema:
    """One part's columns and types."""
    with opened(source, name) as reader:
        return reader.schema


def n_rows(source: Source, name: str | None) -> int | None:
    """One part's rows, from its footer; None where there is none to tell."""
    with opened(source, name) as reader:
        return int(reader.count_rows()) if isinstance(reader, pa.ipc.RecordBatchFileReader) else None


def batches(source: Source, name: str | None, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """One part, piece by piece as it was written; a piece of more than `rows` rows is cut.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        schema: its columns that are wanted.
        rows: at most, in one piece.
    """
    with opened(source, name) as reader:
        is_file = isinstance(reader, pa.ipc.RecordBatchFileReader)
        for batch in (reader.get_batch(k) for k in range(reader.num_record_batches)) if is_file else reader:
            chosen = batch.select(schema.names)
            for begin in range(0, chosen.num_rows, rows):
                yield chosen.slice(begin, rows)
