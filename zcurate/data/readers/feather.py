"""Reader of Feather (version 2) and Arrow IPC, file or stream format. Every column keeps its type.

Feather version 1 is refused: Arrow trusts every address in such a file, so that a broken one ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import tables as tables_module
from zcurate.data.dataset import Dataset
from zcurate.data.source import Source
from zcurate.errors import InputError

FILE_MAGIC, VERSION_1_MAGIC = b"ARROW1", b"FEA1"
"""First bytes of a Feather or Arrow IPC file, and of one of Feather version 1; a stream has none."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: a file has disappeared, is truncated, is not an Arrow file, or does not fit the others.
    """
    tables: list[pa.Table] = []
    for name in source.files or (None,):
        with arrow_errors(source, name):
            table = open_ipc(pa.BufferReader(source.open(name).read()), name or source.path).read_all()
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


def open_ipc(raw: Any, location: str) -> Any:
    """Open an Arrow IPC file, or else a stream.

    Args:
        raw: the file, at its beginning.
        location: its name, for messages.

    Raises:
        InputError: Feather version 1.
        ArrowInvalid: neither.
    """
    start = raw.read(len(FILE_MAGIC))
    raw.seek(0)
    if start.startswith(VERSION_1_MAGIC):
        advice = "in R: arrow::write_feather(arrow::read_feather(FILE), FILE); in Python: pandas.read_feather(FILE).to_feather(FILE)"
        raise InputError(f"{location}: Feather version 1, which is not read — expected version 2 or Arrow IPC — rewrite it, {advice}")
    return pa.ipc.open_file(raw) if start == FILE_MAGIC else pa.ipc.open_stream(raw)


@contextmanager
def open_reader(source: Source, name: str | None) -> Iterator[Any]:
    """Open an Arrow reader of one file, in file or stream format.

    Raises:
        InputError: it has disappeared, is truncated, or is not an Arrow file.
    """
    with arrow_errors(source, name), source.open_seekable(name) as raw:
        yield open_ipc(raw, name or source.path)


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
