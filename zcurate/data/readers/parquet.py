"""Parquet: one file, a folder of parts, or a glob; pictures in a column of bytes too.

Sees every column with its own type, and the columns that folders like `year=2020` name. Local files are memory-mapped. Wrong when:
parts disagree on columns or types; the error names the part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.config.options import ScanOptions
from zcurate.data import tables as tables_module
from zcurate.data.dataset import Dataset
from zcurate.data.source import Source
from zcurate.errors import InputError

PASSING_BYTES = 1 << 16
"""Of each column that are read ahead where nothing is to stay in memory."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all parts in the order of their names.

    Raises:
        InputError: a part is gone, truncated, no Parquet, or does not fit the others.
    """
    tables: list[pa.Table] = []
    for name in source.files or (None,):
        with opened(source, name, whole=True) as file:
            tables.append(file.read())
    return tables_module.dataset(tables_module.joined(tables, source), source.origin(), options, room=source.room)


@contextmanager
def opened(source: Source, name: str | None, whole: bool = False, passing: bool = False) -> Iterator[pq.ParquetFile]:
    """One part, its footer read.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        whole: all of it will be read, so that from afar it is fetched at once.
        passing: it is read piece by piece, and nothing of it is to stay in memory.

    Raises:
        InputError: it is gone, truncated or no Parquet.
    """
    far = source.remote is not None and whole
    opening = source.passing if passing else source.mapped
    # Without these two Arrow holds a whole row group as it lies in the file, 224 instead of 68 MB for a million rows of 20 numbers.
    little: dict[str, Any] = {"buffer_size": PASSING_BYTES, "pre_buffer": False} if passing else {}
    try:
        with pa.BufferReader(source.open(name).read()) if far else opening(name) as raw, pq.ParquetFile(raw, **little) as file:
            yield file
    except (pa.ArrowInvalid, pa.ArrowException, OSError, ValueError) as error:
        short = str(error).splitlines()[0][:120]
        raise InputError(f"{name or source.path}: not a whole Parquet file — {short} — is the download complete?") from error


def head(source: Source, name: str | None, as_text: tuple[str, ...]) -> pa.Schema:
    """One part's columns and types, from its footer."""
    with opened(source, name) as file:
        return file.schema_arrow


def n_rows(source: Source, name: str | None) -> int:
    """One part's rows, from its footer."""
    with opened(source, name) as file:
        return int(file.metadata.num_rows)


def n_groups(source: Source, name: str | None) -> int:
    """One part's row groups, from its footer."""
    with opened(source, name) as file:
        return int(file.metadata.num_row_groups)


def batches(source: Source, name: str | None, schema: pa.Schema, rows: int, group: int | None = None) -> Iterator[pa.RecordBatch]:
    """One part, piece by piece.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        schema: its columns that are wanted.
        rows: at most, in one piece.
        group: only this row group; None for all.
    """
    with opened(source, name, passing=True) as file:
        yield from file.iter_batches(rows, None if group is None else [group], columns=[field.name for field in schema])
