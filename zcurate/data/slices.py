"""The slices of `--slices`: rows with one value of a column, such as a labeller, a site or a month."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.values import decode_column
from zcurate.errors import InputError

MAX_SLICES = 1000
MISSING = "(missing)"
"""Name of the slice of rows without a value."""


@dataclass(frozen=True)
class Slices:
    """Which slice each row is in."""

    column: str
    names: tuple[str, ...]
    """G values, most frequent first."""
    code: np.ndarray
    """(N,) int64, position in `names`."""


def read_slices(table: pa.Table, column: str | None, location: str) -> Slices | None:
    """Read the slices of a table; None without a column.

    Args:
        table: (N) the input, with the column.
        column: value of `--slices`.
        location: the input, for messages.

    Raises:
        InputError: the column holds no single values, one value only, or too many.
    """
    if column is None:
        return None
    values = decode_column(table.column(column))
    if pa.types.is_nested(values.type):
        raise InputError(f"{location}: --slices {column} is of type {str(values.type)[:60]} — expected single values such as text or numbers")
    counts = pc.value_counts(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
    if not 2 <= len(counts) <= MAX_SLICES:
        advice = "name a column with a value for each group of rows" if len(counts) > 1 else "leave it out"
        raise InputError(f"{location}: --slices {column} has {len(counts)} different values — expected 2 to {MAX_SLICES} — {advice}")
    found = counts.field("values").take(pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")]))
    code = pc.index_in(values, value_set=found)
    code = code.combine_chunks() if isinstance(code, pa.ChunkedArray) else code
    names = tuple(MISSING if value is None else str(value) for value in found.to_pylist())
    return Slices(column, names, np.asarray(code.to_numpy(zero_copy_only=False), np.int64))
