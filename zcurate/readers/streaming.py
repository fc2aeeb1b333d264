"""An input piece by piece, for data that do not fit into memory: Parquet, Feather, CSV and TSV.

Leaves: record batches, all of one schema. Enters: a `Source`. Memory holds one piece at a time, whatever the input's size.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from zcurate import columns, infer
from zcurate.errors import InputError, listed
from zcurate.registry import Registry
from zcurate.source import Source

HEADS = Registry(
    "streaming reader",
    parquet="zcurate.readers.parquet:head",
    feather="zcurate.readers.feather:head",
    csv="zcurate.readers.csv_pieces:head",
    tsv="zcurate.readers.csv_pieces:head",
)
BATCHES = Registry(
    "streaming reader",
    parquet="zcurate.readers.parquet:batches",
    feather="zcurate.readers.feather:batches",
    csv="zcurate.readers.csv_pieces:batches",
    tsv="zcurate.readers.csv_pieces:batches",
)
COUNTS = Registry("row count", parquet="zcurate.readers.parquet:n_rows", feather="zcurate.readers.feather:n_rows")


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
        infer.need_column(schema.names, name, "column", source.path)
    chosen = pa.schema([schema.field(name) for name in wanted or schema.names])
    return pieces(source, chosen, own, rows_per_batch)


def layout(source: Source, as_text: tuple[str, ...] = ()) -> tuple[pa.Schema, list[list[str]]]:
    """The columns and types of the whole input, and the columns that each part holds itself; CSV is read once for it, piece by piece.

    Raises:
        InputError: as for `batches`.
    """
    if source.format not in HEADS.where:
        raise InputError(f"{source.path}: {source.format} cannot be read piece by piece — expected {listed(HEADS.where)} — convert it to Parquet")
    files = source.files or (None,)
    head = HEADS.load(source.format)
    schemas, own = [], []
    for name in files:
        with source.reaching(name):
            schema = head(source, name, as_text)
        twice = next((column for at, column in enumerate(schema.names) if column in schema.names[:at]), None)
        if twice is not None:
            raise InputError(f"{name or source.path}: column '{twice}' is there twice — expected distinct names to read piece by piece — rename one")
        own.append(list(schema.names))
        for column in source.partition(name):
            schema = schema if column in schema.names else schema.append(pa.field(column, pa.string()))
        schemas.append(schema)
    whole = columns.agreed(schemas, tuple(name or source.path for name in files))
    return pa.schema([pa.field(field.name, pa.string()) if field.name in as_text else field for field in whole]), own


def pieces(source: Source, schema: pa.Schema, own: list[list[str]], rows_per_batch: int) -> Iterator[pa.RecordBatch]:
    """The batches of every part, cast to one schema.

    Args:
        source: the input.
        schema: the columns wanted, in their types.
        own: the columns that each part holds itself.
        rows_per_batch: at most, in one batch.
    """
    part_batches = BATCHES.load(source.format)
    for name, names in zip(source.files or (None,), own, strict=True):
        within = pa.schema([field for field in schema if field.name in names])
        with source.reaching(name):
            for batch in part_batches(source, name, within, rows_per_batch):
                table = columns.with_partition(pa.Table.from_batches([batch]), source.partition(name))
                yield from columns.fitted(table.select(schema.names), schema).to_batches()


def row_counts(source: Source) -> list[int | None]:
    """Rows of each part, without reading the data; None where the format does not tell.

    Raises:
        InputError: a part is gone or broken.
    """
    files = source.files or (None,)
    if source.format not in COUNTS.where:
        return [None] * len(files)
    count, found = COUNTS.load(source.format), []
    for name in files:
        with source.reaching(name):
            found.append(count(source, name))
    return found
