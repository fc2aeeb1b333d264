"""A first pass over a table that will not fit into memory: what must be known of all rows, and a sample for everything else.

Leaves: `Survey`. Enters: a `Source`, piece by piece. Exact: the number of rows, the labels and their task, the counts of categories. From a sample: what
each column is for, its type, later its quantiles. A value that does not fit its column's sampled type becomes missing. No torch.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate import infer
from zcurate.dataset import Dataset, Task
from zcurate.errors import InputError
from zcurate.options import ScanOptions
from zcurate.readers import streaming
from zcurate.readers.glimpse import Glimpse
from zcurate.source import Source

PIECE_ROWS = 65_536
"""Rows of one piece."""
SAMPLE_ROWS = 50_000
"""Rows that types, roles and quantiles are taken from."""
MOST_VALUES = 200_000
"""Distinct numbers among the labels, and distinct strings of a column, that are counted at most."""


@dataclass(frozen=True)
class Survey:
    """What a pass over all rows found."""

    source: Source
    """Of the rows."""
    schema: pa.Schema
    """Columns and types of all parts."""
    own: list[list[str]]
    """The columns that each part holds itself."""
    data: Dataset
    """A sample of the rows, in the input's order; its roles and task hold for all, and `n_rows` counts all."""
    counts: dict[str, dict[str, int]]
    """Of each category column how often each value is there."""

    def pieces(self, wanted: list[str]) -> Iterator[pa.RecordBatch]:
        """Some columns, piece by piece, in the input's order."""
        chosen = pa.schema([self.schema.field(name) for name in wanted])
        return streaming.pieces(self.source, chosen, self.own, PIECE_ROWS)

    def columns(self) -> list[str]:
        """The columns that are read again: label, features, id and group."""
        roles = self.data.roles
        names = [roles.label, *(column.name for column in roles.features), roles.id, roles.group]
        return list(dict.fromkeys(name for name in names if name is not None))

    def part(self, table: pa.Table, like: Dataset | None = None) -> Dataset:
        """Some rows as a `Dataset` of their own: columns in the sample's types, labels in the task's.

        Args:
            table: (n) the columns of `columns`.
            like: rows to put before them; None for none.
        """
        sample = self.data
        arrays = {column.name: fitted(infer.plain(table.column(column.name)), sample.arrays[column.name].type) for column in sample.roles.features}
        given = labels(infer.plain(table.column(sample.roles.label)), sample.task)
        if like is not None:
            arrays = {name: pa.concat_arrays([like.arrays[name], array]) for name, array in arrays.items()}
            given = pa.concat_arrays([like.given, given])
            table = pa.concat_tables([like.table.select(table.column_names), table])
        return dataclasses.replace(sample, table=table, given=given, arrays=arrays, n_in_all=None)


def reason_not_to(seen: Glimpse, source: Source) -> str:
    """Why an input cannot be scanned piece by piece; empty where it can."""
    if source.content is not None or source.remote is not None:
        return "standard input and addresses are read as a whole"
    if source.format not in streaming.HEADS.where:
        return f"{source.format} is read as a whole"
    if seen.data.pictures is not None:
        return "pictures are decoded into memory"
    text = [column.name for column in seen.data.roles.features if column.kind == "text"]
    return f"column '{text[0]}' is text, whose words are counted in memory" if text else ""


