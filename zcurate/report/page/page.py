"""Render the page of a report: one file, no scripts or styles from elsewhere, every value escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

from zcurate.report.card_schema import defaults
from zcurate.report.histograms import histograms
from zcurate.report.page.content import content_of
from zcurate.report.report import Report
from zcurate.runtime.safe_text import visible_values

WORDS = ("incorrect", "suspect", "hard", "outlier", "clean")
"""Verdicts in the charts, in their order."""
N_BINS = 36
"""Of a chart."""
MEANING = {
    "incorrect": "the label is more likely wrong than right",
    "suspect": "worth a person's look",
    "hard": "the label is probably right, the row difficult: keep it",
    "outlier": "unlike the rest of the data",
    "clean": "no evidence of an error",
    "unlabelled": "without a label",
    "skipped": "could not be read",
    "unjudged": "the model is no better than chance",
}
"""Verdict -> what it means."""


def render(report: Report, name: str, data: str | None = None) -> str:
    """Return the page as HTML.

    Args:
        report: with `content.COLUMNS`, as far as it has them.
        name: of the report's file, for the commands that the page tells.
        data: `--data`.

    Raises:
        ReportError: `--data` names an input that is not the one scanned.
    """
    import jinja2
    from markupsafe import Markup

    folder = resources.files("zcurate.report.page")
    script, style, template = ((folder / file).read_text(encoding="utf-8") for file in ("page.js", "page.css", "page.html.jinja"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = percent
    content = content_of(report, data)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    facts: dict[str, Any] = visible_values(defaults() | report.card)
    return environment.from_string(template).render(
        name=visible_values(name),
        card=facts,
        counts=report.counts(),
        meaning=MEANING,
        n_rows=len(report),
        matrix=visible_values(content.pop("matrix")),
        problem=visible_values(content.pop("problem")),
        histograms=histograms(report, WORDS, N_BINS),
        n_listed=len(content["rows"]),
        script=Markup(script),
        style=Markup(style),
        script_hash=digest,
        content=Markup(as_script(content | {"report": name})),
    )


def as_script(values: Any) -> str:
    """Return JSON that is safe inside a script element: it holds no `<`, `>`, `&` or line separators."""
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def percent(value: float | None) -> str:
    """Return a share as a percentage."""
    return "–" if value is None else f"{100 * value:.1f} %" if value < 0.1 else f"{100 * value:.0f} %"
