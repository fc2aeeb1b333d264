"""`StreamedTable`: a table whose rows are read from its files batch by batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zcurate.data import stream, values
from zcurate.data.dataset import Dataset
from zcurate.data.features import like_sample
from zcurate.data.labels import labels_of_task
from zcurate.data.source import Source
from zcurate.data.stream import InputSplit

BATCH_ROWS = 65_536
"""Maximum rows of a batch."""


@dataclass(frozen=True)
class AssignedSplit:
    """An input split that this process reads."""

    split: InputSplit
    """The file and row group."""
    number: int
    """Its index among all splits of the input."""
    begin: int
    """Index of its first row in the input."""
    n_rows: int
    """Number of its rows."""


@dataclass(frozen=True)
class StreamedTable:
    """Profile of a table and access to its rows batch by batch."""

    source: Source
    """The input."""
    schema: pa.Schema
    """Columns and types common to all files."""
    file_schemas: list[pa.Schema]
    """Columns and types of each file, without partition columns."""
    sample: Dataset
    """A sample of the rows in the input's order; roles, task and `skipped` are those of all rows, and `n_rows` counts all."""
    counts: dict[str, dict[str, int]]
    """Category column -> value -> number of rows."""
    splits: list[AssignedSplit]
    """What this process reads, in the input's order: all splits, or those with number rank, rank + size, ..."""
    n_splits: int
    """Number of splits of the input."""
    state: tuple[tuple[int, int], ...] = ()
    """`Source.state` before the input was first read."""

    @property
    def n_local_rows(self) -> int:
        """Rows that this process reads."""
        return sum(split.n_rows for split in self.splits)

    def local_skipped(self) -> np.ndarray:
        """Return (n) int64: the skipped rows among the local rows, ascending; in batches they are rows of nulls."""
        rows = np.array([skip.row for skip in self.sample.skipped], np.int64)
        local, n_before = [], 0
        for split in self.splits:
            local.append(rows[(rows >= split.begin) & (rows < split.begin + split.n_rows)] - split.begin + n_before)
            n_before += split.n_rows
        return np.concatenate([np.zeros(0, np.int64), *local])

    def batches(self, wanted: list[str], split: AssignedSplit | None = None) -> Iterator[pa.RecordBatch]:
        """Read some columns batch by batch in the input's order, of one split or of all that this process reads.

        Raises:
            InputError: the input has changed since it was first read.
        """
        schema = pa.schema([self.schema.field(name) for name in wanted])
        with self.source.unchanged(self.state):
            for assigned in self.splits if split is None else [split]:
                yield from stream.record_batches(self.source, schema, self.file_schemas, BATCH_ROWS, assigned.split)

    def columns(self) -> list[str]:
        """Return the columns that a scan reads: label, features, id and group."""
        roles = self.sample.roles
        names = [roles.label, *(column.name for column in roles.features), roles.id, roles.group]
        return list(dict.fromkeys(name for name in names if name is not None))

    def dataset_of(self, table: pa.Table) -> Dataset:
        """Convert some rows to a `Dataset`: feature columns in the sample's types, labels in the task's type.

        Args:
            table: (n) the columns of `columns`.
        """
        sample = self.sample
        arrays = {
            name: like_sample(values.decode_column(table.column(name)), typed.type, sample.conversions.get(name), sample.missing)
            for name, typed in sample.arrays.items()
        }
        given = labels_of_task(values.decode_column(table.column(sample.roles.label)), sample.task)
        return dataclasses.replace(sample, table=table, given=given, arrays=arrays, skipped=(), n_total_rows=None)


@dataclass(frozen=True)
class ResidentTable:
    """A table, or pictures, of which all rows are in memory."""

    sample: Dataset
    """All rows."""
