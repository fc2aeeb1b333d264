"""What `zcurate report` lists: the selection with the columns asked for, joined to the data where that is asked for.

Leaves: an Arrow table for a sink. Enters: a `Report` and its options. No torch.
"""

from __future__ import annotations

import dataclasses
import os

import pyarrow as pa

from zcurate import readers, source
from zcurate.errors import InputError, ReportError, UsageError, did_you_mean, listed
from zcurate.options import ReportOptions, ScanOptions
from zcurate.report import Report, select


def rows(report: Report, options: ReportOptions, ids: bool) -> pa.Table:
    """The rows and columns to print, sorted by rank.

    Args:
        report: a scan's result.
        options: of `zcurate report`.
        ids: paths are wanted as they open from the current folder.

    Raises:
        UsageError: `--columns` names a column that is not there.
        ReportError: `--with-data` and the data are gone or have changed.
    """
    table = select(report, options)
    if ids and "path" in table.column_names:
        table = table.set_column(table.column_names.index("path"), "path", pa.array(openable(report, table), pa.string()))
    if options.with_data:
        table = joined(table, data_of(report))
    if options.columns is None:
        return table
    wanted = [name.strip() for name in options.columns.split(",") if name.strip()]
    if not wanted:
        raise UsageError(f"--columns: no name given — columns: {listed(table.column_names, 40)}")
    for name in wanted:
        if name not in table.column_names:
            hint = did_you_mean(name, table.column_names)
            raise UsageError(f"--columns: no column '{name}' — columns: {listed(table.column_names, 40)}{hint}")
    return table.select(wanted)


def openable(report: Report, table: pa.Table) -> list[str]:
    """Picture paths as they open from the current folder; as they stand where they are no files, the row where there is none."""
    root = report.card["input"].get("root")
    found = []
    for row, path in zip(table.column("row").to_pylist(), table.column("path").to_pylist(), strict=True):
        found.append(str(row) if path is None else path if root is None else os.path.relpath(os.path.join(root, path.strip())))
    return found


def data_of(report: Report) -> pa.Table:
    """The input's own columns, read again.

    Raises:
        ReportError: it came from standard input or memory, is gone, or has changed since the scan.
    """
    card = report.card
    path = card["input"]["path"]
    if path in ("-", "memory"):
        what = "standard input" if path == "-" else "a table in memory"
        raise ReportError(f"--with-data: the scan read {what} — expected a file — scan a file, or join on `row` yourself")
    known = {name: value for name, value in card["options"].items() if name in ("label", "id", "group", "image", "root", "input_format", "task")}
    try:
        where = dataclasses.replace(source.locate(path, card["options"]["input_format"]), verbatim=True)
        known["root"] = card["input"].get("root") or known.get("root")
        digest = where.origin().digest
    except (InputError, OSError) as error:
        raise ReportError(f"--with-data: {path} cannot be read again — {error}") from error
    if digest != card["input"]["digest"]:
        raise ReportError(f"--with-data: {path} has changed since the scan — expected the same bytes — scan it again")
    return readers.read(where, ScanOptions(**known)).table


def joined(table: pa.Table, data: pa.Table) -> pa.Table:
    """The input's columns beside the report's, `data_` before a name that both have, and an empty `decision` column."""
    chosen = data.take(table.column("row"))
    for name, column in zip(chosen.column_names, chosen.columns, strict=True):
        fresh = name
        while fresh in table.column_names or fresh == "decision":
            fresh = f"data_{fresh}"
        table = table.append_column(fresh, column)
    return table.append_column("decision", pa.nulls(table.num_rows, pa.string()))
