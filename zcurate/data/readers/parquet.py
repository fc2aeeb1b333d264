"""Reader of Parquet: one file, a folder of parts, or a glob; also images in a column of bytes.

Every column keeps its type, and folders like `year=2020` add partition columns. Parts with different columns or
incompatible types are an error that names the part.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.config.options import ScanOptions
from zcurate.data import tables as tables_module
from zcurate.data.dataset import Dataset
from zcurate.data.partitions import REPORT_KEY
from zcurate.data.source import Source
from zcurate.errors import InputError

BUFFER_BYTES = 1 << 16
"""Read buffer of each column when a file is read batch by batch."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all parts in the order of their names.

    Raises:
        InputError: a part has disappeared, is truncated, is not Parquet, or does not fit the others.
    """
    tables: list[pa.Table] = []
    for name in source.files or (None,):
        with open_reader(source, name, whole=True) as file:
            table = file.read()
            # Arrow trusts that text is UTF-8 until it is used.
            table.validate(full=True)
            tables.append(table)
    return tables_module.dataset(tables_module.join_parts(tables, source), source.origin(), options, store=source.store)


@contextmanager
def open_reader(source: Source, name: str | None, whole: bool = False, batchwise: bool = False) -> Iterator[pq.ParquetFile]:
    """Open one file and read its footer.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        whole: all of it will be read; a remote file is then fetched in one request.
        batchwise: it will be read batch by batch, and no part of it stays in memory.

    Raises:
        InputError: it has disappeared, is truncated, is not Parquet, or is a report.
    """
    fetch = source.remote is not None and whole
    # Without these two settings Arrow keeps the bytes of a whole row group in memory.
    settings: dict[str, Any] = {"buffer_size": BUFFER_BYTES, "pre_buffer": False} if batchwise else {}
    try:
        with pa.BufferReader(source.open(name).read()) if fetch else source.open_seekable(name) as raw, pq.ParquetFile(raw, **settings) as file:
            if REPORT_KEY in (file.schema_arrow.metadata or {}):
                path = source.path if source.base == source.path else name or source.path
                to_list = f"zcurate report {shlex.quote(path)}"
                raise InputError(f"{path}: is a zcurate report, not data — expected the data that it is a report of — to list its rows: {to_list}")
            yield file
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        first_line = str(error).partition("\n")[0][:120]
        raise InputError(f"{name or source.path}: not a whole Parquet file — {first_line} — is the download complete?") from error


def head(source: Source, name: str | None, as_text: tuple[str, ...]) -> pa.Schema:
    """Return one file's schema from its footer."""
    with open_reader(source, name) as file:
        return file.schema_arrow


def n_rows(source: Source, name: str | None) -> int:
    """Return one file's number of rows from its footer."""
    with open_reader(source, name) as file:
        return int(file.metadata.num_rows)


def n_groups(source: Source, name: str | None) -> int:
    """Return one file's number of row groups from its footer."""
    with open_reader(source, name) as file:
        return int(file.metadata.num_row_groups)


def batches(source: Source, name: str | None, schema: pa.Schema, rows: int, group: int | None = None) -> Iterator[pa.RecordBatch]:
    """Read one file batch by batch.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        schema: the columns to read.
        rows: maximum rows of a batch.
        group: row group to read; None for all.
    """
    with open_reader(source, name, batchwise=True) as file:
        for batch in file.iter_batches(rows, None if group is None else [group], columns=[field.name for field in schema]):
            batch.validate(full=True)
            yield batch
