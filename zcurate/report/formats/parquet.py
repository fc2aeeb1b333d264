"""The selected rows as Parquet, without the run card: a selection is not a report."""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.config.report_options import ReportOptions


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """Write one file, built in memory first because a pipe cannot seek."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    stream.write(buffer.getvalue().to_pybytes())
    stream.flush()
