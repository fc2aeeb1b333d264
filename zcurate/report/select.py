"""The rows that `zcurate report` lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.options import ReportOptions
from zcurate.errors import ReportError, did_you_mean, listed
from zcurate.report.report import Report


def select(report: Report, options: ReportOptions) -> pa.Table:
    """The rows that `zcurate report` lists, sorted by rank.

    Args:
        report: a scan's result.
        options: selections; see `ReportOptions`.

    Raises:
        ReportError: a class that the report does not hold.
    """
    table = report.table
    keep = np.ones(table.num_rows, bool)
    words = options.verdicts()
    if words is not None:
        keep &= is_among(table.column("verdict"), words)
    for name, flag, value in (("given", "--class", options.class_), ("given", "--given", options.given), ("suggested", "--suggested", options.suggested)):
        if value is not None:
            keep &= pc.fill_null(pc.equal(table.column(name), parse_label(report, table.column(name), value, flag)), False).to_numpy()
    if options.min_p is not None:
        with np.errstate(invalid="ignore"):
            keep &= floats(table.column("p_incorrect")) >= options.min_p
    rank = np.nan_to_num(floats(table.column("rank")), nan=np.inf)
    if options.top is not None and words is None:
        keep &= np.isfinite(rank)
    chosen = np.flatnonzero(keep)
    order = chosen[np.argsort(rank[chosen], kind="stable")][: options.top]
    return table.take(pa.Array.from_buffers(pa.int64(), len(order), [None, pa.py_buffer(order)]))


SELECTED_BY = ("verdict", "given", "suggested", "p_incorrect", "rank", "row")
"""Columns that `select` looks at, and the one that rows are joined by."""


# `pa.array`, `pa.scalar` and `to_numpy` import pandas, a third of the time that `zcurate report` takes: the functions here read the buffers.


def is_among(column: pa.ChunkedArray, words: tuple[str, ...]) -> np.ndarray:
    """(N,) bool: the value is one of the words.

    Args:
        column: (N) dictionary<string> without nulls.
        words: those wanted.
    """
    parts = [np.zeros(0, bool)]
    for chunk in column.chunks:
        wanted = np.array([word in words for word in chunk.dictionary.to_pylist()], bool)
        parts.append(wanted[buffered(chunk.indices, np.int32)])
    return np.concatenate(parts)


def floats(column: pa.ChunkedArray) -> np.ndarray:
    """(N,) float64, null as NaN."""
    parts = [np.zeros(0)]
    for chunk in column.cast(pa.float64()).chunks:
        there = buffered(chunk.is_valid().cast(pa.uint8()), np.uint8).astype(bool)
        parts.append(np.where(there, buffered(chunk, np.float64), np.nan))
    return np.concatenate(parts)


def buffered(array: pa.Array, kind: Any) -> np.ndarray:
    """(N,) values as they lie in memory; anything where null.

    Args:
        array: (N) of a fixed width.
        kind: its numpy type.
    """
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)] if len(array) else np.zeros(0, kind)


def parse_label(report: Report, column: pa.ChunkedArray, value: str, flag: str) -> str | float:
    """A label typed on the command line, in the column's type.

    Raises:
        ReportError: no such class; names the nearest.
    """
    if pa.types.is_floating(column.type):
        try:
            return float(value)
        except ValueError:
            raise ReportError(f"{flag} {value}: the report is of a regression — expected a number") from None
    classes = [entry["name"] for entry in report.card.get("classes", [])]
    if value not in classes:
        raise ReportError(f"{flag} {value}: no such class — classes: {listed(classes)}{did_you_mean(value, classes, flag + ' {}')}")
    return value
