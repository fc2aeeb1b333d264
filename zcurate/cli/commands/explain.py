"""`zcurate explain [REPORT] ROW...`: explain the verdicts of rows; explanations on stdout, messages on stderr."""

from __future__ import annotations

import json
import sys

from zcurate.cli.typer_options import argument, with_options
from zcurate.config.options import ExplainOptions

REPORT = "Report, a name ending in .parquet, or a folder of its parts [default: the newest here]."
ROW = "Rows to explain: value of --id, picture path, or row number (from 0)."


@with_options(ExplainOptions, argument("report", REPORT, default=None, metavar="REPORT"), argument("row", ROW, default=None, metavar="ROW", many=True))
def explain(report: str | None, row: list[str] | None, options: ExplainOptions) -> None:
    """Explain the verdicts of rows: threshold, held-out prediction, training curves, clues, most similar rows.

    A ROW is an id or a path, otherwise a row number; where the ids are numbers themselves, row numbers need --by-row.

    Examples: zcurate explain 17 · zcurate explain penguins.zcurate.parquet P018 P020 · zcurate explain --by-row 17 --json
    """
    from zcurate.runtime import startup

    startup.start()
    from zcurate.errors import UsageError
    from zcurate.report.explain import explain as explain_module
    from zcurate.report.storage import is_report, load, newest

    words = [word for word in (report, *(row or ())) if word is not None]
    is_named = bool(words) and (words[0].endswith((".parquet", ".pq")) or is_report(words[0]))
    path = words.pop(0) if is_named else newest()
    if not is_named:
        sys.stderr.write(f"{path}\n")
    loaded = load(path)
    if not words:
        raise UsageError(f"{path}: no row named — expected row numbers or ids — try zcurate explain {path} 0, or zcurate report {path} to list rows")
    found = explain_module.explain_rows(loaded, path, explain_module.find_rows(loaded, words, options.by_row))
    if options.json:
        for facts in found:
            sys.stdout.write(json.dumps(facts, allow_nan=False, ensure_ascii=False) + "\n")
        return
    from zcurate.cli.render.row_explanation import print_row

    for at, facts in enumerate(found):
        if at:
            sys.stdout.write("\n\n")
        print_row(facts)
