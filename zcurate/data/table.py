"""A table whose rows are streamed from their files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data import schema, stream
from zcurate.data import schema as schema_module
from zcurate.data.dataset import Dataset, Task
from zcurate.data.source import Source
from zcurate.data.stream import InputSplit

BATCH_ROWS = 65_536
"""Rows of one piece."""


@dataclass(frozen=True)
class AssignedSplit:
    """A unit that this process reads."""

    unit: InputSplit
    """Where it lies."""
    number: int
    """Its place among all units."""
    begin: int
    """The position in the input of its first row."""
    n_rows: int
    """Rows in it."""


@dataclass(frozen=True)
class StreamedTable:
    """What a pass over all rows found."""

    source: Source
    """Of the rows."""
    schema: pa.Schema
    """Columns and types of all parts."""
    own: list[list[str]]
    """The columns that each part holds itself."""
    sample: Dataset
    """A sample of the rows, in the input's order; its roles and task hold for all, and `n_rows` counts all."""
    counts: dict[str, dict[str, int]]
    """Of each category column how often each value is there."""
    units: list[AssignedSplit]
    """What this process reads, in the input's order: every unit, or where several processes read together every so many-th."""
    n_units: int
    """Of the input."""

    @property
    def n_own(self) -> int:
        """Rows that this process reads."""
        return sum(unit.n_rows for unit in self.units)

    def pieces(self, wanted: list[str], unit: AssignedSplit | None = None) -> Iterator[pa.RecordBatch]:
        """Some columns, piece by piece, in the input's order: of one unit, or of all that this process reads."""
        chosen = pa.schema([self.schema.field(name) for name in wanted])
        for one in self.units if unit is None else [unit]:
            yield from stream.record_batches(self.source, chosen, self.own, BATCH_ROWS, one.unit)

    def columns(self) -> list[str]:
        """The columns that are read again: label, features, id and group."""
        roles = self.sample.roles
        names = [roles.label, *(column.name for column in roles.features), roles.id, roles.group]
        return list(dict.fromkeys(name for name in names if name is not None))

    def part(self, table: pa.Table) -> Dataset:
        """Some rows as a `Dataset` of their own: columns in the sample's types, labels in the task's.

        Args:
            table: (n) the columns of `columns`.
        """
        sample = self.sample
        arrays = {
            column.name: cast_column(schema_module.decode_column(table.column(column.name)), sample.arrays[column.name].type)
            for column in sample.roles.features
        }
        given = typed_labels(schema_module.decode_column(table.column(sample.roles.label)), sample.task)
        return dataclasses.replace(sample, table=table, given=given, arrays=arrays, n_in_all=None)


def typed_labels(array: pa.Array, task: Task) -> pa.Array:
    """Labels of some rows as the task has them: string, or float64 for regression; what does not fit is missing.

    Args:
        array: (n) a plain label column.
        task: of all rows.
    """
    text = schema.without_missing_words(schema.as_written(array))
    if task.kind != "regression":
        return text
    numbers = cast_column(text, pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def cast_column(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """A feature column of some rows in the type that the sample gave it; a value that does not fit is missing.

    Args:
        array: (n) a plain column.
        kind: the type wanted.
    """
    if pa.types.is_string(array.type):
        array = schema.without_missing_words(array)
    if array.type == kind:
        return array
    if pa.types.is_boolean(kind) and pa.types.is_string(array.type):
        words = pc.utf8_lower(array)
        return pc.if_else(pc.is_in(words, value_set=pa.array(["true", "false"])), pc.equal(words, "true"), pa.scalar(None, pa.bool_()))
    try:
        return array.cast(kind, safe=pa.types.is_string(array.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        coded = array.dictionary_encode()
        return pa.concat_arrays([cast_value(coded.dictionary[at : at + 1], kind) for at in range(len(coded.dictionary))]).take(coded.indices)


def cast_value(value: pa.Array, kind: pa.DataType) -> pa.Array:
    """One value cast, or null."""
    try:
        return value.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(1, kind)


@dataclass(frozen=True)
class ResidentTable:
    """A table, or pictures, of which all rows are in memory."""

    sample: Dataset
    """All rows."""
