"""Select and sort the rows of a report.

`pa.array`, `pa.scalar` and `to_numpy` import pandas, a third of the time of `zcurate report`: the functions here read Arrow's buffers instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.report_options import ReportOptions
from zcurate.errors import ReportError, did_you_mean, listed
from zcurate.report.report import Report

SELECTED_BY = ("verdict", "given", "suggested", "p_incorrect", "rank", "row")
"""Columns that `select` reads, and `row`, by which the data are joined."""


def select(report: Report, options: ReportOptions) -> pa.Table:
    """Select the rows that the options ask for, sorted by rank.

    Args:
        report: a scan's result.
        options: of `zcurate report`.

    Raises:
        ReportError: a class that is not in the report.
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
    selected = np.flatnonzero(keep)
    order = selected[np.argsort(rank[selected], kind="stable")][: options.top]
    return table.take(pa.Array.from_buffers(pa.int64(), len(order), [None, pa.py_buffer(order)]))


def is_among(column: pa.ChunkedArray, words: tuple[str, ...]) -> np.ndarray:
    """Mark the values that are one of the words, (N,) bool.

    Args:
        column: (N) dictionary<string> without nulls.
        words: to look for.
    """
    parts = [np.zeros(0, bool)]
    for chunk in column.chunks:
        wanted = np.array([word in words for word in chunk.dictionary.to_pylist()], bool)
        parts.append(wanted[read_buffer(chunk.indices, np.int32)])
    return np.concatenate(parts)


def floats(column: pa.ChunkedArray) -> np.ndarray:
    """Read a column as (N,) float64, null as NaN."""
    parts = [np.zeros(0)]
    for chunk in column.cast(pa.float64(), safe=False).chunks:
        valid = read_buffer(chunk.is_valid().cast(pa.uint8()), np.uint8).astype(bool)
        parts.append(np.where(valid, read_buffer(chunk, np.float64), np.nan))
    return np.concatenate(parts)


def read_buffer(array: pa.Array, dtype: Any) -> np.ndarray:
    """View an array's buffer as (N,) numpy values; undefined where null.

    Args:
        array: (N) of a fixed-width type.
        dtype: its numpy type.
    """
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)] if len(array) else np.zeros(0, dtype)


def parse_label(report: Report, column: pa.ChunkedArray, value: str, flag: str) -> str | float:
    """Convert a label typed on the command line to the column's type.

    Raises:
        ReportError: no such class; suggests the most similar name.
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
