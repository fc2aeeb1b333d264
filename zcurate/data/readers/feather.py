"""Reader of Feather and Arrow IPC, file or stream format. Every column keeps its type; Feather version 1 is read as a whole."""

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
        InputError: a file has disappeared, is truncated, is not an Arrow file, or does not fit the others.
    """
    tables: list[pa.Table] = []
    for name in source.files or (None,):
        with arrow_errors(source, name):
            table = table_of(source.open(name).read())
            # Arrow trusts the offsets and the text of a file until they are used.
            table.validate(full=True)
            tables.append(table)
    return tables_module.dataset(tables_module.join_parts(tables, source), source.origin(), options, store=source.store)


@contextmanager
def arrow_errors(source: Source, name: str | None) -> Iterator[None]:
    """Convert Arrow's errors for a broken file into errors that name it.

    Raises:
        InputError: it is truncated or not an Arrow file.
    """
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        first_line = str(error).partition("\n")[0][:120]
        raise InputError(f"{name or source.path}: not a whole Feather or Arrow file — {first_line} — is the download complete?") from error


def table_of(content: bytes) -> pa.Table:
    """Read a Feather or Arrow IPC file, or else an Arrow IPC stream."""
    if content[:6] in (b"ARROW1", b"FEA1\x00\x00") or content[:4] == b"FEA1":
        return pyarrow.feather.read_table(pa.BufferReader(content))
    return pa.ipc.open_stream(pa.BufferReader(content)).read_all()


@contextmanager
def open_reader(source: Source, name: str | None) -> Iterator[Any]:
    """Open an Arrow reader of one file, in file or stream format; Feather version 1 is read as a whole.

    Raises:
        InputError: it has disappeared, is truncated, or is not an Arrow file.
    """
    with arrow_errors(source, name), source.open_seekable(name) as raw:
        start = raw.read(6)
        raw.seek(0)
        if start == b"ARROW1":
            yield pa.ipc.open_file(raw)
        elif start[:4] == b"FEA1":
            yield pyarrow.feather.read_table(raw).to_reader()
        else:
            yield pa.ipc.open_stream(raw)


def head(source: Source, name: str | None, as_text: tuple[str, ...]) -> pa.Schema:
    """Return one file's schema."""
    with open_reader(source, name) as reader:
        return reader.schema


def n_rows(source: Source, name: str | None) -> int | None:
    """Return one file's number of rows from its footer; None for a stream."""
    with open_reader(source, name) as reader:
        return int(reader.count_rows()) if isinstance(reader, pa.ipc.RecordBatchFileReader) else None


def batches(source: Source, name: str | None, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """Read one file in the record batches in which it was written, split at `rows` rows.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        schema: the columns to read.
        rows: maximum rows of a batch.
    """
    with open_reader(source, name) as reader:
        is_file = isinstance(reader, pa.ipc.RecordBatchFileReader)
        for batch in (reader.get_batch(k) for k in range(reader.num_record_batches)) if is_file else reader:
            selected = batch.select(schema.names)
            selected.validate(full=True)
            for begin in range(0, selected.num_rows, rows):
                yield selected.slice(begin, rows)
