"""`zcurate check [REPORT]`: a gate for continuous integration."""

from __future__ import annotations

import os
import sys

import typer

from zcurate.cli.completion import complete_report
from zcurate.cli.exit_codes import ExitCode
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import CheckOptions
from zcurate.runtime.safe_text import visible

COLUMNS = ("row", "given", "verdict", "p_incorrect", "p_hard", "p_outlier", "decision", "decided", "fingerprint", "id", "path", "rank")
"""Columns that rules need."""


@with_options(CheckOptions, argument("report", "Report to check [default: the newest here].", "REPORT", complete_report))
def check(report: str | None, options: CheckOptions) -> None:
    """Exit with 1 where a report breaks a rule, with one line for each broken rule.

    Examples: zcurate check --max-incorrect 2% · zcurate check new.zcurate.parquet --max-new 10 --against old.zcurate.parquet --junit out.xml
    """
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.report import check as checking
    from zcurate.report.atomic import guard, whole_file
    from zcurate.report.locations import known_inputs
    from zcurate.report.recut import cut_of, with_cut
    from zcurate.report.storage import load, load_named

    loaded = load_named(report, COLUMNS.__contains__)
    against = None if options.against is None else load(options.against, COLUMNS.__contains__)
    for one in (loaded, against):
        if one is not None and not one.card["judged"]:
            sys.stderr.write(f"{visible(str(one.path))}: no row is judged ({visible(one.card['why_unjudged'])}): no rule can be checked\n")
            raise typer.Exit(ExitCode.UNJUDGED)
    name = os.path.basename(str(loaded.path))
    cut = cut_of(options)
    rules = checking.check(with_cut(loaded, cut), options, None if against is None else with_cut(against, cut))
    if options.junit is not None:
        guard(options.junit, [str(loaded.path), *known_inputs(loaded, None), *([options.against] if options.against else [])], "--junit")
        with whole_file(options.junit) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(checking.junit(rules, name))
    if options.github:
        write_step_summary(checking.step_summary(rules, name))
    broken = [rule for rule in rules if not rule.holds]
    for rule in broken:
        sys.stdout.write(f"{visible(name)}: {visible(rule.name)}: {visible(rule.text)}\n")
    if not broken:
        sys.stderr.write(f"{visible(name)}: {len(rules)} rule{'s' if len(rules) > 1 else ''} kept\n")
        return
    raise typer.Exit(ExitCode.GATE)


def write_step_summary(text: str) -> None:
    """Append Markdown to the summary of a GitHub step, or print it where there is none."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        sys.stdout.write(text)
        return
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)
