"""`zcurate report [REPORT]`: list rows; data on stdout, messages on stderr."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, cast

from zcurate.cli.completion import complete_report
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import ReportOptions
from zcurate.plugins import FORMATS
from zcurate.runtime.safe_text import visible

if TYPE_CHECKING:
    import pyarrow as pa


@with_options(ReportOptions, argument("report", "Report to list: a file, or a folder of its parts [default: the newest here].", "REPORT", complete_report))
def report(report: str | None, options: ReportOptions) -> None:
    """List the rows of a report, most suspicious first.

    Examples: zcurate report --top 100 · zcurate report --verdict incorrect --format ids | xargs ...
    """
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.errors import UsageError
    from zcurate.report import listing, locations
    from zcurate.report.atomic import guard
    from zcurate.report.storage import load, newest

    path = report if report is not None else newest()
    if report is None:
        sys.stderr.write(f"{visible(path)}\n")
    form = format_of(options)
    loaded = load(path, listing.column_filter(options, ids=form == "ids"))
    write = FORMATS.load(form)
    if form == "ids" and options.columns is not None:
        raise UsageError("--columns with --format ids — ids are the column `id`, `path` or `row` — leave one out")
    if options.output not in (None, "-"):
        guard(str(options.output), [path, *locations.known_inputs(loaded, options.data)])
    options = dataclasses.replace(options, safe_cells=wants_safe_cells(options, form))
    table = listing.list_rows(loaded, options, ids=form == "ids")
    if options.safe_cells and FORMATS[form].for_spreadsheets:
        table = with_safe_cells(table, form)
    if options.output is None or options.output == "-":
        from zcurate.cli.streams import Stdout

        stdout = Stdout()
        write(table, cast("BinaryIO", stdout), options)
        stdout.flush()
        return
    write_file(options.output, lambda stream: write(table, stream, options))


def wants_safe_cells(options: ReportOptions, form: str) -> bool:
    """Return `--safe-cells`; else whether people will see the output or open it in a spreadsheet: on a terminal, and in files for spreadsheets, not in a pipe.

    Args:
        options: as given.
        form: output format.
    """
    if options.safe_cells is not None:
        return options.safe_cells
    if options.output not in (None, "-"):
        return FORMATS[form].for_spreadsheets
    if sys.stdout.isatty() or not FORMATS[form].for_spreadsheets:
        return sys.stdout.isatty()
    # Without a file descriptor it is no file: the output is captured.
    with contextlib.suppress(OSError):
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    return False


def with_safe_cells(table: pa.Table, form: str) -> pa.Table:
    """Make the cells safe and say on stderr how many were changed; in a workbook text stays as it is, as it is marked as text."""
    from zcurate.report.safe_cells import make_safe

    safe, n = make_safe(table)
    if n:
        how = "are marked as text" if form == "xlsx" else "were changed (a ' in front, or \\x1b for a control character)"
        advice = "--no-safe-cells writes them as they are"
        sys.stderr.write(f"warning: {n} cells that a spreadsheet or a terminal might obey {how} — expected plain text — {advice}\n")
    return table if form == "xlsx" else safe


def format_of(options: ReportOptions) -> str:
    """Return `--format`; else by the ending of `--output`; else a table on a terminal and CSV in a pipe.

    Raises:
        UsageError: the ending of `--output` is that of no format, or a binary format would be written to a terminal.
    """
    from zcurate.errors import UsageError, did_you_mean, listed

    is_file = options.output not in (None, "-")
    form = "ids" if options.null else options.format
    if form == "auto" and is_file:
        ending = os.path.splitext(str(options.output))[1].lower()
        endings = {ending: name for name, one in FORMATS.items() for ending in one.endings} | {"": "csv"}
        if ending not in endings:
            known = f"expected one of {listed(sorted(endings.keys() - {''}))}"
            raise UsageError(f"{options.output}: no format has the ending {ending} — {known}, or --format F{did_you_mean(ending, endings.keys() - {''})}")
        form = endings[ending]
    if form == "auto":
        form = "table" if sys.stdout.isatty() else "csv"
    if FORMATS[form].is_binary and not is_file and sys.stdout.isatty():
        raise UsageError(f"--format {form}: is not text for a terminal — expected a file or a pipe — add -o report{FORMATS[form].endings[0]}")
    return form


def write_file(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Write a file atomically: to a temporary one, then renamed.

    Args:
        path: of the file.
        write: writes the content to a binary stream.

    Raises:
        UsageError: the folder is not writable.
    """
    from zcurate.report.atomic import whole_file

    with whole_file(path) as temporary, open(temporary, "wb") as stream:
        write(stream)
