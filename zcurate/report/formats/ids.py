"""One id per line: `id`, else `path` relative to the current folder, else `row`; NUL instead of newline for `xargs -0`."""

from __future__ import annotations

import os
from typing import BinaryIO

import pyarrow as pa

from zcurate.config.report_options import ReportOptions
from zcurate.report.formats.cells import cell_text
from zcurate.runtime.safe_text import visible


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """Write the first column of `id`, `path`, `row` that the table has; on a terminal without the characters that it would obey."""
    name = next(name for name in ("id", "path", "row") if name in table.column_names)
    kind = table.schema.field(name).type
    terminator = b"\0" if options.null else b"\n"
    for value in table.column(name).to_pylist():
        # Paths are bytes already.
        key = value if isinstance(value, bytes) and name == "path" else cell_text(value, kind).encode()
        stream.write((visible(os.fsdecode(key)).encode() if options.safe_cells and not options.null else key) + terminator)
    stream.flush()
