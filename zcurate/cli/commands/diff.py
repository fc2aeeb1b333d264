"""`zcurate diff OLD NEW`: what changed between two reports; rows on stdout, the counts on stderr."""

from __future__ import annotations

import sys
from typing import BinaryIO, cast

from zcurate.cli.completion import complete_report
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import DiffOptions
from zcurate.runtime.safe_text import visible

COLUMNS = ("row", "given", "verdict", "p_incorrect", "fingerprint", "id", "path", "rank")
"""Columns that a comparison needs."""


@with_options(DiffOptions, argument("old", "The earlier report.", "OLD", complete_report), argument("new", "The later report.", "NEW", complete_report))
def diff(old: str | None, new: str | None, options: DiffOptions) -> None:
    """Compare two reports row by row: newly flagged, no longer flagged, label changed, rows come and gone.

    Rows are the same where their features are, wherever they stand in the file.

    Example: zcurate diff before.zcurate.parquet after.zcurate.parquet
    """
    from zcurate.errors import UsageError

    if old is None or new is None:
        raise UsageError("diff: two reports are compared — expected zcurate diff OLD NEW")
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.config.report_options import ReportOptions
    from zcurate.plugins import FORMATS
    from zcurate.report import diff as comparing
    from zcurate.report.atomic import guard, whole_file
    from zcurate.report.locations import known_inputs
    from zcurate.report.storage import load

    loaded = [load(path, COLUMNS.__contains__) for path in (old, new)]
    found = comparing.diff(*loaded)
    form = options.format
    if form == "auto":
        form = "table" if options.output is None and sys.stdout.isatty() else "jsonl" if str(options.output).endswith(".jsonl") else "csv"
    if form == "table":
        from rich.console import Console

        from zcurate.report.formats.table import render_table

        Console(highlight=False, emoji=False).print(render_table(comparing.short_table(found.table)))
    elif options.output is not None:
        guard(options.output, [old, new, *(path for one in loaded for path in known_inputs(one, None))])
        with whole_file(options.output) as temporary, open(temporary, "wb") as stream:
            FORMATS.load(form)(found.table, stream, ReportOptions())
    else:
        from zcurate.cli.streams import Stdout

        stdout = Stdout()
        FORMATS.load(form)(found.table, cast("BinaryIO", stdout), ReportOptions())
        stdout.flush()
    for line in comparing.describe(found):
        sys.stderr.write(f"{visible(line)}\n")
