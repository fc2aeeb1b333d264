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

from zcurate.config.options import ScanOptions
from zcurate.data import schema, stream
from zcurate.data import schema as schema_module
from zcurate.data.dataset import Dataset, Origin, Task
from zcurate.data.preview import Glimpse
from zcurate.data.source import Source
from zcurate.data.stream import Others, Unit
from zcurate.errors import InputError, UsageError

PIECE_ROWS = 65_536
"""Rows of one piece."""
SAMPLE_ROWS = 50_000
"""Rows that types, roles and quantiles are taken from."""
MOST_VALUES = 200_000
"""Distinct numbers among the labels, and distinct strings of a column, that are counted at most."""


@dataclass(frozen=True)
class OwnUnit:
    """A unit that this process reads."""

    unit: Unit
    """Where it lies."""
    number: int
    """Its place among all units."""
    begin: int
    """The position in the input of its first row."""
    n_rows: int
    """Rows in it."""


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
    units: list[OwnUnit]
    """What this process reads, in the input's order: every unit, or where several processes read together every so many-th."""
    n_units: int
    """Of the input."""

    @property
    def n_own(self) -> int:
        """Rows that this process reads."""
        return sum(unit.n_rows for unit in self.units)

    def pieces(self, wanted: list[str], unit: OwnUnit | None = None) -> Iterator[pa.RecordBatch]:
        """Some columns, piece by piece, in the input's order: of one unit, or of all that this process reads."""
        chosen = pa.schema([self.schema.field(name) for name in wanted])
        for one in self.units if unit is None else [unit]:
            yield from stream.pieces(self.source, chosen, self.own, PIECE_ROWS, one.unit)

    def columns(self) -> list[str]:
        """The columns that are read again: label, features, id and group."""
        roles = self.data.roles
        names = [roles.label, *(column.name for column in roles.features), roles.id, roles.group]
        return list(dict.fromkeys(name for name in names if name is not None))

    def part(self, table: pa.Table) -> Dataset:
        """Some rows as a `Dataset` of their own: columns in the sample's types, labels in the task's.

        Args:
            table: (n) the columns of `columns`.
        """
        sample = self.data
        arrays = {column.name: fitted(schema_module.plain(table.column(column.name)), sample.arrays[column.name].type) for column in sample.roles.features}
        given = labels(schema_module.plain(table.column(sample.roles.label)), sample.task)
        return dataclasses.replace(sample, table=table, given=given, arrays=arrays, n_in_all=None)


def reason_not_to(seen: Glimpse, source: Source) -> str:
    """Why an input cannot be scanned piece by piece; empty where it can."""
    if source.content is not None:
        return "standard input is read as a whole"
    if seen.data.pictures is not None:
        return f"pictures in {source.format} are read as a whole" if source.format in ("npz", "idx") else ""
    if source.format not in stream.HEADS.where:
        return f"{source.format} is read as a whole"
    if source.remote is not None and source.format not in stream.COUNTS.where:
        return f"{source.format} at an address is read as a whole"
    text = [column.name for column in seen.data.roles.features if column.kind == "text"]
    return f"column '{text[0]}' is text, whose words are counted in memory" if text else ""


