"""JSON Lines, and one JSON array. Sample: `{"row": 17, "given": "cat", "p_incorrect": 0.98, ...}`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from zcurate.config.report_options import ReportOptions
from zcurate.report.formats.cells import CHUNK
from zcurate.runtime.safe_text import OBEYED


def json_value(value: Any, kind: pa.DataType) -> Any:
    """Convert a value to plain JSON: float32 in the digits that identify it, NaN and infinities as null, dates as text, bytes as hexadecimal."""
    if isinstance(value, float):
        value = float(str(np.float32(value))) if pa.types.is_float32(kind) else value
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, (int, str, bool)):
        return value
    if isinstance(value, list):
        return [json_value(item, getattr(kind, "value_type", pa.float64())) for item in value]
    return value.hex() if isinstance(value, bytes) else str(value)


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """Write one object per line."""
    for line in lines(table):
        stream.write(line + b"\n")
    stream.flush()


def write_array(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """Write one array, with an object per line."""
    stream.write(b"[")
    for at, line in enumerate(lines(table)):
        stream.write((b",\n" if at else b"\n") + line)
    stream.write(b"\n]\n")
    stream.flush()


def lines(table: pa.Table) -> Iterator[bytes]:
    """Yield each row as an encoded object."""
    kinds = {field.name: field.type for field in table.schema}
    for start in range(0, table.num_rows, CHUNK):
        for row in table.slice(start, CHUNK).to_pylist():
            yield json_text({name: json_value(value, kinds[name]) for name, value in row.items()}).encode()


def json_text(value: Any) -> str:
    """Encode as JSON on one line, with the characters that a terminal would obey as `\\u009b`, which means the same.

    Raises:
        ValueError: NaN or infinity.
    """
    return OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, allow_nan=False, ensure_ascii=False))
