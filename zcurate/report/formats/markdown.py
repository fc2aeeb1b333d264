"""A Markdown table, for an issue or a wiki page. Sample: `| row | given | suggested |`."""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa

from zcurate.config.options import ReportOptions
from zcurate.report.formats.cells import rows_of


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """Write a Markdown table, with pipes escaped and newlines replaced by spaces."""

    def line(cells: list[str]) -> bytes:
        escaped = (" ".join(cell.replace("\\", "\\\\").replace("|", "\\|").split()) for cell in cells)
        return ("| " + " | ".join(escaped) + " |\n").encode()

    stream.write(line(table.column_names))
    stream.write(("|" + " --- |" * table.num_columns + "\n").encode())
    for row in rows_of(table):
        stream.write(line(row))
    stream.flush()
