"""Values as plain text, the same in every sink: floats in the fewest digits that read back the same, lists joined by spaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

CHUNK = 10_000


def text_of(value: Any, kind: pa.DataType) -> str:
    """One cell; empty for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if pa.types.is_float32(kind):
        return str(np.float32(value))
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return " ".join("null" if item is None else text_of(item, getattr(kind, "value_type", pa.string())) for item in value)
    return str(value)


def rows_of(table: pa.Table) -> Iterator[list[str]]:
    """Rows of text cells, a chunk of rows at a time."""
    for start in range(0, table.num_rows, CHUNK):
        part = table.slice(start, CHUNK)
        columns = [[text_of(value, field.type) for value in part.column(at).to_pylist()] for at, field in enumerate(part.schema)]
        yield from (list(row) for row in zip(*columns, strict=True))
