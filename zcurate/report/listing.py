"""What `zcurate report` lists: the selection with the columns asked for, joined to the data where that is asked for.

Leaves: an Arrow table for a sink. Enters: a `Report` and its options. No torch.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import pyarrow as pa

from zcurate.config.options import ReportOptions, ScanOptions
from zcurate.data import discovery, readers
from zcurate.data.dataset import Dataset
from zcurate.errors import InputError, ReportError, UsageError, did_you_mean, listed
from zcurate.report.report import Report
from zcurate.report.schema import COLUMN_DOCS, CURVE_COLUMNS
from zcurate.report.select import SELECTED_BY, select

READ_WITH = ("label", "id", "group", "image", "root", "input_format", "task", "exclude")
"""Settings of the scan that say how the input is read."""


def needed(options: ReportOptions, ids: bool) -> Callable[[str], bool]:
    """Says of each of a report's columns whether `rows` needs it.

    Args:
        options: of `zcurate report`.
        ids: only ids are wanted.
    """
    if options.columns is None:
        return (lambda name: name in (*SELECTED_BY, "id", "path")) if ids else (lambda name: name not in CURVE_COLUMNS)
    wanted = {name.strip() for name in options.columns.split(",")}
    # A name that is no column is answered with all that there are.
    return (lambda name: name in wanted or name in SELECTED_BY) if wanted <= COLUMN_DOCS.keys() and not options.with_data else (lambda name: True)


def rows(report: Report, options: ReportOptions, ids: bool) -> pa.Table:
    """The rows and columns to print, sorted by rank; lists that only `explain` reads are left out unless asked for.

    Args:
        report: a scan's result.
        options: of `zcurate report`.
        ids: paths are wanted as they open from the current folder.

    Raises:
        UsageError: `--columns` names a column that is not there.
        ReportError: `--with-data` and the data are gone or have changed.
    """
    table = select(report, options)
    if options.columns is None:
        table = table.drop_columns([name for name in CURVE_COLUMNS if name in table.column_names])
    if ids and "path" in table.column_names:
        table = table.set_column(table.column_names.index("path"), "path", pa.array(openable(report, table), pa.string()))
    if options.with_data:
        table = join_data(table, data_of(report))
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
    """The input's own columns as written, read again.

    Raises:
        ReportError: as for `reread`.
    """
    return reread_input(report, "--with-data", verbatim=True).table


def reread_input(report: Report, place: str, verbatim: bool = False) -> Dataset:
    """The input, read again as the scan read it.

    Args:
        report: says where it is and what it was.
        place: what the messages begin with.
        verbatim: delimited text is wanted as written.

    Raises:
        ReportError: it came from standard input or memory, is gone, or has changed since the scan.
    """
    card = report.card
    path = card["input"]["path"]
    if path in ("-", "memory"):
        what = "standard input" if path == "-" else "a table in memory"
        raise ReportError(f"{place}: the scan read {what} — expected a file, which can be read again — scan a file")
    known = {name: value for name, value in card["options"].items() if name in READ_WITH}
    known["exclude"] = tuple(known.get("exclude") or ())
    try:
        where = dataclasses.replace(discovery.locate(path, card["options"]["input_format"]), verbatim=verbatim)
        known["root"] = card["input"].get("root") or known.get("root")
        digest = where.origin().digest
    except (InputError, OSError) as error:
        raise ReportError(f"{place}: {path} cannot be read again — {error}") from error
    if digest != card["input"]["digest"]:
        raise ReportError(f"{place}: {path} has changed since the scan — expected the same bytes — scan it again")
    return readers.read(where, ScanOptions(**known))


def join_data(table: pa.Table, data: pa.Table) -> pa.Table:
    """The input's columns beside the report's, `data_` before a name that both have, and an empty `decision` column."""
    chosen = data.take(table.column("row"))
    for name, column in zip(chosen.column_names, chosen.columns, strict=True):
        fresh = name
        while fresh in table.column_names or fresh == "decision":
            fresh = f"data_{fresh}"
        table = table.append_column(fresh, column)
    return table.append_column("decision", pa.nulls(table.num_rows, pa.string()))
