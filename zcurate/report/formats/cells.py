"""Format values as plain text, the same in every format: floats in the fewest digits that read back the same, lists joined by spaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CHUNK = 10_000
"""Rows that are formatted at once."""


def cell_text(value: Any, kind: pa.DataType) -> str:
    """Format one cell; empty for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if pa.types.is_float32(kind):
        return str(np.float32(value))
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return " ".join("null" if item is None else cell_text(item, getattr(kind, "value_type", pa.string())) for item in value)
    return str(value)


def column_texts(column: pa.ChunkedArray) -> list[str]:
    """Format every value of a column like `cell_text`, at once for floats, integers, strings and lists of strings."""
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if pa.types.is_float32(kind):
        missing = array.is_null().to_numpy(zero_copy_only=False)
        texts = array.fill_null(0).to_numpy(zero_copy_only=False).astype(str)
        return list(np.where(missing, "", texts).tolist())
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type) and not array.flatten().null_count:
        array, kind = pc.binary_join(array, " "), pa.string()
    if pa.types.is_integer(kind):
        array, kind = array.cast(pa.string()), pa.string()
    if pa.types.is_string(kind):
        return list(array.fill_null("").to_pylist())
    return [cell_text(value, kind) for value in array.to_pylist()]


def rows_of(table: pa.Table) -> Iterator[list[str]]:
    """Format a table as rows of text cells, `CHUNK` rows at a time."""
    for start in range(0, table.num_rows, CHUNK):
        chunk = table.slice(start, CHUNK)
        yield from (list(row) for row in zip(*map(column_texts, chunk.columns), strict=True))
