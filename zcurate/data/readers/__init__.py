"""The shelf of readers: each file has `read(source, options) -> Dataset`. N rows in, N rows out; never a write to the input."""

from __future__ import annotations

from collections.abc import Iterator

from pyarrow import RecordBatch

from zcurate.config.options import ScanOptions
from zcurate.data.dataset import Dataset
from zcurate.data.source import Source
from zcurate.registry import Registry

READERS = Registry(
    "reader",
    csv="zcurate.data.readers.csv:read",
    tsv="zcurate.data.readers.csv:read",
    jsonl="zcurate.data.readers.jsonl:read",
    parquet="zcurate.data.readers.parquet:read",
    feather="zcurate.data.readers.feather:read",
    npz="zcurate.data.readers.npz:read",
    idx="zcurate.data.readers.idx:read",
    folder="zcurate.data.readers.image_folder:read",
)


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read an input with the reader that its format asks for.

    Args:
        source: where it is.
        options: column roles and task.

    Raises:
        InputError: it is not what it claims to be.
        UsageError: a column that is not there.
    """
    dataset: Dataset = READERS.load(source.format)(source, options)
    return dataset


def batches(source: Source, columns: list[str] | None = None, rows_per_batch: int = 65536, as_text: tuple[str, ...] = ()) -> Iterator[RecordBatch]:
    """Chosen columns of all parts of a table, piece by piece, in the input's order; see `streaming.batches`.

    Args:
        source: Parquet, Feather, CSV or TSV.
        columns: those wanted; None for all.
        rows_per_batch: at most, in one batch.
        as_text: columns that come as text, as written.

    Raises:
        InputError: a part is gone or broken or does not fit the others, or the format cannot be read piece by piece.
        UsageError: a column that is not there.
    """
    from zcurate.data import stream

    return stream.batches(source, columns, rows_per_batch, as_text)


def row_counts(source: Source) -> list[int | None]:
    """Rows of each part, without reading the data; None where the format does not tell.

    Raises:
        InputError: a part is gone or broken.
    """
    from zcurate.data import stream

    return stream.row_counts(source)
