"""A table for people, as wide as the terminal: rank, row, given and suggested label, p_incorrect, and the first reason in words."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zcurate.config.report_options import ReportOptions
from zcurate.judge.reasons import REASONS
from zcurate.report.formats.cells import cell_text
from zcurate.report.schema import COLUMN_DOCS
from zcurate.runtime.safe_text import visible

COLORS = {"incorrect": "red", "suspect": "bright_red", "hard": "yellow", "outlier": "magenta", "clean": "green"}
"""Of verdicts."""
HEADINGS = {"p_incorrect": "p", "reasons": "why", "telling": "values"}
"""Headings of columns that are not shown under their names."""
MAX_DATA_COLUMNS = 6
"""Columns of the data shown next to the report's."""
DEFAULT_COLUMNS = ("rank", "id", "path", "row", "given", "suggested", "p_incorrect", "verdict", "telling", "reasons")
"""Columns shown without `--columns`."""


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """Write the default columns, or those named by `--columns`.

    Args:
        table: rows to show.
        stream: to write to.
        options: `columns`, `with_data`.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    console = Console(file=text, highlight=False, emoji=False)
    names = list(table.column_names) if options.columns else shown_columns(table)
    if options.with_data and not options.columns:
        own = [name for name in table.column_names if name not in COLUMN_DOCS]
        names = [name for name in names if name not in ("telling", "reasons")] + [name for name in own if name not in names][:MAX_DATA_COLUMNS]
    console.print(render_table(table.select(names)))
    text.flush()
    text.detach()


def shown_columns(table: pa.Table) -> list[str]:
    """Choose the default columns that are informative: no `row` next to an id, no empty column, no verdict that is always the same."""
    names = [name for name in DEFAULT_COLUMNS if name in table.column_names]
    has_key = any(name in names for name in ("id", "path"))
    hidden = {"row"} if has_key else set()
    for name in ("suggested", "telling"):
        if name in names and not any(table.column(name).to_pylist()):
            hidden.add(name)
    if len(set(table.column("verdict").to_pylist())) == 1:
        hidden.add("verdict")
    return [name for name in names if name not in hidden]


def render_table(table: pa.Table) -> Table:
    """Render the rows as a rich table without boxes, with numbers right-aligned and long columns folded."""
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for field in table.schema:
        is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        no_wrap = field.name in ("rank", "row", "p_incorrect", "verdict")
        min_width = min(18, max((len(item) for items in table.column("telling").to_pylist() for item in items), default=0)) if field.name == "telling" else None
        heading = HEADINGS.get(field.name, field.name)
        grid.add_column(Text(visible(heading)), justify="right" if is_number else "left", no_wrap=no_wrap, overflow="fold", min_width=min_width)
    for row in table.to_pylist():
        styles = {"verdict": COLORS.get(str(row.get("verdict", "")), "")}
        grid.add_row(*(Text(cell(value, name, table.schema.field(name).type), styles.get(name, "")) for name, value in row.items()))
    return grid


def cell(value: Any, name: str, kind: pa.DataType) -> str:
    """Format one cell: probabilities with two decimals, the first reason in words, attributed values one per line."""
    if value is None:
        return "–"
    if name == "reasons":
        return REASONS.get(value[0], visible(str(value[0]))) if value else ""
    if name == "telling":
        return "\n".join(visible(str(word)) for word in value)
    if pa.types.is_floating(kind):
        return f"{value:.2f}" if name.startswith("p_") else f"{value:.4g}"
    return visible(cell_text(value, kind))
