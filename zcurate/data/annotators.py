"""The labels of several annotators: their columns, and the consensus that is scanned where there is no label column."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.values import decode_column
from zcurate.data.votes import fit_votes
from zcurate.errors import InputError, UsageError, did_you_mean, listed

CONSENSUS = "consensus"
"""Name of the label column that is made."""
FILE_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".csv.gz", ".tsv.gz", ".jsonl.gz")
"""Endings by which a value of `--annotators` is a file with a row for each answer."""


@dataclass(frozen=True)
class Annotations:
    """Who labelled what."""

    annotators: tuple[str, ...]
    """A names."""
    names: tuple[str, ...]
    """L labels as they are written."""
    code: np.ndarray
    """(N, A) int32 positions in `names`, -1 where an annotator gave none."""


def consensus_name(names: list[str]) -> str:
    """Name the label column that is made, other than the input's columns."""
    name = CONSENSUS
    while name in names:
        name += "_"
    return name


def is_answers(wanted: str | None) -> bool:
    """Whether `--annotators` names a file rather than columns."""
    return wanted is not None and wanted.lower().endswith(FILE_ENDINGS)


def annotator_columns(names: list[str], wanted: str | None, location: str) -> list[str]:
    """Return the columns that `--annotators` names: names or globs, by comma; none without it, or where it names a file.

    Args:
        names: all columns.
        wanted: value of the option.
        location: the input, for messages.

    Raises:
        UsageError: a name matches no column, or there are fewer than two.
    """
    found: dict[str, None] = {}
    if is_answers(wanted):
        return []
    for pattern in [] if wanted is None else [part.strip() for part in wanted.split(",")]:
        matches = [name for name in names if name == pattern] or [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not matches and os.path.isfile(pattern):
            raise UsageError(f"--annotators {pattern}: a file whose format is not read here — expected CSV, TSV, JSON Lines or Parquet, by its ending")
        if not matches:
            raise UsageError(
                f"{location}: --annotators {pattern} matches no column — columns: {listed(names)}{did_you_mean(pattern, names, '--annotators {}')}"
            )
        found |= dict.fromkeys(matches)
    if wanted is not None and len(found) < 2:
        raise UsageError(f"{location}: --annotators {wanted} is one column — expected two or more, by comma or as a glob such as 'annotator_*'")
    return list(found)


def read_annotations(table: pa.Table, columns: list[str], location: str) -> Annotations | None:
    """Read the annotators' labels; None without columns.

    Args:
        table: (N) the input.
        columns: A of it.
        location: the input, for messages.

    Raises:
        InputError: labels that are no single values, or none at all.
    """
    if not columns:
        return None
    texts = [label_texts(table.column(name), name, location) for name in columns]
    values = pc.unique(pa.chunked_array([chunk for text in texts for chunk in (text.chunks if isinstance(text, pa.ChunkedArray) else [text])], pa.string()))
    values = values.drop_null().sort()
    if len(values) < 2:
        raise InputError(f"{location}: --annotators: {len(values)} different labels in {listed(columns, 4)} — expected two or more")
    codes = [np.asarray(pc.fill_null(pc.index_in(text, value_set=values), -1).to_numpy(zero_copy_only=False), np.int32) for text in texts]
    return Annotations(tuple(columns), tuple(values.to_pylist()), np.stack(codes, 1))


def label_texts(column: pa.ChunkedArray, name: str, location: str) -> pa.Array:
    """Return the labels of one annotator as text: blanks around them removed, whole numbers without `.0`, empty cells null."""
    values = decode_column(column)
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_nested(values.type):
        raise InputError(f"{location}: --annotators {name} is of type {str(values.type)[:60]} — expected single labels such as text or numbers")
    if pa.types.is_floating(values.type):
        numbers = values.to_numpy(zero_copy_only=False)
        known = np.isfinite(numbers)
        if (numbers[known] == np.round(numbers[known])).all():
            values = pa.array(np.where(known, numbers, 0).astype(np.int64), mask=~known)
    text = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def merged_spellings(annotations: Annotations) -> Annotations:
    """Take labels that differ in case, blanks or 1/1.0 for one, in the most frequent spelling.

    Args:
        annotations: as they are written.
    """
    from zcurate.data.labels import spelling_variants

    code = annotations.code
    counts = dict(zip(annotations.names, np.bincount(code[code >= 0], minlength=len(annotations.names)).tolist(), strict=True))
    variants = spelling_variants(counts)
    if not variants:
        return annotations
    names = tuple(name for name in annotations.names if name not in variants)
    position = np.array([names.index(variants.get(name, name)) for name in annotations.names] + [-1], np.int32)
    return Annotations(annotations.annotators, names, position[code])


def unknown_labels(annotations: Annotations, votes: np.ndarray) -> dict[str, int]:
    """Count the annotators' labels that are no class of the data.

    Args:
        annotations: as they are written.
        votes: (N, A) as classes, -1 for none.
    """
    lost = annotations.code[(votes < 0) & (annotations.code >= 0)]
    count = np.bincount(lost, minlength=len(annotations.names))
    return {annotations.names[at]: int(count[at]) for at in np.flatnonzero(count)}


def consensus_of(annotations: Annotations) -> pa.Array:
    """Agree on a label for each row by the annotators alone; among equals the label that is more frequent wins.

    Returns:
        (N,) string, null where nobody gave a label.
    """
    code = annotations.code
    given = code >= 0
    frequency = np.bincount(code[given], minlength=len(annotations.names)) / given.sum()
    found = fit_votes(np.broadcast_to(np.log(frequency), (len(code), len(frequency))), code)
    best = np.where(given.any(1), found.posterior.argmax(1), -1)
    return pa.array([None if at < 0 else annotations.names[at] for at in best.tolist()], pa.string())
