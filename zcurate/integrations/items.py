"""Rows of a report as items to label in another tool. No torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from zcurate.config.report_options import ExportOptions, ReportOptions
from zcurate.data.file_names import existing
from zcurate.errors import ReportError, UsageError
from zcurate.report import locations
from zcurate.report.formats.cells import column_texts
from zcurate.report.listing import reread_input
from zcurate.report.recut import cut_of, with_cut
from zcurate.report.report import Report
from zcurate.report.select import select

CANNOT_TELL = "Cannot tell"
"""The choice of a person who does not know."""


@dataclass(frozen=True)
class Item:
    """A row to label."""

    row: int
    """0-based position in the input."""
    given: Any
    """Its label."""
    suggested: Any
    """The label that the evidence prefers, if that is another one; else None."""
    p_suggested: float | None
    """Its probability; None for regression."""
    p_incorrect: float | None
    """Probability that the given label is wrong; None where not judged."""
    verdict: str
    """Of the row."""
    fingerprint: str | None = None
    """Of the row."""
    key: str | None = None
    """Its id."""
    path: str | None = None
    """Of its picture, relative to the pictures' folder."""
    file: str | None = None
    """Path of its picture file on this machine."""
    cells: dict[str, str] = field(default_factory=dict)
    """Column of the input -> value as text."""

    @property
    def name(self) -> str:
        """What people call the row: its id, its path, or its number."""
        return self.key or self.path or f"row {self.row}"

    def keys(self) -> dict[str, Any]:
        """Return what brings a decision back to the row, without what is unknown."""
        found = {"row": self.row, "fingerprint": self.fingerprint, "item_id": self.key, "item_path": self.path, "given_label": self.given}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Items:
    """Items of a report."""

    items: Sequence[Item]
    """Most suspicious first."""
    classes: tuple[str, ...]
    """Names of the classes; empty for regression."""
    label: str
    """Name of the label."""
    root: str | None = None
    """Folder of the pictures; None for tables."""

    @property
    def cannot_tell(self) -> str:
        """The choice of a person who does not know, unlike any class."""
        word = CANNOT_TELL
        while word in self.classes:
            word += " (zcurate)"
        return word


def items_of(report: Report, options: ExportOptions, every_row: bool) -> Items:
    """Select the rows of a report and gather what other tools show of them.

    Args:
        report: a scan's result.
        options: `verdict`, `top`, the cuts, `data`.
        every_row: without `--verdict` and `--top` all rows, else those called incorrect or suspect.

    Raises:
        UsageError: no row is selected.
    """
    words = options.verdict or ("incorrect,suspect" if not every_row and options.top is None else None)
    moved = with_cut(report, cut_of(options))
    table = select(moved, ReportOptions(verdict=words, top=options.top if words or options.top else len(report)))
    if not table.num_rows:
        raise UsageError("export: no row is selected — expected at least one — try --top 100")
    root, cells = locations.root_of(report.card), cells_of(report, table, options)
    columns = {name: table.column(name).to_pylist() for name in ("row", "given", "suggested", "p_suggested", "p_incorrect", "verdict")}
    optional = {name: column_texts(table.column(name)) if name in table.column_names else [None] * table.num_rows for name in ("fingerprint", "id", "path")}
    items = []
    for at in range(table.num_rows):
        given, suggested, path = columns["given"][at], columns["suggested"][at], optional["path"][at] or None
        other = suggested if suggested != given else None
        items.append(
            Item(
                row=columns["row"][at],
                given=given,
                suggested=other,
                p_suggested=columns["p_suggested"][at] if other is not None else None,
                p_incorrect=columns["p_incorrect"][at],
                verdict=columns["verdict"][at],
                fingerprint=optional["fingerprint"][at],
                key=optional["id"][at] or None,
                path=path,
                file=existing(path, root) if path is not None and root is not None else None,
                cells={name: values[at] for name, values in cells.items()},
            )
        )
    return Items(items, tuple(entry["name"] for entry in report.card["classes"]), report.card["columns"]["label"], root)


def cells_of(report: Report, table: pa.Table, options: ExportOptions) -> dict[str, list[str]]:
    """Read the input's columns of the selected rows as text, without the label; none for pictures, or where the input cannot be read.

    Raises:
        ReportError: `--data` names an input that is not the one scanned.
    """
    if "path" in table.column_names:
        return {}
    try:
        data = reread_input(report, "export", options.data, verbatim=True)
    except ReportError:
        if options.data is not None:
            raise
        return {}
    selected = data.table.take(table.column("row"))
    return {name: column_texts(selected.column(name)) for name in selected.column_names if name != data.roles.label}


def missing_pictures(items: Items) -> list[str]:
    """List the picture files of items that are not there."""
    return [item.file for item in items.items if item.file is not None and not os.path.isfile(item.file)]
