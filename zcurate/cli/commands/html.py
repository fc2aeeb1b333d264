"""`zcurate html [REPORT]`: one offline page."""

from __future__ import annotations

import os
import sys

from zcurate.cli.completion import complete_report
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import HtmlOptions
from zcurate.runtime.safe_text import visible


@with_options(HtmlOptions, argument("report", "Report to show [default: the newest here].", "REPORT", complete_report))
def html(report: str | None, options: HtmlOptions) -> None:
    """Write a report as one HTML page that needs no network: charts, pictures, a list to sort and filter, and keys to decide with.

    Example: zcurate html train.zcurate.parquet -o train.html
    """
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from zcurate.report.atomic import guard
    from zcurate.report.locations import known_inputs
    from zcurate.report.page.content import COLUMNS
    from zcurate.report.schema import ENDING
    from zcurate.report.storage import load_named

    loaded = load_named(report, COLUMNS.__contains__)
    output = options.output or f"{os.path.basename(str(loaded.path).rstrip('/')).removesuffix(ENDING)}.html"
    guard(output, [str(loaded.path), *known_inputs(loaded, options.data)])
    loaded.html(output, threshold=options.threshold, precision=options.precision, budget=options.budget, data=options.data)
    sys.stderr.write(f"written   {visible(output)}  {os.path.getsize(output) / 1e6:.1f} MB\n")