def survey(source: Source, seen: Glimpse, options: ScanOptions) -> Survey:
    """Pass over all rows once.

    Args:
        source: of the rows.
        seen: what its beginning looked like.
        options: roles and task.

    Raises:
        InputError: no usable labels, or a part that is broken.
        UsageError: a column that is not there.
    """
    roles, place = seen.data.roles, source.path
    written = tuple(name for name in (roles.label, roles.id, roles.group) if name) if source.format in ("csv", "tsv") else ()
    schema, own = streaming.layout(source, written)
    chances, some, n_rows = np.random.default_rng(0), Sample(), 0
    values: Counter[str] = Counter()
    words = {field.name: Counter[str]() for field in schema if pa.types.is_string(field.type) and field.name != roles.label}
    for batch in streaming.pieces(source, schema, own, PIECE_ROWS):
        n_rows += batch.num_rows
        some.add(pa.Table.from_batches([batch]), chances)
        found = infer.without_missing_words(infer.spelled(infer.plain(pa.chunked_array([batch.column(roles.label)]))))
        count(found, values, lambda word: infer.as_numbers(pa.array([word])) is None)
        for name in list(words):
            count(infer.without_missing_words(infer.plain(pa.chunked_array([batch.column(name)]))), words[name], lambda _: False)
            if len(words[name]) >= MOST_VALUES:
                del words[name]
    if n_rows == 0:
        raise InputError(f"{place}: no rows — expected a header and data — is this the right file?")
    _, task = infer.label_task(pa.array(list(values), pa.string()), options.task, place, roles.label, sum(values.values()))
    data = infer.dataset(some.table(), source.origin(), dataclasses.replace(options, label=roles.label), task=task)
    text = [column.name for column in data.roles.features if column.kind == "text"]
    if text:
        raise InputError(f"{place}: column '{text[0]}' is text — expected none where rows are read piece by piece — try --exclude {text[0]}, or more --memory")
    kept = {column.name: dict(words.get(column.name, {})) for column in data.roles.features if column.kind == "category"}
    return Survey(source, schema, own, dataclasses.replace(data, n_in_all=n_rows), kept)


def count(found: pa.Array, into: Counter[str], keep: Callable[[str], bool]) -> None:
    """Add the values of a piece; beyond `MOST_VALUES` distinct ones a new one only where `keep` says so.

    Args:
        found: (n) string.
        into: value -> how often.
        keep: looks at a new value.
    """
    counted = pc.value_counts(found.drop_null())
    for value, n in zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True):
        if value in into or len(into) < MOST_VALUES or keep(value):
            into[value] += n


class Sample:
    """Rows drawn evenly from pieces of unknown number: those with the smallest random numbers."""

    def __init__(self) -> None:
        self.tables: list[pa.Table] = []
        self.chance: list[np.ndarray] = []
        self.limit = 2.0

    def add(self, table: pa.Table, rng: np.random.Generator) -> None:
        """Look at a piece.

        Args:
            table: (n) rows.
            rng: source of the random numbers.
        """
        chance = rng.random(table.num_rows)
        rows = np.flatnonzero(chance < self.limit)
        self.tables.append(table.take(pa.array(rows)))
        self.chance.append(chance[rows])
        if sum(map(len, self.chance)) > 3 * SAMPLE_ROWS:
            self.cut()

    def cut(self) -> None:
        """Keep `SAMPLE_ROWS` rows."""
        chance = np.concatenate(self.chance)
        if len(chance) > SAMPLE_ROWS:
            self.limit = float(np.partition(chance, SAMPLE_ROWS)[SAMPLE_ROWS])
        rows = np.flatnonzero(chance < self.limit)
        self.tables, self.chance = [pa.concat_tables(self.tables).take(pa.array(rows)).combine_chunks()], [chance[rows]]

    def table(self) -> pa.Table:
        """The rows, in their order."""
        self.cut()
        return self.tables[0]


def labels(array: pa.Array, task: Task) -> pa.Array:
    """Labels of some rows as the task has them: string, or float64 for regression; what does not fit is missing.

    Args:
        array: (n) a plain label column.
        task: of all rows.
    """
    text = infer.without_missing_words(infer.spelled(array))
    if task.kind != "regression":
        return text
    numbers = fitted(text, pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def fitted(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """A feature column of some rows in the type that the sample gave it; a value that does not fit is missing.

    Args:
        array: (n) a plain column.
        kind: the type wanted.
    """
    if pa.types.is_string(array.type):
        array = infer.without_missing_words(array)
    if array.type == kind:
        return array
    if pa.types.is_boolean(kind) and pa.types.is_string(array.type):
        words = pc.utf8_lower(array)
        return pc.if_else(pc.is_in(words, value_set=pa.array(["true", "false"])), pc.equal(words, "true"), pa.scalar(None, pa.bool_()))
    try:
        return array.cast(kind, safe=pa.types.is_string(array.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        coded = array.dictionary_encode()
        return pa.concat_arrays([fits_alone(coded.dictionary[at : at + 1], kind) for at in range(len(coded.dictionary))]).take(coded.indices)


def fits_alone(value: pa.Array, kind: pa.DataType) -> pa.Array:
    """One value cast, or null."""
    try:
        return value.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(1, kind)
