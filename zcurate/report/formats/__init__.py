"""Output formats of `zcurate report`; `zcurate.plugins.FORMATS` lists them. Machine formats never pass through a renderer that wraps lines."""

from __future__ import annotations

from typing import BinaryIO, Protocol

import pyarrow as pa

from zcurate.config.report_options import ReportOptions


class WriteFunction(Protocol):
    """Contract of an output format."""

    def __call__(self, table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
        """Write rows of a report.

        Args:
            table: rows and columns to write.
            stream: opened for writing; stays open.
            options: as given on the command line.
        """
