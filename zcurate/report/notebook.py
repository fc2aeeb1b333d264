"""A report in a notebook: a summary in words and in HTML, and data frames whose labels have the type of the data. No torch."""

from __future__ import annotations

import html
import os
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from zcurate.judge.reasons import REASONS
from zcurate.report.histograms import Histogram, histograms
from zcurate.report.page.page import N_BINS, WORDS, percent
from zcurate.report.report import Report
from zcurate.runtime.safe_text import visible, visible_values

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("given", "suggested", "predicted", "decided")
"""Columns of labels."""
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""Matches a whole number as programs write it."""
TRUTH = {"true": True, "false": False}
"""Truth values as text, in lower case."""
CONVERT: dict[str, Any] = {"Int64": int, "boolean": lambda text: TRUTH[text.lower()], "Float64": float}
"""pandas' type of labels -> how a label becomes one."""
COLORS = {"incorrect": "#c0392b", "suspect": "#d2691e", "hard": "#b8860b", "outlier": "#8e44ad", "clean": "#2e8b57"}
"""Of verdicts."""
TOP = 10
"""Rows that are shown."""


def in_lines(report: Report) -> list[str]:
    """Sum a report up in five lines of text."""
    card = visible_values(report.card)
    classes = card["classes"]
    counts = " · ".join(f"{word} {n}" for word, n in report.counts().items())
    trust = f"could not judge: {card['why_unjudged']}" if not card["judged"] else f"wrong labels: about {rate_text(card)}"
    if card["judged"] and card["expected"]["precision"] is not None:
        trust += f"; expected precision of incorrect {percent(card['expected']['precision'])}"
    where = f"report {visible(report.path)}" if report.path else "not written to a file (output=...)"
    task = f"{len(classes)} classes" if classes else "regression"
    return [
        f"zcurate report of {os.path.basename(card['input']['path'])}: {len(report)} rows, label '{card['columns']['label']}' ({task})",
        counts,
        trust,
        where,
        "next: .flagged, .top(20), .to_pandas(), .html('report.html'), .update(decisions), .apply('clean.csv')",
    ]


def rate_text(card: dict[str, Any]) -> str:
    """Write the estimated share of wrong labels with its interval."""
    rate = card["noise_rate"]
    interval = "" if rate["low"] is None else f" ({percent(rate['low'])} to {percent(rate['high'])})"
    return f"{percent(rate['estimate'])}{interval}"


def in_html(report: Report) -> str:
    """Show a report as HTML: its lines, charts by verdict, and the most suspicious rows."""
    lines = in_lines(report)
    parts = [f"<b>{html.escape(lines[0])}</b>", *(html.escape(line) for line in lines[1:4])]
    charts = "".join(chart(one) for one in histograms(report, WORDS, N_BINS))
    top = visible_values(report.top(TOP).to_pylist())
    key = next((name for name in ("id", "path") if name in report.table.column_names), "row")
    heads = "".join(f"<th>{name}</th>" for name in ("rank", key, "given", "suggested", "p_incorrect", "verdict", "why"))
    rows = "".join(table_row(row, key) for row in top)
    return f"<div>{'<br>'.join(parts)}<div>{charts}</div><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"


def table_row(row: dict[str, Any], key: str) -> str:
    """Write a row of the report as a row of a table."""
    why = REASONS.get(row["reasons"][0], row["reasons"][0]) if row["reasons"] else ""
    p = "–" if row["p_incorrect"] is None else f"{row['p_incorrect']:.2f}"
    cells = (row["rank"], row[key], row["given"], row["suggested"], p, row["verdict"], why)
    return "<tr>" + "".join(f"<td>{html.escape(str('–' if cell is None else cell)[:300])}</td>" for cell in cells) + "</tr>"


def chart(one: Histogram) -> str:
    """Draw a histogram by verdict as SVG."""
    bars = []
    for at, (word, shares) in enumerate(one.bars.items()):
        top = 26 * at
        bars.append(f'<text x="0" y="{top + 18}" font-size="10" fill="currentColor">{word}</text>')
        for place, share in enumerate(shares):
            if share > 0:
                height = max(1.0, 20 * share)
                bars.append(f'<rect x="{60 + 6 * place}" y="{top + 22 - height:.1f}" width="5" height="{height:.1f}" fill="{COLORS[word]}"/>')
    height = 26 * len(one.counts) + 4
    caption = f"<figcaption>{html.escape(one.title)}</figcaption>"
    return f'<figure style="display:inline-block;margin:4px 16px 4px 0">{caption}<svg width="280" height="{height}">{"".join(bars)}</svg></figure>'


def frame_of(report: Report, table: pa.Table) -> pd.DataFrame:
    """Return rows of a report as a pandas data frame; labels are whole numbers or truth values where those of the data are.

    Args:
        report: whose run card tells the classes.
        table: rows of it.
    """
    import pandas as pd

    frame = table.to_pandas()
    kind = label_kind(report)
    for name in LABELS:
        if kind is not None and name in frame:
            frame[name] = pd.array([pd.NA if pd.isna(text) else CONVERT[kind](text) for text in frame[name]], dtype=kind)
    return frame


def label_kind(report: Report) -> str | None:
    """Return pandas' type of the labels: `Int64`, `boolean` or `Float64`; None where they are text or targets."""
    classes = [entry["name"] for entry in report.card["classes"]]
    stored = report.card["columns"].get("label_type")
    is_text = stored in ("string", "large_string") and report.card["input"]["format"] not in ("csv", "tsv")
    if not classes or is_text:
        return None
    if all(WHOLE.fullmatch(name) for name in classes):
        return "Int64"
    if stored in ("double", "float", "halffloat"):
        return "Float64"
    return "boolean" if all(name.lower() in TRUTH for name in classes) else None
