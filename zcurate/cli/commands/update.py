"""`zcurate update [REPORT]`: recompute the judgement from people's answers."""

from __future__ import annotations

import sys

from zcurate.cli.completion import complete_report
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import UpdateOptions


@with_options(UpdateOptions, argument("report", "Report to update [default: the newest here].", "REPORT", complete_report))
def update(report: str | None, options: UpdateOptions) -> None:
    """Recompute the probabilities and verdicts of a report from the answers of a person.

    Examples: zcurate update train.zcurate.parquet --decisions train.decisions.csv · zcurate update --undo
    """
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.report.decision_files import read_decisions
    from zcurate.report.storage import load_named, save_changed
    from zcurate.report.update import Updated, describe_update, undo
    from zcurate.report.update import update as recompute

    loaded = load_named(report)
    if options.decisions is None:
        changed, lines = undo(loaded), ["the scan's own judgement is restored"]
        warnings: tuple[str, ...] = ()
    else:
        updated: Updated = recompute(loaded, read_decisions(options.decisions), options.decisions)
        changed, warnings, lines = updated.report, updated.warnings, describe_update(updated)
    path = save_changed(changed, loaded, options.output, [options.decisions] if options.decisions else [])
    for text in warnings:
        sys.stderr.write(f"warning: {text}\n")
    sys.stderr.write("".join(f"{line}\n" for line in [*lines, f"report  {path}"]))
