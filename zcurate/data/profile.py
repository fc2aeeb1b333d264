"""A first pass over a table that will not fit into memory: what must be known of all rows, and a sample for everything else.

Leaves: `Survey`. Enters: a `Source`, piece by piece. Exact: the number of rows, the labels and their task, the counts of categories. From a sample: what
each column is for, its type, later its quantiles. A value that does not fit its column's sampled type becomes missing. No torch.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.options import ScanOptions
from zcurate.data import schema, stream
from zcurate.data import schema as schema_module
from zcurate.data.dataset import InputInfo
from zcurate.data.preview import Preview
from zcurate.data.source import Source
from zcurate.data.stream import InputSplit
from zcurate.data.table import BATCH_ROWS, AssignedSplit, StreamedTable
from zcurate.errors import InputError, UsageError
from zcurate.plugins import READERS
from zcurate.runtime import process_group
from zcurate.runtime.process_group import ProcessGroup

SAMPLE_ROWS = 50_000
"""Rows that types, roles and quantiles are taken from."""
MAX_DISTINCT = 200_000
"""Distinct numbers among the labels, and distinct strings of a column, that are counted at most."""


def why_not_streamed(seen: Preview, source: Source) -> str:
    """Why an input cannot be scanned piece by piece; empty where it can."""
    if source.content is not None:
        return "standard input is read as a whole"
    if seen.data.pictures is not None:
        return f"pictures in {source.format} are read as a whole" if source.format in ("npz", "idx") else ""
    if not READERS[source.format].streams:
        return f"{source.format} is read as a whole"
    if source.remote is not None and READERS[source.format].stream_function("n_rows") is None:
        return f"{source.format} at an address is read as a whole"
    text = [column.name for column in seen.data.roles.features if column.kind == "text"]
    return f"column '{text[0]}' is text, whose words are counted in memory" if text else ""


def profile_table(source: Source, seen: Preview, options: ScanOptions, others: ProcessGroup | None = None) -> StreamedTable:
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
    roles, place, processes = seen.data.roles, source.path, others or process_group.SingleProcess()
    written = roles.named() if source.format in ("csv", "tsv") else ()
    schema, own = stream.layout(source, written, others)
    units = stream.input_splits(source) if processes.size > 1 else [InputSplit(at, None) for at in range(len(own))]
    if len(units) < processes.size:
        what = f"{len(units)} row groups or files for {processes.size} processes"
        raise UsageError(f"{place}: {what} — expected one for each — write the data in smaller row groups or more parts, or start fewer processes")
    mine = range(processes.rank, len(units), processes.size)

    def look() -> ProfileCounts:
        found = ProfileCounts(
            {}, Counter(), {field.name: Counter() for field in schema if pa.types.is_string(field.type) and field.name != roles.label}, ReservoirSample()
        )
        chances = np.random.default_rng([0, processes.rank] if processes.rank else 0)
        for number in mine:
            found.rows[number] = 0
            for batch in stream.record_batches(source, schema, own, BATCH_ROWS, units[number]):
                found.rows[number] += batch.num_rows
                found.sample.add(pa.Table.from_batches([batch]), chances)
                found.add(batch, roles.label)
        found.sample.cut()
        return found

    every = stream.run_agreed(look, processes)
    rows = {number: n for each in every for number, n in each.rows.items()}
    begins = np.cumsum([0, *(rows[number] for number in range(len(units)))])
    if begins[-1] == 0:
        raise InputError(f"{place}: no rows — expected a header and data — is this the right file?")
    values = sum((each.labels for each in every), Counter[str]())
    _, task = schema_module.label_task(pa.array(list(values), pa.string()), options.task, place, roles.label, sum(values.values()))
    some = merge_samples([each.sample.table() for each in every], [sum(each.rows.values()) for each in every])
    # The first alone reads every byte once more for the hash in the run card.
    origin = source.origin() if processes.rank == 0 else InputInfo(source.path, source.format)
    data = schema_module.dataset(some, origin, dataclasses.replace(options, label=roles.label), task=task)
    text = [column.name for column in data.roles.features if column.kind == "text"]
    if text:
        raise InputError(f"{place}: column '{text[0]}' is text — expected none where rows are read piece by piece — try --exclude {text[0]}, or more --memory")
    words = {name: sum((each.words[name] for each in every), Counter[str]()) for name in every[0].words if all(name in each.words for each in every)}
    kept = {column.name: dict(words.get(column.name, {})) for column in data.roles.features if column.kind == "category"}
    taken = [AssignedSplit(units[number], number, int(begins[number]), rows[number]) for number in mine]
    return StreamedTable(source, schema, own, dataclasses.replace(data, n_in_all=int(begins[-1])), kept, taken, len(units))


@dataclass
class ProfileCounts:
    """What one process counts on its pass."""

    rows: dict[int, int]
    """Number of a unit -> its rows."""
    labels: Counter[str]
    """Label -> how often."""
    words: dict[str, Counter[str]]
    """Of each column of text its values; a column of too many distinct ones is dropped."""
    sample: ReservoirSample
    """Of its rows."""

    def add(self, batch: pa.RecordBatch, label: str) -> None:
        """Count the values of a piece.

        Args:
            batch: (n) rows.
            label: the label column.
        """
        found = schema.without_missing_words(schema.as_written(schema.decode_column(pa.chunked_array([batch.column(label)]))))
        count_values(found, self.labels, lambda word: schema.as_numbers(pa.array([word])) is None)
        for name in list(self.words):
            count_values(schema.without_missing_words(schema.decode_column(pa.chunked_array([batch.column(name)]))), self.words[name], lambda _: False)
            if len(self.words[name]) >= MAX_DISTINCT:
                del self.words[name]


def merge_samples(tables: list[pa.Table], n_rows: list[int]) -> pa.Table:
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


def count_values(found: pa.Array, into: Counter[str], keep: Callable[[str], bool]) -> None:
    """Add the values of a piece; beyond `MOST_VALUES` distinct ones a new one only where `keep` says so.

    Args:
        found: (n) string.
        into: value -> how often.
        keep: looks at a new value.
    """
    counted = pc.value_counts(found.drop_null())
    for value, n in zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True):
        if value in into or len(into) < MAX_DISTINCT or keep(value):
            into[value] += n


class ReservoirSample:
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
