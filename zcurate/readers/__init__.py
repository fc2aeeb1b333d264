"""The shelf of readers: each file has `read(source, options) -> Dataset`. N rows in, N rows out; never a write to the input."""

from __future__ import annotations

from zcurate.dataset import Dataset
from zcurate.options import ScanOptions
from zcurate.registry import Registry
from zcurate.source import Source

READERS = Registry(
    "reader",
    csv="zcurate.readers.delimited:read",
    tsv="zcurate.readers.delimited:read",
    jsonl="zcurate.readers.jsonl:read",
    parquet="zcurate.readers.parquet:read",
    feather="zcurate.readers.feather:read",
    npz="zcurate.readers.npz:read",
    idx="zcurate.readers.idx:read",
    folder="zcurate.readers.folder:read",
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
