"""Make the table that `zcurate report` prints: selected rows and columns, joined to the input's own columns with `--with-data`. No torch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import pyarrow as pa

from zcurate.config.array_source import IN_MEMORY, column_named
from zcurate.config.options import ScanOptions
from zcurate.config.report_options import ReportOptions
from zcurate.data import discovery, readers
from zcurate.data.dataset import Dataset
from zcurate.data.earlier import EarlierColumns, ReadLikeEarlier
from zcurate.data.file_names import existing
from zcurate.data.source import Source
from zcurate.errors import InputError, ReportError, UsageError, did_you_mean, listed
from zcurate.report import locations
from zcurate.report.recut import NEEDED, cut_of, with_cut
from zcurate.report.report import Report
from zcurate.report.schema import COLUMN_DOCS, CURVE_COLUMNS, SCAN_PREFIX
from zcurate.report.select import SELECTED_BY, select

READ_WITH = ("label", "id", "group", "image", "root", "input_format", "task", "exclude", "kind", "missing", "keep_spelling", "encoding")
"""Options of the scan that decide how the input is read."""


def column_filter(options: ReportOptions, ids: bool) -> Callable[[str], bool]:
    """Make a predicate of the report's columns that `list_rows` needs.

    Args:
        options: of `zcurate report`.
        ids: only ids are printed.
    """
    needed = (*SELECTED_BY, *NEEDED) if cut_of(options).is_set else SELECTED_BY
    if options.columns is None:
        return (lambda name: name in (*needed, "id", "path")) if ids else is_shown
    wanted = {name.strip() for name in options.columns.split(",")}
    # The error message for an unknown column lists all columns, so all are read.
    return (lambda name: name in wanted or name in needed) if wanted <= COLUMN_DOCS.keys() and not options.with_data else (lambda name: True)


def is_shown(name: str) -> bool:
    """Return whether a column of the report is listed without `--columns`: neither one for `explain` alone nor the scan's judgement before an update."""
    return name not in CURVE_COLUMNS and not name.startswith(SCAN_PREFIX)


def list_rows(report: Report, options: ReportOptions, ids: bool) -> pa.Table:
    """Select the rows and columns to print, sorted by rank; the columns for `explain` only if `--columns` names them.

    Args:
        report: a scan's result.
        options: of `zcurate report`.
        ids: make picture paths relative to the current folder.

    Raises:
        UsageError: `--columns` names a column that is not there.
        ReportError: `--with-data`, and the data are missing or have changed.
    """
    table = select(with_cut(report, cut_of(options)), options)
    if options.columns is None:
        table = table.select([name for name in table.column_names if is_shown(name)])
    if ids and "path" in table.column_names:
        table = table.set_column(table.column_names.index("path"), "path", pa.array(relative_paths(report, table), pa.binary()))
    if options.with_data:
        data = reread_input(report, "--with-data", options.data, verbatim=True)
        table = join_data(table, data.table, data.roles.label)
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


def relative_paths(report: Report, table: pa.Table) -> list[bytes]:
    """Make picture paths relative to the current folder; unchanged where they are not files, the row number where there is none.

    As bytes, since the name of a file may be no text.
    """
    root = locations.root_of(report.card)
    found = []
    for row, path in zip(table.column("row").to_pylist(), table.column("path").to_pylist(), strict=True):
        found.append(os.fsencode(str(row) if path is None else path if root is None else os.path.relpath(existing(path, root))))
    return found


def reread_input(report: Report, location: str, data: str | None = None, verbatim: bool = False) -> Dataset:
    """Read the input again as the scan read it, once its hash is known to be that of the scan; arguments and errors as for `read_again`."""
    return read_again(report, location, data, verbatim)[0]


def read_again(
    report: Report, location: str, data: str | None = None, verbatim: bool = False, same: bool = True, advice: str = "scan it again"
) -> tuple[Dataset, Source]:
    """Read the input again as the scan read it.

    Args:
        report: whose run card names the input, its digest and the options it was read with.
        location: what error messages begin with.
        data: `--data`: where the input lies; None for where the run card says, if that may be opened (see `locations.may_open`).
        verbatim: keep the values of delimited text as written.
        same: refuse an input whose hash is not that of the scan; of a table in memory there is none.
        advice: what to do where it has changed.

    Returns:
        The input and its files.

    Raises:
        ReportError: the input may not be opened unasked, is missing, or has changed since the scan.
    """
    card = report.card
    path = locations.input_of(report, data, location)
    options = {name: value for name, value in card["options"].items() if name in READ_WITH}
    options |= {name: tuple(options.get(name) or ()) for name in ("exclude", "kind")}
    # Columns that held features or probabilities are none of the input's; files that a report names are not opened.
    options |= {name: column_named(card["options"].get(name)) or default for name, default in (("features", "auto"), ("probabilities", IN_MEMORY))}
    options["keep_spelling"] = bool(options.get("keep_spelling"))
    options["root"] = root_for(report, data)
    try:
        # Neither the model of an earlier scan nor the annotators' labels are needed again.
        is_known = card.get("drift") or card.get("annotators")
        read_with = ReadLikeEarlier(**options, columns=EarlierColumns.of_card(card)) if is_known else ScanOptions(**options)
        read_with.check()
        source = dataclasses.replace(discovery.source_of(path, read_with), verbatim=verbatim)
        digest = source.origin().digest
    except (InputError, UsageError, OSError) as error:
        raise ReportError(f"{location}: {path} cannot be read again — {error}") from error
    if same and card["input"]["path"] != "memory" and digest != card["input"]["digest"]:
        raise ReportError(f"{location}: {path} has changed since the scan, or is another file — expected the same bytes — {advice}")
    dataset = readers.read(source, read_with)
    if same and dataset.n_rows != card["input"]["rows"]:
        raise ReportError(f"{location}: {path} has {dataset.n_rows} rows — expected the report's {card['input']['rows']} — scan it again")
    return dataset, source


def root_for(report: Report, data: str | None) -> str | None:
    """Return the folder that the input's paths of pictures are relative to, if the run card names one that may be opened; None for the usual ones.

    Args:
        report: a scan's result.
        data: `--data`; the folder of what it names may be opened too.
    """
    root = locations.root_of(report.card)
    if root is None or locations.may_open(root, report):
        return root
    named = None if data is None else os.path.abspath(data if os.path.isdir(data) else os.path.dirname(data) or ".")
    return root if named is not None and locations.is_below(root, named) else None


def join_data(table: pa.Table, data: pa.Table, label: str) -> pa.Table:
    """Append the input's columns, prefixed `data_` where the report has the same name, and what is missing for a decisions file: `decision` and `label`.

    Args:
        table: selected rows of a report.
        data: the input's rows.
        label: name of its column of labels; where that is `label`, it may be edited for a relabel.
    """
    selected = data.take(table.column("row"))
    for name, column in zip(selected.column_names, selected.columns, strict=True):
        unique = name
        while unique in table.column_names or unique == "decision" or (unique == "label" and label != "label"):
            unique = f"data_{unique}"
        table = table.append_column(unique, column)
    for name in ("decision", "label"):
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table
