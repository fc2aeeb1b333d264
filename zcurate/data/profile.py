"""First pass over a table that does not fit into memory: exact counts of all rows, and a sample for everything else.

Exact are the number of rows, the skipped rows, the labels with their task, the counts of categories and the types of columns. Column roles, and
later the quantiles, come from the sample. No torch.
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
from zcurate.data import declared_classes, schema, stream, values
from zcurate.data.dataset import Dataset, DeclaredClasses, FileNotes, InputInfo, Roles
from zcurate.data.labels import missing_words
from zcurate.data.preview import Preview
from zcurate.data.reservoir import ReservoirSample
from zcurate.data.source import Source
from zcurate.data.stream import InputSplit
from zcurate.data.table import BATCH_ROWS, AssignedSplit, StreamedTable
from zcurate.errors import InputError, UsageError
from zcurate.plugins import READERS
from zcurate.runtime import process_group
from zcurate.runtime.process_group import ProcessGroup

SAMPLE_ROWS = 50_000
"""Rows of the sample from which roles and quantiles are inferred."""
MAX_DISTINCT = 200_000
"""Maximum number of distinct numeric labels, and of distinct strings of a column, that are counted."""


def why_not_streamed(preview: Preview, source: Source, allow_text: bool = False) -> str:
    """Return why an input cannot be scanned, or for `allow_text` only profiled, batch by batch; empty if it can."""
    if source.content is not None:
        return "standard input is read as a whole"
    if preview.data.pictures is not None:
        return f"pictures in {source.format} are read as a whole" if source.format in ("npz", "idx") else ""
    if not READERS[source.format].streams:
        return f"{source.format} is read as a whole"
    if source.remote is not None and READERS[source.format].stream_function("n_rows") is None:
        return f"{source.format} at an address is read as a whole"
    text = [column.name for column in preview.data.roles.features if column.kind == "text"]
    return f"column '{text[0]}' is text, whose words are counted in memory" if text and not allow_text else ""


def profile_table(source: Source, preview: Preview, options: ScanOptions, others: ProcessGroup | None = None) -> StreamedTable:
    """Read all rows once and profile the table.

    Args:
        source: the input.
        preview: of its leading rows.
        options: column roles and task.
        others: the processes that share the input's splits among them; None for one process.

    Raises:
        InputError: no usable labels, or a broken file.
        UsageError: a column that does not exist; fewer splits than processes.
    """
    state = source.state()
    roles, location, group = preview.data.roles, source.path, others or process_group.SingleProcess()
    as_text = roles.verbatim_columns() if source.is_delimited else ()
    common, file_schemas = stream.layout(source, as_text, others)
    splits = stream.input_splits(source) if group.size > 1 else [InputSplit(file, None) for file in range(len(file_schemas))]
    if len(splits) < group.size:
        found = f"{len(splits)} row groups or files for {group.size} processes"
        raise UsageError(f"{location}: {found} — expected one for each — write the data in smaller row groups or more parts, or start fewer processes")
    local = range(group.rank, len(splits), group.size)

    def count() -> ProfileCounts:
        counts = ProfileCounts.empty(common, roles, missing_words(options, source.is_delimited))
        rng = np.random.default_rng([0, group.rank] if group.rank else 0)
        for number in local:
            counts.rows[number] = 0
            counts.notes[number] = source.notes.get((source.files or (None,))[splits[number].file], FileNotes())
            for batch in stream.record_batches(source, common, file_schemas, BATCH_ROWS, splits[number]):
                counts.rows[number] += batch.num_rows
                counts.sample.add(pa.Table.from_batches([batch]), rng)
                counts.add(batch, roles.label, declared_classes.declared(common, roles.label))
        counts.sample.cut()
        return counts

    gathered = stream.gather_or_raise(count, group)
    sample = merge_samples([each.sample.table() for each in gathered], [sum(each.rows.values()) for each in gathered])
    counts = merge_counts(gathered)
    begins = np.cumsum([0, *(counts.rows[number] for number in range(len(splits)))])
    if begins[-1] == 0:
        raise InputError(f"{location}: no rows — expected a header and data — is this the right file?")
    # Only rank 0 reads every byte once more, for the hash in the run card.
    origin = source.origin() if group.rank == 0 else InputInfo(source.path, source.format)
    notes = FileNotes()
    for number in range(len(splits)):
        notes = notes.joined(counts.notes[number].after(int(begins[number])))
    # The metadata say what the labels are.
    sample = sample.replace_schema_metadata(common.metadata)
    data = sample_dataset(sample, counts, notes, origin, dataclasses.replace(options, label=roles.label))
    data = dataclasses.replace(data, n_total_rows=int(begins[-1]))
    categories = {column.name: dict(counts.strings.get(column.name, {})) for column in data.roles.features if column.kind == "category"}
    assigned = [AssignedSplit(splits[number], number, int(begins[number]), counts.rows[number]) for number in local]
    return StreamedTable(source, common, file_schemas, data, categories, assigned, len(splits), state)


def sample_dataset(sample: pa.Table, counts: ProfileCounts, notes: FileNotes, origin: InputInfo, options: ScanOptions) -> Dataset:
    """Infer the roles from a sample, and the task from the labels of all rows.

    Args:
        sample: (n) rows.
        counts: of all rows.
        notes: of all files.
        origin: identity of the input.
        options: column roles and task.

    Raises:
        InputError: no usable labels, or no column is left.
    """
    return schema.dataset(sample, origin, options, notes=notes, label_counts=dict(counts.labels))


def refuse_text(data: Dataset) -> None:
    """Refuse a column of text, whose words are counted in memory, where rows are not kept there.

    Raises:
        InputError: names the column.
    """
    text = [column.name for column in data.roles.features if column.kind == "text"]
    if text:
        advice = f"try --exclude {text[0]} or --kind {text[0]}=category, or more --memory"
        raise InputError(f"{data.origin.path}: column '{text[0]}' is text — expected none where rows are read batch by batch — {advice}")


@dataclass
class ProfileCounts:
    """Counts of one process."""

    rows: dict[int, int]
    """Number of a split -> its rows."""
    labels: Counter[str]
    """Label -> number of rows."""
    strings: dict[str, Counter[str]]
    """String column -> value -> number of rows; columns with too many distinct values are dropped."""
    sample: ReservoirSample
    """Sample of the process's rows."""
    notes: dict[int, FileNotes]
    """Number of a split -> what its reader found, rows counted from its first one."""
    missing: tuple[str, ...]
    """Words that mean a missing label."""

    @classmethod
    def empty(cls, schema: pa.Schema, roles: Roles, missing: tuple[str, ...]) -> ProfileCounts:
        """Create counts for the string columns of a schema, except the label."""
        strings = [field.name for field in schema if pa.types.is_string(field.type) and field.name != roles.label]
        return cls({}, Counter(), {name: Counter() for name in strings}, ReservoirSample(SAMPLE_ROWS), {}, missing)

    def add(self, batch: pa.RecordBatch, label: str, declared: DeclaredClasses | None) -> None:
        """Count the values of a batch.

        Args:
            batch: (n) rows.
            label: the label column.
            declared: what the input says of its labels; None where nothing.
        """
        labels = declared_classes.label_text(values.decode_column(pa.chunked_array([batch.column(label)])), declared, self.missing)
        count_values(labels, self.labels, lambda word: values.as_numbers(pa.array([word])) is None)
        for name in list(self.strings):
            count_values(values.without_missing_words(values.decode_column(pa.chunked_array([batch.column(name)]))), self.strings[name], lambda _: False)
            if len(self.strings[name]) >= MAX_DISTINCT:
                del self.strings[name]


