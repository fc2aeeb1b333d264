"""The labels of several annotators as a long table: one row for each answer, with columns item, annotator and label. No torch."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.annotators import Annotations, label_texts
from zcurate.data.limits import MemoryLimit
from zcurate.data.values import decode_column, key_text
from zcurate.errors import InputError, UsageError, listed

if TYPE_CHECKING:
    from zcurate.config.options import ScanOptions

COLUMNS = ("item", "annotator", "label")


def read_answers(path: str) -> pa.Table:
    """Read a long table.

    Raises:
        UsageError: there is no such file.
        InputError: it cannot be read, or lacks a column.
    """
    from zcurate.config.options import ScanOptions
    from zcurate.data import discovery
    from zcurate.data.readers import csv, jsonl, parquet

    if not os.path.isfile(path):
        raise UsageError(f"--annotators {path}: no such file — expected a table with columns item, annotator and label, or names of columns")
    source = dataclasses.replace(discovery.source_of(path, ScanOptions()), verbatim=True)
    if source.format == "parquet":
        table = parquet.read_table(source)
    elif source.format == "jsonl":
        table = jsonl.table_of(source.read(), path, MemoryLimit.of(None), COLUMNS)
    else:
        try:
            table, notes = csv.read_file(source, source.files[0] if source.files else None, ScanOptions(label="label"))
        except UsageError as error:
            raise InputError(f"--annotators {path}: no column 'label' — expected item, annotator and label, a row for each answer") from error
        if notes.skipped:
            raise InputError(f"--annotators {path} line {notes.skipped[0].line}: {notes.skipped[0].reason} — expected one answer in each line")
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        found = f"no column '{missing[0]}' — columns: {listed(table.column_names)}"
        raise InputError(f"--annotators {path}: {found} — expected item, annotator and label, a row for each answer")
    return table.select(COLUMNS)


def annotations_of(table: pa.Table, options: ScanOptions, location: str, paths: pa.Array | None = None) -> tuple[Annotations, list[str]]:
    """Join a long table to the rows of an input, by `--id`, by the paths of pictures, or by row numbers from 0 on.

    Args:
        table: (N) the input.
        options: `annotators`, `id`.
        location: the input, for messages.
        paths: (N) of pictures; None for a table.

    Returns:
        The answers, of which the last one counts where an annotator gave two to one row; and what may mislead.

    Raises:
        UsageError: there is no such file, or rows share an id.
        InputError: it cannot be read, lacks a column, or none of its items is in the input.
    """
    path = str(options.annotators)
    answers = read_answers(path)
    if options.id is None and paths is not None:
        known, what = paths.cast(pa.string()), "path of a picture"
    elif options.id is None:
        known, what = pa.array(map(str, range(table.num_rows)), pa.string()), "row number (from 0 on)"
    else:
        known, what = key_text(decode_column(table.column(options.id)), f"--id {options.id}", location), f"value of --id {options.id}"
        if known.null_count or len(pc.unique(known)) < len(known):
            raise UsageError(f"{location}: --id {options.id} is there twice or missing in some rows — expected one row for each item of {path}")
    # Numbers that a format holds as fractions are whole where the ids are.
    item, annotator, label = (label_texts(answers.column(name), f"{path} column {name}", location) for name in COLUMNS)
    row = pc.fill_null(pc.index_in(item, value_set=known), -1).to_numpy(zero_copy_only=False)
    counted = (row >= 0) & np.asarray(annotator.is_valid()) & np.asarray(label.is_valid())
    if not counted.any():
        example = next((text for text in item.to_pylist() if text is not None), "")
        raise InputError(
            f"--annotators {path}: no item is in {location}, such as '{example}' — expected the {what}{' — or name it with --id COL' * (options.id is None)}"
        )
    n_lost = int((np.asarray(label.is_valid()) & ~counted).sum())
    row, annotator, label = row[counted], annotator.filter(pa.array(counted)), label.filter(pa.array(counted))
    people, names = (pc.unique(values).sort() for values in (annotator, label))
    if len(names) < 2:
        raise InputError(f"--annotators {path}: one label, {names[0]} — expected two or more")
    code = np.full((table.num_rows, len(people)), -1, np.int32)
    cells = row, np.asarray(pc.index_in(annotator, value_set=people))
    code[cells] = np.asarray(pc.index_in(label, value_set=names))
    warnings = []
    n_twice = len(row) - len(set(zip(*map(np.ndarray.tolist, cells), strict=True)))
    if n_lost:
        warnings.append(f"--annotators {path}: {n_lost} answers have no row in the input, or no annotator — they are left out")
    if n_twice:
        warnings.append(f"--annotators {path}: {n_twice} answers are by an annotator who answered the same item before — the last one counts")
    return Annotations(tuple(people.to_pylist()), tuple(names.to_pylist()), code), warnings
