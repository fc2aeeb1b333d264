"""A table for people, as wide as the terminal: rank, which row, given -> suggested, how sure, and why in words."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zcurate.config.options import ReportOptions
from zcurate.judge.reasons import REASONS
from zcurate.report.formats.cells import cell_text
from zcurate.report.schema import COLUMN_DOCS

COLORS = {"incorrect": "red", "hard": "yellow", "outlier": "magenta", "clean": "green"}
MAX_DATA_COLUMNS = 6
"""Columns of the data shown beside the report's in a table for people."""
FEW = ("rank", "id", "path", "row", "given", "suggested", "p_incorrect", "verdict", "telling", "reasons")


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """The columns that people read, or those asked for by `--columns`.

    Args:
        table: rows to show.
        stream: where to.
        options: `columns`.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    console = Console(file=text, highlight=False)
    names = list(table.column_names) if options.columns else shown_columns(table)
    if options.with_data and not options.columns:
        own = [name for name in table.column_names if name not in COLUMN_DOCS]
        names = [name for name in names if name not in ("telling", "reasons")] + [name for name in own if name not in names][:MAX_DATA_COLUMNS]
    console.print(render_table(table.select(names)))
    text.flush()
    text.detach()


def shown_columns(table: pa.Table) -> list[str]:
    """The usual columns without those that say nothing here: `row` beside an id, an all-empty one, a verdict that is always the same."""
    names = [name for name in FEW if name in table.column_names]
    keyed = any(name in names for name in ("id", "path"))
    dull = {"row"} if keyed else set()
    for name in ("suggested", "telling"):
        if name in names and not any(table.column(name).to_pylist()):
            dull.add(name)
    if len(set(table.column("verdict").to_pylist())) == 1:
        dull.add("verdict")
    return [name for name in names if name not in dull]


def render_table(table: pa.Table) -> Table:
    """The rows as a rich table without boxes; numbers to the right, long columns folded."""
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for field in table.schema:
        right = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        narrow = field.name in ("rank", "row", "p_incorrect", "verdict")
        heading = {"p_incorrect": "p", "reasons": "why", "telling": "values"}.get(field.name, field.name)
        least = min(18, max((len(item) for items in table.column("telling").to_pylist() for item in items), default=0)) if field.name == "telling" else None
        grid.add_column(heading, justify="right" if right else "left", no_wrap=narrow, overflow="fold", min_width=least)
    for row in table.to_pylist():
        verdict = str(row.get("verdict", ""))
        style = {"verdict": COLORS.get(verdict, "")}
        grid.add_row(*(Text(cell(value, name, table.schema.field(name).type), style.get(name, "")) for name, value in row.items()))
    return grid


def cell(value: Any, name: str, kind: pa.DataType) -> str:
    """One cell for people: probabilities in two digits, the first reason in words, telling columns one per line."""
    if value is None:
        return "–"
    if name == "reasons":
        return REASONS.get(value[0], value[0]) if value else ""
    if name == "telling":
        return "\n".join(value)
    if pa.types.is_floating(kind):
        return f"{value:.2f}" if name.startswith("p_") else f"{value:.4g}"
    return cell_text(value, kind)