def merge_counts(parts: list[ProfileCounts]) -> ProfileCounts:
    """Merge the processes' counts, without their samples; a string column that one of them dropped is dropped."""
    first = parts[0]
    merged = ProfileCounts({}, Counter(), {}, first.sample, {}, first.missing)
    for part in parts:
        merged.rows |= part.rows
        merged.labels += part.labels
        merged.notes |= part.notes
    for name in first.strings:
        if all(name in part.strings for part in parts):
            merged.strings[name] = sum((part.strings[name] for part in parts), Counter[str]())
    return merged


def merge_samples(tables: list[pa.Table], n_rows: list[int]) -> pa.Table:
    """Merge the processes' samples into one of `SAMPLE_ROWS` rows, each in proportion to its rows.

    Args:
        tables: uniform samples.
        n_rows: number of rows that each was drawn from.
    """
    if len(tables) == 1:
        return tables[0]
    sizes = [min(table.num_rows, round(SAMPLE_ROWS * n / max(1, sum(n_rows)))) for table, n in zip(tables, n_rows, strict=True)]
    drawn = [np.sort(np.random.default_rng(0).choice(table.num_rows, n, replace=False)) for table, n in zip(tables, sizes, strict=True)]
    return pa.concat_tables([table.take(pa.array(rows)) for table, rows in zip(tables, drawn, strict=True)]).combine_chunks()


def count_values(array: pa.Array, counts: Counter[str], always: Callable[[str], bool]) -> None:
    """Add the values of a batch to the counts; from `MAX_DISTINCT` distinct values on, add a new one only if `always` accepts it.

    Args:
        array: (n) string.
        counts: value -> number of rows.
        always: whether to count a new value in any case.
    """
    counted = pc.value_counts(array.drop_null())
    for value, n in zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True):
        if value in counts or len(counts) < MAX_DISTINCT or always(value):
            counts[value] += n
