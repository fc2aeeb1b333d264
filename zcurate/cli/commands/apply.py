"""`zcurate apply [REPORT] -o OUT`: write a cleaned copy of the input, never the input itself."""

from __future__ import annotations

import sys

from zcurate.cli.completion import complete_report
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import ApplyOptions
from zcurate.runtime.safe_text import visible


@with_options(ApplyOptions, argument("report", "Report to apply [default: the newest here].", "REPORT", complete_report))
def apply(report: str | None, options: ApplyOptions) -> None:
    """Write a copy of the scanned data in which wrong labels are replaced, or their rows dropped, flagged or weighed.

    Decisions come first: decided rows become what was decided, the others what --action says of their verdict.

    Examples: zcurate apply --action drop -o clean.csv · zcurate apply --decisions d.csv -o clean.csv · zcurate apply --undo clean.csv.changes.jsonl
    """
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.report.apply import apply as applying
    from zcurate.report.apply.change_log import undo
    from zcurate.report.decision_files import read_decisions
    from zcurate.report.storage import load_named

    if options.undo is not None:
        sys.stderr.write(f"restored  {visible(undo(options.undo, options.output))}\n")
        return
    loaded = load_named(report)
    applied = applying.apply(loaded, options, None if options.decisions is None else read_decisions(options.decisions))
    for text in applied.warnings:
        sys.stderr.write(f"warning: {visible(text)}\n")
    stream = sys.stdout if options.dry_run else sys.stderr
    stream.write("".join(f"{visible(line)}\n" for line in applying.describe(applied)))
    if applied.output is not None:
        sys.stderr.write(f"written   {visible(applied.output)}\nlog       {visible(str(applied.log))}\n")
