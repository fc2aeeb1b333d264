"""Read an input batch by batch, for data that does not fit into memory: Parquet, Feather, CSV and TSV.

All batches have one schema, and memory holds one batch at a time, whatever the input's size.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import pyarrow as pa

from zcurate.data import schema as schema_module
from zcurate.data import tables
from zcurate.data.layouts import plain_type
from zcurate.data.source import Source
from zcurate.errors import InputError, listed
from zcurate.plugins import READERS
from zcurate.runtime.process_group import ProcessGroup, SingleProcess

T = TypeVar("T")


class InputSplit(NamedTuple):
    """The unit of work that is assigned to one process: a file or a row group."""

    file: int
    """Index among the source's files."""
    group: int | None
    """Row group, for formats that have them; None for the whole file."""


def input_splits(source: Source) -> list[InputSplit]:
    """List the splits of an input in its order.

    Raises:
        InputError: a file has disappeared or is broken.
    """
    files = source.files or (None,)
    count_groups = READERS[source.format].stream_function("n_groups")
    if count_groups is None:
        return [InputSplit(file, None) for file in range(len(files))]
    splits: list[InputSplit] = []
    for file, name in enumerate(files):
        with source.remote_errors(name):
            splits += [InputSplit(file, group) for group in range(count_groups(source, name))]
    return splits


def batches(source: Source, wanted: list[str] | None = None, rows_per_batch: int = 65536, as_text: tuple[str, ...] = ()) -> Iterator[pa.RecordBatch]:
    """Read columns of all files, one file after the other, in the input's order.

    A row of delimited text that does not fit the header is a row of nulls.

    Args:
        source: Parquet, Feather, CSV or TSV.
        wanted: columns, including partition columns; None for all.
        rows_per_batch: maximum rows of a batch.
        as_text: columns to read as text, as written.

    Raises:
        InputError: a file has disappeared, is broken or does not fit the others, or the format cannot be read batch by batch.
        UsageError: a column that does not exist.
    """
    schema, file_schemas = layout(source, as_text)
    for name in wanted or ():
        schema_module.need_column(schema.names, name, "column", source.path)
    selected = pa.schema([schema.field(name) for name in wanted or schema.names])
    whole_files = [InputSplit(file, None) for file in range(len(file_schemas))]
    return itertools.chain.from_iterable(record_batches(source, selected, file_schemas, rows_per_batch, split) for split in whole_files)


def layout(source: Source, as_text: tuple[str, ...] = (), group: ProcessGroup | None = None) -> tuple[pa.Schema, list[pa.Schema]]:
    """Determine the common schema of all files; CSV is read once for it, batch by batch.

    Args:
        source: Parquet, Feather, CSV or TSV.
        as_text: as for `batches`.
        group: processes that share the files among them; None for one process.

    Returns:
        The common schema with partition columns, and the schema of each file without them.

    Raises:
        InputError: as for `batches`.
    """
    head = READERS[source.format].stream_function("head")
    if head is None:
        streamed = listed(name for name, reader in READERS.items() if reader.streams)
        raise InputError(f"{source.path}: {source.format} cannot be read in batches — expected {streamed} — convert it to Parquet")
    files = source.files or (None,)
    group = group or SingleProcess()

    def read_heads() -> dict[int, pa.Schema]:
        heads = {}
        for file in range(group.rank, len(files), group.size):
            with source.remote_errors(files[file]):
                schema = head(source, files[file], as_text)
                heads[file] = pa.schema([field.with_type(plain_type(field.type)) for field in schema], schema.metadata)
        return heads

    heads = {file: schema for each in gather_or_raise(read_heads, group) for file, schema in each.items()}
    schemas, file_schemas = [], []
    for file, name in enumerate(files):
        schema = heads[file]
        twice = next((column for column, n in Counter(schema.names).items() if n > 1), None)
        if twice is not None:
            raise InputError(f"{name or source.path}: column '{twice}' exists twice — expected distinct names to read batch by batch — rename one")
        file_schemas.append(schema)
        for column in source.partition(name):
            schema = schema if column in schema.names else schema.append(pa.field(column, pa.string()))
        schemas.append(schema)
    common = tables.common_schema(schemas, tuple(name or source.path for name in files))
    fields = [pa.field(field.name, pa.string()) if field.name in as_text else field for field in common]
    return pa.schema(fields, schemas[0].metadata), file_schemas


def gather_or_raise(work: Callable[[], T], group: ProcessGroup) -> list[T]:
    """Run each process's work and gather the results by rank; if one process fails, all raise its error.

    Args:
        work: this process's part.
        group: the processes.

    Raises:
        InputError: the error of the lowest rank that failed.
    """
    try:
        result, message = work(), None
    except InputError as error:
        result, message = None, str(error)
    gathered = group.gathered((result, message))
    for _, text in gathered:
        if text is not None:
            raise InputError(text)
    return [each for each, _ in gathered]


def record_batches(source: Source, schema: pa.Schema, file_schemas: list[pa.Schema], rows_per_batch: int, split: InputSplit) -> Iterator[pa.RecordBatch]:
    """Read the batches of a split, cast to a common schema.

    Args:
        source: the input.
        schema: the columns to read, in their final types.
        file_schemas: columns and types of each file.
        rows_per_batch: maximum rows of a batch.
        split: which one.
    """
    name = (source.files or (None,))[split.file]
    own = file_schemas[split.file]
    in_own = set(own.names)
    in_file = pa.schema([own.field(field.name) for field in schema if field.name in in_own])
    options = {} if split.group is None else {"group": split.group}
    read_batches = READERS[source.format].stream_function("batches")
    assert read_batches is not None  # crack: narrows types only
    with source.remote_errors(name):
        for batch in read_batches(source, name, in_file, rows_per_batch, **options):
            table = tables.with_partition(tables.with_plain_layouts(pa.Table.from_batches([batch])), source.partition(name))
            yield from tables.cast_table(table.select(schema.names), schema).to_batches()


def row_counts(source: Source) -> list[int | None]:
    """Return the number of rows of each file without reading the data; None where the format does not state it.

    Raises:
        InputError: a file has disappeared or is broken.
    """
    files = source.files or (None,)
    count = READERS[source.format].stream_function("n_rows")
    if count is None:
        return [None] * len(files)
    counts: list[int | None] = []
    for name in files:
        with source.remote_errors(name):
            counts.append(count(source, name))
    return counts
