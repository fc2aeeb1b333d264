"""The selected rows as Parquet, without the run card: a selection is no report."""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.config.options import ReportOptions


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """One file; built in memory first, as a pipe cannot be sought."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    stream.write(buffer.getvalue().to_pybytes())
    stream.flush()
