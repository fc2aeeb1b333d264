"""`zcurate report [REPORT]`: list rows; data on stdout, messages on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import BinaryIO

from zcurate.cli.completion import complete_report
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.options import ReportOptions
from zcurate.plugins import FORMATS


@with_options(ReportOptions, argument("report", "Report to list: a file, or a folder of its parts [default: the newest here].", "REPORT", complete_report))
def report(report: str | None, options: ReportOptions) -> None:
    """List the rows of a report, most suspicious first.

    Examples: zcurate report --top 100 · zcurate report --verdict incorrect --format ids | xargs ...
    """
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.errors import UsageError
    from zcurate.report import listing
    from zcurate.report.atomic import guard
    from zcurate.report.storage import load, newest

    path = report if report is not None else newest()
    if report is None:
        sys.stderr.write(f"{path}\n")
    form = format_of(options)
    loaded = load(path, listing.column_filter(options, ids=form == "ids"))
    write = FORMATS.load(form)
    if form == "ids" and options.columns is not None:
        raise UsageError("--columns with --format ids — ids are the column `id`, `path` or `row` — leave one out")
    if options.output not in (None, "-"):
        guard(str(options.output), [path, loaded.card["input"]["path"]])
    if options.output is None or options.output == "-":
        write(listing.list_rows(loaded, options, ids=form == "ids"), sys.stdout.buffer, options)
        sys.stdout.flush()
        return
    table = listing.list_rows(loaded, options, ids=form == "ids")
    write_file(options.output, lambda stream: write(table, stream, options))


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
