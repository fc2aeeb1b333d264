"""`zcurate export [REPORT] --to TOOL -o OUT`: hand rows over to an annotation tool, or weights to a training script."""

from __future__ import annotations

import sys

from zcurate.cli.completion import complete_report
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.report_options import ExportOptions
from zcurate.runtime.safe_text import visible

WRITERS = {"label-studio": "label_studio", "argilla": "argilla", "fiftyone": "fiftyone", "hf": "hugging_face"}
"""Tool -> module of `integrations`."""


@with_options(ExportOptions, argument("report", "Report to export [default: the newest here].", "REPORT", complete_report))
def export(report: str | None, options: ExportOptions) -> None:
    """Write rows of a report for Label Studio, Argilla, FiftyOne or Hugging Face, or a weight for every row.

    Examples: zcurate export --to label-studio -o tasks --top 200 · zcurate export --to weights -o weights.npy
    """
    options.check()
    from zcurate.runtime import startup

    startup.start()
    from importlib import import_module

    from zcurate.integrations import items, weights
    from zcurate.report.atomic import guard, new_folder, refuse_inside, whole_file
    from zcurate.report.locations import known_inputs
    from zcurate.report.storage import load_named

    loaded, output = load_named(report), str(options.output)
    guard(output, [str(loaded.path), *known_inputs(loaded, options.data)])
    refuse_inside(output, known_inputs(loaded, options.data))
    if options.to == "weights":
        with whole_file(output) as temporary, open(temporary, "wb") as stream:
            weights.write(loaded, stream, output, options.scheme or "judged")
        sys.stderr.write(f"written   {visible(output)}  one weight per row, in the input's order\n")
        return
    found = items.items_of(loaded, options, every_row=options.to == "hf")
    with new_folder(output) as folder:
        lines = import_module(f"zcurate.integrations.{WRITERS[str(options.to)]}").write(found, folder, output)
    sys.stderr.write("".join(f"{visible(line)}\n" for line in [f"written   {output}  {len(found.items)} rows", *(f"next      {line}" for line in lines)]))
