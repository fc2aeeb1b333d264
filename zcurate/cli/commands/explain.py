"""`zcurate explain [REPORT] ROW...`: explain the verdicts of rows; explanations on stdout, messages on stderr."""

from __future__ import annotations

import os
import sys

from zcurate.cli.completion import complete_report
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import ExplainOptions
from zcurate.runtime.safe_text import visible

REPORT = "Report, a name ending in .parquet, or a folder of its parts [default: the newest here]."
ROW = "Rows to explain: value of --id, picture path, or row number (from 0)."


@with_options(ExplainOptions, argument("report", REPORT, "REPORT", complete_report), argument("row", ROW, "ROW", many=True))
def explain(report: str | None, row: list[str] | None, options: ExplainOptions) -> None:
    """Explain the verdicts of rows: threshold, held-out prediction, training curves, clues, most similar rows.

    A ROW is an id or a path, otherwise a row number; where the ids are numbers themselves, row numbers need --by-row.

    Examples: zcurate explain 17 · zcurate explain penguins.zcurate.parquet P018 P020 · zcurate explain --by-row 17 --json
    """
    from zcurate.runtime import startup

    startup.start()
    from zcurate.errors import UsageError
    from zcurate.report.explain import explain as explain_module
    from zcurate.report.storage import load

    words = [word for word in (report, *(row or ())) if word is not None]
    path, words = choose_report(words)
    loaded = load(path)
    if not words:
        raise UsageError(f"{path}: no row named — expected row numbers or ids — try zcurate explain {path} 0, or zcurate report {path} to list rows")
    try:
        rows = explain_module.find_rows(loaded, words, options.by_row)
    except UsageError:
        if words[0] == report:
            refuse_data(words[0])
        raise
    found = explain_module.explain_rows(loaded, path, rows, options.data)
    if options.json:
        from zcurate.report.formats.json import json_text

        for facts in found:
            sys.stdout.write(json_text(facts) + "\n")
        return
    from zcurate.cli.render.row_explanation import print_row

    for at, facts in enumerate(found):
        if at:
            sys.stdout.write("\n\n")
        print_row(facts)


def choose_report(words: list[str]) -> tuple[str, list[str]]:
    """Return the report to read and the words that name rows: the first word if it is a report, else the newest report here.

    Raises:
        ReportError: there is no report; names the first word if it is data.
    """
    from zcurate.errors import ReportError
    from zcurate.report.storage import is_report, newest

    if words and (words[0].endswith((".parquet", ".pq")) or is_report(words[0])):
        return words[0], words[1:]
    try:
        path = newest()
    except ReportError:
        if words:
            refuse_data(words[0])
        raise
    sys.stderr.write(f"{visible(path)}\n")
    return path, words


def refuse_data(word: str) -> None:
    """Refuse a table or a folder where a report or a row is expected; the name of a picture may be a row.

    Raises:
        ReportError: the word is a table or a folder.
    """
    from zcurate.data import image_formats
    from zcurate.errors import ReportError
    from zcurate.report.storage import not_a_report

    if os.path.exists(word) and not image_formats.is_image_name(word):
        raise ReportError(not_a_report(word))
