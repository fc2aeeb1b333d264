"""An input piece by piece, for data that do not fit into memory: Parquet, Feather, CSV and TSV.

Leaves: record batches, all of one schema. Enters: a `Source`. Memory holds one piece at a time, whatever the input's size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import pyarrow as pa

from zcurate.data import schema as schema_module
from zcurate.data import tables
from zcurate.data.source import Source
from zcurate.errors import InputError, listed
from zcurate.plugins import READERS
from zcurate.runtime.process_group import ProcessGroup, SingleProcess

T = TypeVar("T")


class InputSplit(NamedTuple):
    """What one of several readers takes as a whole."""

    file: int
    """Place among the source's files."""
    group: int | None
    """Row group, where the format has them; None for the whole file."""


def input_splits(source: Source) -> list[InputSplit]:
    """The units of an input, in its order.

    Raises:
        InputError: a part is gone or broken.
    """
    files = source.files or (None,)
    count, found = READERS[source.format].stream_function("n_groups"), []
    if count is None:
        return [InputSplit(at, None) for at in range(len(files))]
    for at, name in enumerate(files):
        with source.reaching(name):
            found += [InputSplit(at, group) for group in range(count(source, name))]
    return found


def batches(source: Source, wanted: list[str] | None = None, rows_per_batch: int = 65536, as_text: tuple[str, ...] = ()) -> Iterator[pa.RecordBatch]:
    """Chosen columns of all parts, one part after the other, in the input's order.

    A row of delimited text that does not fit the header comes as a row of nulls, at its place.

    Args:
        source: Parquet, Feather, CSV or TSV.
        wanted: columns, partition columns among them; None for all.
        rows_per_batch: at most, in one batch.
        as_text: columns that come as text, as written.

    Raises:
        InputError: a part is gone or broken or does not fit the others, or the format cannot be read piece by piece.
        UsageError: a column that is not there.
    """
    schema, own = layout(source, as_text)
    for name in wanted or ():
        schema_module.need_column(schema.names, name, "column", source.path)
    chosen = pa.schema([schema.field(name) for name in wanted or schema.names])
    every = [InputSplit(at, None) for at in range(len(own))]
    return itertools.chain.from_iterable(record_batches(source, chosen, own, rows_per_batch, unit) for unit in every)


def layout(source: Source, as_text: tuple[str, ...] = (), others: ProcessGroup | None = None) -> tuple[pa.Schema, list[list[str]]]:
    """The columns and types of the whole input, and the columns that each part holds itself; CSV is read once for it, piece by piece.

    Args:
        source: Parquet, Feather, CSV or TSV.
        as_text: as for `batches`.
        others: look at the heads of files together; None for one process.

    Raises:
        InputError: as for `batches`.
    """
    head = READERS[source.format].stream_function("head")
    if head is None:
        streamed = listed(name for name, reader in READERS.items() if reader.streams)
        raise InputError(f"{source.path}: {source.format} cannot be read in batches — expected {streamed} — convert it to Parquet")
    files = source.files or (None,)
    processes = others or SingleProcess()

    def heads() -> dict[int, pa.Schema]:
        found = {}
        for at in range(processes.rank, len(files), processes.size):
            with source.reaching(files[at]):
                found[at] = head(source, files[at], as_text)
        return found

    known = {at: schema for part in run_agreed(heads, processes) for at, schema in part.items()}
    schemas, own = [], []
    for at, name in enumerate(files):
        schema = known[at]
        twice = next((column for number, column in enumerate(schema.names) if column in schema.names[:number]), None)
        if twice is not None:
            raise InputError(f"{name or source.path}: column '{twice}' is there twice — expected distinct names to read piece by piece — rename one")
        own.append(list(schema.names))
        for column in source.partition(name):
            schema = schema if column in schema.names else schema.append(pa.field(column, pa.string()))
        schemas.append(schema)
    whole = tables.common_schema(schemas, tuple(name or source.path for name in files))
    return pa.schema([pa.field(field.name, pa.string()) if field.name in as_text else field for field in whole]), own


def run_agreed(work: Callable[[], T], others: ProcessGroup) -> list[T]:
    """What each process finds, in order of their ranks; where one of them fails all do, with its words.

    Args:
        work: this process's part.
        others: who work too.

    Raises:
        InputError: what the first of them met.
    """
    try:
        found, trouble = work(), None
    except InputError as error:
        found, trouble = None, str(error)
    every = others.gathered((found, trouble))
    for _, text in every:
        if text is not None:
            raise InputError(text)
    return [each for each, _ in every]


def record_batches(source: Source, schema: pa.Schema, own: list[list[str]], rows_per_batch: int, unit: InputSplit) -> Iterator[pa.RecordBatch]:
    """The batches of a unit, cast to one schema.

    Args:
        source: the input.
        schema: the columns wanted, in their types.
        own: the columns that each part holds itself.
        rows_per_batch: at most, in one batch.
        unit: which one.
    """
    name = (source.files or (None,))[unit.file]
    within = pa.schema([field for field in schema if field.name in own[unit.file]])
    more = {} if unit.group is None else {"group": unit.group}
    read_batches = READERS[source.format].stream_function("batches")
    assert read_batches is not None  # crack: narrows types only
    with source.reaching(name):
        for batch in read_batches(source, name, within, rows_per_batch, **more):
            table = tables.with_partition(pa.Table.from_batches([batch]), source.partition(name))
            yield from tables.cast_table(table.select(schema.names), schema).to_batches()


def row_counts(source: Source) -> list[int | None]:
    """Rows of each part, without reading the data; None where the format does not tell.

    Raises:
        InputError: a part is gone or broken.
    """
    files = source.files or (None,)
    count, found = READERS[source.format].stream_function("n_rows"), []
    if count is None:
        return [None] * len(files)
    for name in files:
        with source.reaching(name):
            found.append(count(source, name))
    return found
