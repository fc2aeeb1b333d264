"""`zcurate trial DATA`: plant known errors in a copy, scan it, print how many were found; the result on stdout, messages on stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import typer

from zcurate.cli.commands.scan import exit_code_of
from zcurate.cli.completion import complete_data
from zcurate.cli.exit_codes import ExitCode
from zcurate.cli.positional import need_data
from zcurate.cli.streams import reader_may_leave
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.options import TrialOptions
from zcurate.runtime.environment import rank

WITHOUT = ("output", "force", "memory", "estimate", "resume", "keep_model", "continue_from", "against")
TRIAL_OPTIONS = tuple(field.name for field in dataclasses.fields(TrialOptions) if field.name not in WITHOUT)
"""Options of a trial, which writes no report and goes on from none."""


@with_options(TrialOptions, argument("data", "Any input of `zcurate scan`; it is not changed.", "DATA", complete_data), only=TRIAL_OPTIONS)
def trial(data: str | None, options: TrialOptions) -> None:
    """Plant known errors in a copy of DATA, scan it, and print how many were found and what else was flagged.

    Nothing is written. -v also lists the planted errors that were missed; -q silences only stderr.

    Examples: zcurate trial train.csv --label species · zcurate trial train.csv --share 20% --kinds confused --prioritise
    """
    data = need_data(data, "trial")
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.pipeline.trial.trial import run_trial
    from zcurate.runtime.context import RunContext
    from zcurate.runtime.progress_bar import progress_for

    if rank() > 0:
        options = dataclasses.replace(options, json=False, quiet=True)
    with progress_for(options.quiet, options.verbose) as progress:
        run = RunContext(progress=progress, owns_process=True, command=" ".join(["zcurate", *sys.argv[1:]]))
        result = run_trial(data, options, run)
    with reader_may_leave():
        print_result(result.facts, options)
    if not result.facts["judged"] and not options.quiet:
        sys.stderr.write(f"could not judge: {result.facts['why_unjudged']}\n")
    code = max(exit_code_of(report, options) for report in result.reports)
    if code is ExitCode.DONE and not result.facts["judged"]:
        code = ExitCode.UNJUDGED
    if code is not ExitCode.DONE:
        raise typer.Exit(code)


def print_result(facts: dict[str, Any], options: TrialOptions) -> None:
    """Print the result on stdout, as tables or with `--json`; nothing in worker ranks."""
    if options.json:
        sys.stdout.write(json.dumps(facts, allow_nan=False) + "\n")
    elif facts["judged"] and rank() == 0:
        from zcurate.cli.render.trial_tables import print_trial

        print_trial(facts, options.verbose)
