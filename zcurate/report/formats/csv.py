"""CSV (RFC 4180 quoting, newline endings) and TSV. Sample: `row,given,suggested` then `17,cat,dog`."""

from __future__ import annotations

import csv
import io
from typing import BinaryIO

import pyarrow as pa

from zcurate.config.report_options import ReportOptions
from zcurate.report.formats.cells import rows_of


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions, delimiter: str = ",") -> None:
    """Write one header line and one line per row.

    Args:
        table: rows to write.
        stream: to write to.
        options: not used; all formats have the same signature.
        delimiter: between the fields.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(rows_of(table))
    text.flush()
    text.detach()


def write_tsv(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """Write the same with tabs."""
    write(table, stream, options, "\t")
