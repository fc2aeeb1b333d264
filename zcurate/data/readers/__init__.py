"""Readers: each module has `read(source, options) -> Dataset`. N rows in, N rows out; the input is never written to."""

from __future__ import annotations

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
    """Read an input with its format's reader.

    Args:
        source: the input.
        options: column roles and task.

    Raises:
        InputError: it is not what it claims to be.
        UsageError: a column that does not exist.
    """
    dataset: Dataset = READERS.load(source.format)(source, options)
    return dataset
