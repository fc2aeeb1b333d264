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
from zcurate.data.file_names import printable
from zcurate.data.ipc_sizes import MAGIC, BatchSize, batch_sizes
from zcurate.data.layouts import checked_schema
from zcurate.data.limits import MemoryLimit
from zcurate.data.source import Source
from zcurate.errors import InputError

VERSION_1_MAGIC = b"FEA1"
"""First bytes of a file of Feather version 1."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: a file has disappeared, is truncated, is not an Arrow file, or does not fit the others; all of them take more memory than there is.
    """
    tables: list[pa.Table] = []
    limit, n_bytes = MemoryLimit.of(source.memory), 0
    for name in source.files or (None,):
        with arrow_errors(source, name):
            raw = pa.BufferReader(source.read(name))
            n_bytes += sum(max(batch.n_bytes, batch.n_rows) for batch in checked_batches(raw, name or source.path))
            limit.check(n_bytes, name or source.path, "the rows")
            table = open_ipc(raw).read_all()
            # Arrow trusts the offsets and the text of a file until they are used.
            table.validate(full=True)
            checked_schema(table.schema)
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
    except (pa.ArrowException, OSError, MemoryError, ValueError, OverflowError) as error:
        first_line = printable(str(error)).partition("\n")[0][:120]
        raise InputError(f"{name or source.path}: not a whole Feather or Arrow file — {first_line} — is the download complete?") from error


def checked_batches(raw: Any, location: str) -> list[BatchSize]:
    """Return the sizes of the batches of an Arrow IPC file or stream; nothing of them is read.

    Args:
        raw: the file.
        location: its name, for messages.

    Raises:
        InputError: Feather version 1.
        ArrowInvalid: sizes that the file does not hold.
    """
    start = raw.read(len(VERSION_1_MAGIC))
    raw.seek(0)
    if start == VERSION_1_MAGIC:
        advice = "in R: arrow::write_feather(arrow::read_feather(FILE), FILE); in Python: pandas.read_feather(FILE).to_feather(FILE)"
        raise InputError(f"{location}: Feather version 1, which is not read — expected version 2 or Arrow IPC — rewrite it, {advice}")
    return batch_sizes(raw)


def open_ipc(raw: Any) -> Any:
    """Open an Arrow IPC file, or else a stream, at its beginning."""
    start = raw.read(len(MAGIC))
    raw.seek(0)
    return pa.ipc.open_file(raw) if start == MAGIC else pa.ipc.open_stream(raw)


@contextmanager
def open_reader(source: Source, name: str | None) -> Iterator[Any]:
    """Open an Arrow reader of one file, in file or stream format.

    Raises:
        InputError: it has disappeared, is truncated, is not an Arrow file, or has a batch that does not fit into memory.
    """
    with arrow_errors(source, name), source.open_seekable(name) as raw:
        location = name or source.path
        largest = max((batch.n_bytes for batch in checked_batches(raw, location)), default=0)
        MemoryLimit.of(source.memory).check(largest, location, "the rows of one batch", "write it in smaller batches")
        yield open_ipc(raw)


def head(source: Source, name: str | None, as_text: tuple[str, ...]) -> pa.Schema:
    """Return one file's schema."""
    with open_reader(source, name) as reader:
        return checked_schema(reader.schema)


def table_bytes(source: Source, name: str | None) -> float:
    """Return the memory that one file's rows take, from its metadata."""
    with arrow_errors(source, name), source.open_seekable(name) as raw:
        return float(sum(max(batch.n_bytes, batch.n_rows) for batch in checked_batches(raw, name or source.path)))


def n_rows(source: Source, name: str | None) -> int:
    """Return one file's number of rows from its metadata."""
    with arrow_errors(source, name), source.open_seekable(name) as raw:
        return sum(batch.n_rows for batch in checked_batches(raw, name or source.path))


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