def survey(source: Source, seen: Glimpse, options: ScanOptions, others: Others | None = None) -> Survey:
    """Pass over all rows once.

    Args:
        source: of the rows.
        seen: what its beginning looked like.
        options: roles and task.
        others: the processes that read together, each its own units; None for one process.

    Raises:
        InputError: no usable labels, or a part that is broken.
        UsageError: a column that is not there; fewer units than processes.
    """
    roles, place, crowd = seen.data.roles, source.path, others or stream.Nobody()
    written = roles.named() if source.format in ("csv", "tsv") else ()
    schema, own = stream.layout(source, written, others)
    units = stream.units(source) if crowd.size > 1 else [Unit(at, None) for at in range(len(own))]
    if len(units) < crowd.size:
        what = f"{len(units)} row groups or files for {crowd.size} processes"
        raise UsageError(f"{place}: {what} — expected one for each — write the data in smaller row groups or more parts, or start fewer processes")
    mine = range(crowd.rank, len(units), crowd.size)

    def look() -> Counts:
        found = Counts({}, Counter(), {field.name: Counter() for field in schema if pa.types.is_string(field.type) and field.name != roles.label}, Sample())
        chances = np.random.default_rng([0, crowd.rank] if crowd.rank else 0)
        for number in mine:
            found.rows[number] = 0
            for batch in stream.pieces(source, schema, own, PIECE_ROWS, units[number]):
                found.rows[number] += batch.num_rows
                found.sample.add(pa.Table.from_batches([batch]), chances)
                found.add(batch, roles.label)
        found.sample.cut()
        return found

    every = stream.agreed_on(look, crowd)
    rows = {number: n for each in every for number, n in each.rows.items()}
    begins = np.cumsum([0, *(rows[number] for number in range(len(units)))])
    if begins[-1] == 0:
        raise InputError(f"{place}: no rows — expected a header and data — is this the right file?")
    values = sum((each.labels for each in every), Counter[str]())
    _, task = schema_module.label_task(pa.array(list(values), pa.string()), options.task, place, roles.label, sum(values.values()))
    some = together([each.sample.table() for each in every], [sum(each.rows.values()) for each in every])
    # The first alone reads every byte once more for the hash in the run card.
    origin = source.origin() if crowd.rank == 0 else Origin(source.path, source.format)
    data = schema_module.dataset(some, origin, dataclasses.replace(options, label=roles.label), task=task)
    text = [column.name for column in data.roles.features if column.kind == "text"]
    if text:
        raise InputError(f"{place}: column '{text[0]}' is text — expected none where rows are read piece by piece — try --exclude {text[0]}, or more --memory")
    words = {name: sum((each.words[name] for each in every), Counter[str]()) for name in every[0].words if all(name in each.words for each in every)}
    kept = {column.name: dict(words.get(column.name, {})) for column in data.roles.features if column.kind == "category"}
    taken = [OwnUnit(units[number], number, int(begins[number]), rows[number]) for number in mine]
    return Survey(source, schema, own, dataclasses.replace(data, n_in_all=int(begins[-1])), kept, taken, len(units))


@dataclass
class Counts:
    """What one process counts on its pass."""

    rows: dict[int, int]
    """Number of a unit -> its rows."""
    labels: Counter[str]
    """Label -> how often."""
    words: dict[str, Counter[str]]
    """Of each column of text its values; a column of too many distinct ones is dropped."""
    sample: Sample
    """Of its rows."""

    def add(self, batch: pa.RecordBatch, label: str) -> None:
        """Count the values of a piece.

        Args:
            batch: (n) rows.
            label: the label column.
        """
        found = schema.without_missing_words(schema.spelled(schema.plain(pa.chunked_array([batch.column(label)]))))
        count(found, self.labels, lambda word: schema.as_numbers(pa.array([word])) is None)
        for name in list(self.words):
            count(schema.without_missing_words(schema.plain(pa.chunked_array([batch.column(name)]))), self.words[name], lambda _: False)
            if len(self.words[name]) >= MOST_VALUES:
                del self.words[name]


def together(tables: list[pa.Table], n_rows: list[int]) -> pa.Table:
    """One sample of `SAMPLE_ROWS` rows from each process's, as many from each as it has rows.

    Args:
        tables: even samples of their rows.
        n_rows: that each was drawn from.
    """
    if len(tables) == 1:
        return tables[0]
    wanted = [min(table.num_rows, round(SAMPLE_ROWS * n / max(1, sum(n_rows)))) for table, n in zip(tables, n_rows, strict=True)]
    picked = [np.sort(np.random.default_rng(0).choice(table.num_rows, n, replace=False)) for table, n in zip(tables, wanted, strict=True)]
    return pa.concat_tables([table.take(pa.array(rows)) for table, rows in zip(tables, picked, strict=True)]).combine_chunks()


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
    text = schema.without_missing_words(schema.spelled(array))
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
        return pa.concat_arrays([fits_alone(coded.dictionary[at : at + 1], kind) for at in range(len(coded.dictionary))]).take(coded.indices)


def fits_alone(value: pa.Array, kind: pa.DataType) -> pa.Array:
    """One value cast, or null."""
    try:
        return value.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(1, kind)
