"""Readers, one module per input format; `zcurate.plugins.READERS` lists them.

The contract of a module is `ReaderModule`; one that can be read in batches also has the functions of `StreamingModule`, and may have
`n_rows(source, file) -> int | None` and `n_groups(source, file) -> int`, which take both from a file's metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pyarrow import RecordBatch, Schema

from zcurate.config.options import ScanOptions
from zcurate.data.dataset import Dataset
from zcurate.data.source import Source
from zcurate.plugins import READERS


class ReaderModule(Protocol):
    """Module of a reader."""

    def read(self, source: Source, options: ScanOptions) -> Dataset:
        """Read a whole input: one row per input row, in its order, those that cannot be read as `SkippedRow`. Never writes to the input.

        Args:
            source: files, or the content of standard input.
            options: column roles and task.

        Raises:
            InputError: the input is not what it claims to be.
            UsageError: a missing column.
        """


class StreamingModule(Protocol):
    """Module of a reader that reads in batches."""

    def head(self, source: Source, file: str | None, as_text: tuple[str, ...]) -> Schema:
        """Return the columns and types of one file.

        Args:
            source: the input.
            file: one of its files; None for the only one.
            as_text: columns that are read as text, as written.
        """

    def batches(self, source: Source, file: str | None, schema: Schema, rows: int) -> Iterator[RecordBatch]:
        """Read one file in batches; a module with `n_groups` also takes `group`, the number of one row group.

        Args:
            source: the input.
            file: one of its files; None for the only one.
            schema: columns to read, and their types.
            rows: of a batch, at most.
        """


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read an input with the reader of its format; arguments and errors as for `ReaderModule.read`.

    Raises:
        InputError: also for an input that changes while it is read.
    """
    reader: ReaderModule = READERS.load(source.format)
    with source.unchanged(source.state()):
        return reader.read(source, options)
