"""Writes a whole report in parts, for tests that read one."""

from __future__ import annotations

import os

from zcurate.config.options import ScanOptions
from zcurate.data.partitions import part_name
from zcurate.report.parts import check_folder, written_by_all
from zcurate.report.report import Report
from zcurate.runtime.process_group import SingleProcess


def save_parts(report: Report, folder: str, n_parts: int, force: bool = False) -> None:
    """Write a report in parts of nearly equal size, in the input's order.

    Args:
        report: N rows.
        folder: to write, and to replace if it holds a report of the same input.
        n_parts: 1 or more.
        force: replace the report of another input, or other Parquet files, too.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
    """
    folder = folder.rstrip("/")
    check_folder(folder, report.card["input"]["path"], ScanOptions(force=force), None)
    with written_by_all(folder, SingleProcess()) as temporary:
        for k in range(n_parts):
            begin, end = (len(report) * at // n_parts for at in (k, k + 1))
            write_part(Report(report.table.slice(begin, end - begin), report.card), temporary, k, n_parts)


def write_part(rows: Report, folder: str, k: int, n: int) -> None:
    """Write one part of a report.

    Args:
        rows: of the part, with the run card of the whole report.
        folder: that exists.
        k: 0 to n - 1; parts are in the input's order.
        n: number of parts.
    """
    rows.save(os.path.join(folder, part_name(k, n)))
