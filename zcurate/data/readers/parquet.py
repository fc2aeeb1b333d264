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
from zcurate.data.file_names import printable
from zcurate.data.layouts import checked_schema
from zcurate.data.limits import MemoryLimit, check_columns
from zcurate.data.parquet_sizes import group_bytes
from zcurate.data.partitions import REPORT_KEY
from zcurate.data.source import Source
from zcurate.errors import InputError

MAX_BATCH_ROWS, BATCH_BYTES = 65_536, 1 << 28
"""Rows and memory of a batch, at most."""
CLOSE_BYTES = 16_000_000
"""Size of the rows of a file up to which the longest values of its dictionaries are looked at, to estimate it."""
BUFFER_BYTES = 1 << 16
"""Read buffer of each column when a file is read batch by batch."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all parts in the order of their names; errors as for `read_table`."""
    return tables_module.dataset(read_table(source), source.origin(), options, store=source.store)


def read_table(source: Source) -> pa.Table:
    """Read all parts in the order of their names, as a table.

    Raises:
        InputError: a part has disappeared, is truncated, is not Parquet, or does not fit the others; all of them take more memory than there is.
    """
    tables: list[pa.Table] = []
    limit, n_bytes = MemoryLimit.of(source.memory), 0
    for name in source.files or (None,):
        with open_reader(source, name, whole=True) as (file, raw):
            check_columns(len(checked_schema(file.schema_arrow)), name or source.path)
            bounds = group_bounds(file, raw, (limit.allowed - n_bytes) / max(1, file.metadata.num_row_groups))
            if n_bytes + sum(bounds) <= limit.allowed:
                table = file.read()
            else:
                table = read_within(file, bounds, limit, n_bytes, name or source.path)
            # Arrow trusts that text is UTF-8 until it is used.
            table.validate(full=True)
            n_bytes += table.nbytes
            tables.append(table)
    return tables_module.join_parts(tables, source)


def group_bounds(file: pq.ParquetFile, raw: Any, enough: float | None) -> list[float]:
    """Bound the memory that each row group takes when it is decoded; arguments as for `parquet_sizes.group_bytes`."""
    return [group_bytes(file, raw, group, enough) for group in range(file.metadata.num_row_groups)]


def read_within(file: pq.ParquetFile, bounds: list[float], limit: MemoryLimit, n_before: int, location: str) -> pa.Table:
    """Read a file whose bounds are above the limit, which its values may not be, in batches that are counted.

    Args:
        file: to be read.
        bounds: of its row groups.
        limit: of the memory.
        n_before: bytes that other files have taken.
        location: name of the file, for messages.

    Raises:
        InputError: it takes more.
    """
    parts, n_bytes = [], n_before
    for group, bound in enumerate(bounds):
        for batch in file.iter_batches(rows_within(file, [group], [bound]), [group]):
            parts.append(batch)
            n_bytes += batch.nbytes
            limit.check(n_bytes, location, "the rows", "scan it with --memory and without columns of text, or fewer rows")
    return pa.Table.from_batches(parts, file.schema_arrow)


def rows_within(file: pq.ParquetFile, groups: list[int], bounds: list[float], most: int = MAX_BATCH_ROWS) -> int:
    """Return how many rows a batch of row groups may have, so that it takes no more than `BATCH_BYTES`.

    Args:
        file: to be read.
        groups: numbers of the row groups.
        bounds: of each.
        most: rows at most.
    """
    per_row = max((bound / max(1, file.metadata.row_group(group).num_rows) for group, bound in zip(groups, bounds, strict=True)), default=0.0)
    return max(1, min(most, int(BATCH_BYTES / max(1.0, per_row))))


@contextmanager
def open_reader(source: Source, name: str | None, whole: bool = False, batchwise: bool = False) -> Iterator[tuple[pq.ParquetFile, Any]]:
    """Open one file and read its footer; yields its reader, and the file for random access.

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
        with pa.BufferReader(source.read(name)) if fetch else source.open_seekable(name) as raw, pq.ParquetFile(raw, **settings) as file:
            if REPORT_KEY in (file.schema_arrow.metadata or {}):
                path = source.path if source.base == source.path else name or source.path
                to_list = f"zcurate report {shlex.quote(path)}"
                raise InputError(f"{path}: is a zcurate report, not data — expected the data that it is a report of — to list its rows: {to_list}")
            yield file, raw
    except (pa.ArrowException, OSError, MemoryError, ValueError, OverflowError) as error:
        first_line = printable(str(error)).partition("\n")[0][:120]
        raise InputError(f"{name or source.path}: not a whole Parquet file — {first_line} — is the download complete?") from error


def head(source: Source, name: str | None, as_text: tuple[str, ...]) -> pa.Schema:
    """Return one file's schema from its footer."""
    with open_reader(source, name) as (file, _):
        return checked_schema(file.schema_arrow)


def n_rows(source: Source, name: str | None) -> int:
    """Return one file's number of rows from its footer."""
    with open_reader(source, name) as (file, _):
        return int(file.metadata.num_rows)


def n_groups(source: Source, name: str | None) -> int:
    """Return one file's number of row groups from its footer."""
    with open_reader(source, name) as (file, _):
        return int(file.metadata.num_row_groups)


def table_bytes(source: Source, name: str | None) -> float:
    """Estimate the memory that one file's rows take, without what dictionaries repeat; with it for a small file."""
    with open_reader(source, name) as (file, raw):
        least = sum(group_bounds(file, raw, None))
        return least if least > CLOSE_BYTES else sum(group_bounds(file, raw, 0))


def batches(source: Source, name: str | None, schema: pa.Schema, rows: int, group: int | None = None) -> Iterator[pa.RecordBatch]:
    """Read one file batch by batch.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        schema: the columns to read.
        rows: maximum rows of a batch.
        group: row group to read; None for all.
    """
    with open_reader(source, name, batchwise=True) as (file, raw):
        names = [field.name for field in schema]
        groups = list(range(file.metadata.num_row_groups)) if group is None else [group]
        enough = [BATCH_BYTES * max(1.0, file.metadata.row_group(number).num_rows / rows) for number in groups]
        bounds = [group_bytes(file, raw, number, most, names) for number, most in zip(groups, enough, strict=True)]
        for batch in file.iter_batches(rows_within(file, groups, bounds, rows), groups, columns=names):
            batch.validate(full=True)
            yield batch
