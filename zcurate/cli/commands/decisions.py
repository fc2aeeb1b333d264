"""`zcurate decisions import FILE`: people's decisions back from an annotation tool."""

from __future__ import annotations

import csv
import os
import sys

from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import DecisionsOptions
from zcurate.runtime.safe_text import visible


@with_options(
    DecisionsOptions,
    argument("action", "import", "ACTION"),
    argument("file", "Export of Label Studio (JSON, JSON-MIN, CSV), Argilla or FiftyOne (samples.json), or a table with a column `decision`.", "FILE"),
)
def decisions(action: str | None, file: str | None, options: DecisionsOptions) -> None:
    """Turn the annotations of another tool into a decisions file, for update, apply and scan.

    Example: zcurate decisions import export.json -o decisions.csv
    """
    from zcurate.errors import UsageError

    if action != "import" or file is None:
        found = "no file" if action == "import" else repr(action or "")
        raise UsageError(f"decisions: {found} — expected zcurate decisions import FILE — exports of Label Studio, Argilla and FiftyOne are read")
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.integrations.imports import import_decisions
    from zcurate.report.atomic import guard
    from zcurate.report.decision_files import names_of, write_decisions

    decisions, warnings = import_decisions(file)
    for text in warnings:
        sys.stderr.write(f"warning: {visible(text)}\n")
    if options.output is None:
        writer = csv.DictWriter(sys.stdout, names_of(decisions), lineterminator="\n")
        writer.writeheader()
        writer.writerows(one.cells() for one in decisions)
        return
    guard(options.output, [file])
    if os.path.exists(options.output):
        raise UsageError(f"{options.output}: exists — expected a file that does not exist yet — name another with -o")
    write_decisions(decisions, options.output)
    sys.stderr.write(f"written   {visible(options.output)}  {len(decisions)} decisions\n")
