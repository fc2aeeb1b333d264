"""`zcurate scan DATA`: train, judge every row, write the report, print a summary."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

import typer

from zcurate.cli.completion import complete_data
from zcurate.cli.exit_codes import ExitCode
from zcurate.cli.positional import need_data
from zcurate.cli.streams import reader_may_leave
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.options import ScanOptions
from zcurate.config.units import parse_share
from zcurate.runtime.environment import rank

if TYPE_CHECKING:
    from zcurate.report.report import Report


@with_options(
    ScanOptions,
    argument(
        "data",
        "Table (csv, tsv, jsonl, parquet, feather; .gz, .zst), folder of parts or of pictures, glob, address (s3://, gs://, hf://, https://), or - for stdin.",
        "DATA",
        complete_data,
    ),
)
def scan(data: str | None, options: ScanOptions) -> None:
    """Find the wrong labels in DATA and write a report of every row.

    Examples: zcurate scan train.csv --label species · zcurate scan pictures/ · cat t.csv | zcurate scan - --input-format csv
    """
    data = need_data(data, "scan")
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.pipeline.scan import run_scan
    from zcurate.runtime.context import RunContext
    from zcurate.runtime.process_group import WorkerDone

    if options.estimate:
        print_estimate(data, options)
        return
    from zcurate.runtime.progress_bar import progress_for

    options = resolve_output(data, options)
    to_stdout = options.output == "-"
    with progress_for(options.quiet, options.verbose) as progress:
        scan_options = dataclasses.replace(options, output=None) if to_stdout else options
        try:
            run = RunContext(progress=progress, owns_process=True, ends_process=True, command=" ".join(["zcurate", *sys.argv[1:]]))
            report = run_scan(data, scan_options, run, summary_only=not to_stdout)
        except WorkerDone:
            return
    with reader_may_leave():
        print_results(report, options)
    code = exit_code_of(report, options)
    if code is ExitCode.PARTIAL and not report.card["partial"] and not options.quiet:
        unreadable = f"{report.card['n_skipped']} of {len(report)} rows could not be read, more than --max-bad {options.max_bad}"
        sys.stderr.write(f"{unreadable}: exit {int(code)}; `scan -v` lists them\n")
    if code is not ExitCode.DONE:
        raise typer.Exit(code)


def resolve_output(data: str, options: ScanOptions) -> ScanOptions:
    """Set the default output path; only rank 0 writes and prints."""
    from zcurate.data.discovery import stem_of
    from zcurate.report.atomic import default_path

    if rank() > 0:
        options = dataclasses.replace(options, output="-", json=False, quiet=True)
    if options.output is None:
        options = dataclasses.replace(options, output=default_path(stem_of(data)))
    return options


def print_results(report: Report, options: ScanOptions) -> None:
    """Print the report itself with `-o -`, the summary, and the run card with `--json`."""
    assert options.output is not None  # crack: narrows types only
    if options.output == "-" and rank() == 0:
        sys.stdout.buffer.write(report.content())
        sys.stdout.flush()
    if not options.quiet:
        from zcurate.cli.render.scan_summary import print_summary

        print_summary(report, options.output, options.verbose)
    if options.json:
        sys.stdout.write(json.dumps({"report": options.output, "rows": len(report), "counts": report.counts(), **report.card}) + "\n")


def print_estimate(data: str, options: ScanOptions) -> None:
    """Print the estimated time and memory of a scan on stdout."""
    from zcurate.pipeline import api, estimate_text

    found = api.estimate_scan(data, options)
    sys.stdout.write(json.dumps(estimate_text.as_json(found)) + "\n" if options.json else "\n".join(estimate_text.estimate_lines(found)) + "\n")


def exit_code_of(report: Report, options: ScanOptions) -> ExitCode:
    """Choose the exit code: a time limit that was reached, else could not judge, else partial, else done."""
    card = report.card
    if not card["judged"] and not card["partial"]:
        return ExitCode.UNJUDGED
    if card["partial"] or card["n_skipped"] > parse_share(options.max_bad, "--max-bad") * max(1, len(report)):
        return ExitCode.PARTIAL
    return ExitCode.DONE
