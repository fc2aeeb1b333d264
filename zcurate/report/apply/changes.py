"""What is to change in an input: rows to drop, labels to replace, columns to add, and why. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.report_options import ApplyOptions
from zcurate.config.verdicts import ADDED_COLUMNS
from zcurate.report.decisions import FoundDecisions
from zcurate.report.report import Report
from zcurate.report.select import floats, is_among
from zcurate.report.weights import weights_of


@dataclass(frozen=True)
class Changes:
    """Changes of the N rows of an input."""

    drop: np.ndarray
    """(N,) bool, rows that are left out."""
    label: dict[int, str]
    """Row -> new label, as the report writes labels."""
    given: list[Any]
    """(N) labels as they are."""
    why: dict[int, str] = field(default_factory=dict)
    """Row that changes -> the decision or the verdict with its probability."""
    added: dict[str, pa.Array] = field(default_factory=dict)
    """Column to add -> (N) values."""
    unsuggested: int = 0
    """Rows that were to be relabeled, but for which no other label is suggested."""

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.drop)

    def entries(self) -> list[dict[str, Any]]:
        """List the changed rows in order: row, action, old and new label, why."""
        rows = sorted({*np.flatnonzero(self.drop).tolist(), *self.label})
        return [
            {"row": row, "action": "drop" if self.drop[row] else "relabel", "old": self.given[row], "new": self.label.get(row), "why": self.why.get(row, "")}
            for row in rows
        ]

    def as_column(self, name: str, report: Report) -> Changes:
        """Return changes that leave the input's columns alone and add one with the labels.

        Args:
            name: of the column.
            report: says of which type labels are.
        """
        labels = pa.array([self.label.get(row, None if given is None else text_of(given)) for row, given in enumerate(self.given)], pa.string())
        return replace(self, label={}, added={name: in_own_type(labels, report), **self.added})

    def of_rows(self, begin: int, end: int) -> Changes:
        """Return the changes of a run of rows, counted from its first."""
        label = {row - begin: text for row, text in self.label.items() if begin <= row < end}
        added = {name: values.slice(begin, end - begin) for name, values in self.added.items()}
        return Changes(self.drop[begin:end], label, self.given[begin:end], added=added)


def changes_of(report: Report, options: ApplyOptions, found: FoundDecisions | None) -> Changes:
    """Decide what changes: decided rows as decided, the others by their verdict.

    Args:
        report: a scan's result, with the cut that is wanted.
        options: `action`, `verdict`, `min_p`.
        found: decisions of a file and their rows; None for those in the report alone.

    Raises:
        UsageError: nothing in the report can be acted on.
    """
    table = report.table
    decisions = decisions_by_row(report, found)
    p = floats(table.column("p_incorrect"))
    chosen = is_among(table.column("verdict"), options.verdicts())
    if options.min_p is not None:
        with np.errstate(invalid="ignore"):
            chosen &= p >= options.min_p
    chosen[list(decisions)] = False
    given, suggested = table.column("given").to_pylist(), table.column("suggested").to_pylist()
    drop, label, why = np.zeros(len(report), bool), dict[int, str](), dict[int, str]()
    for row, (word, new) in decisions.items():
        if word == "drop":
            drop[row] = True
        elif word == "relabel" and new is not None and str(new) != text_of(given[row]):
            label[row] = str(new)
        else:
            continue
        why[row] = f"decision {word}"
    unsuggested, is_whole = 0, whole_numbers(report)
    words = table.column("verdict").to_pylist() if options.action in ("drop", "relabel") else []
    for row in np.flatnonzero(chosen).tolist() if words else ():
        if options.action == "relabel":
            if suggested[row] is None or suggested[row] == given[row]:
                unsuggested += 1
                continue
            label[row] = text_of(float(round(suggested[row])) if is_whole else suggested[row])
        else:
            drop[row] = True
        why[row] = f"{words[row]}, p_incorrect {p[row]:.3f}" if p[row] == p[row] else words[row]
    return Changes(drop, label, given, why, added_columns(report, options.action, decisions), unsuggested)


def whole_numbers(report: Report) -> bool:
    """Tell whether the targets of a regression are whole numbers, so that suggestions are rounded."""
    if report.card["classes"]:
        return False
    given = floats(report.table.column("given"))
    return bool((np.nan_to_num(given) == np.round(np.nan_to_num(given))).all())


def decisions_by_row(report: Report, found: FoundDecisions | None) -> dict[int, tuple[str, Any]]:
    """Map rows to their decision and decided label: those of the file, else those in the report."""
    decided: dict[int, tuple[str, Any]] = {}
    if "decision" in report.table.column_names:
        rows = np.flatnonzero(report.table.column("decision").is_valid().to_numpy())
        cells = report.table.select(["decision", "decided"]).take(pa.array(rows)).to_pylist()
        decided = {row: (cell["decision"], cell["decided"]) for row, cell in zip(rows.tolist(), cells, strict=True)}
    for row, one in zip(found.row.tolist(), found.decisions, strict=True) if found is not None else ():
        decided[row] = (one.decision, one.label)
    return {row: (word, label) for row, (word, label) in decided.items() if word != "unsure"}


def added_columns(report: Report, action: str, decisions: dict[int, tuple[str, Any]]) -> dict[str, pa.Array]:
    """Return the columns that `flag` or `weight` adds; none for other actions."""
    table = report.table
    if action == "weight":
        weight = weights_of(report).astype(np.float64)
        # The copy has the label that was decided.
        weight[[row for row, (word, _) in decisions.items() if word != "drop"]] = 1.0
        return {ADDED_COLUMNS["weight"]: pa.array(np.round(weight, 6))}
    if action == "flag":
        columns = {name: table.column(name).combine_chunks() for name in ("verdict", "p_incorrect", "suggested")}
        columns["suggested"] = in_own_type(columns["suggested"], report)
        if pa.types.is_dictionary(columns["verdict"].type):
            columns["verdict"] = columns["verdict"].dictionary_decode()
        return {ADDED_COLUMNS[name]: values for name, values in columns.items()}
    return {}


def in_own_type(labels: pa.Array, report: Report) -> pa.Array:
    """Return labels as whole numbers or truth values where those of the data are."""
    from zcurate.report.notebook import label_kind

    kind = {"Int64": pa.int64(), "boolean": pa.bool_()}.get(label_kind(report) or "")
    return labels if kind is None else labels.cast(kind)


def text_of(label: Any) -> str:
    """Return a label as text: of a number the fewest digits that read back the same, without a point for whole ones."""
    if isinstance(label, float):
        return str(int(label)) if label.is_integer() and abs(label) < 1e15 else repr(label)
    return "" if label is None else str(label)


def matched(changes: Changes, before: pa.ChunkedArray, after: pa.Array, given: list[Any]) -> tuple[Changes, int]:
    """Carry changes over to an input that has changed since the scan, by fingerprints.

    Args:
        changes: of the rows that were scanned.
        before: (N,) fingerprints of these.
        after: (M,) fingerprints of the rows of the input as it is now.
        given: (M) its labels.

    Returns:
        The changes of the M rows, and how many changed rows are not there any more, or twice.
    """
    prints = after.to_pylist()
    place = {one: row for row, one in enumerate(prints)}
    twice = {one for one in prints if prints.count(one) > 1} if len(place) < len(prints) else set()
    rows = {row: place[one] for row, one in enumerate(before.to_pylist()) if one in place and one not in twice}
    moved = {row: rows[row] for row in {*np.flatnonzero(changes.drop).tolist(), *changes.label} if row in rows}
    drop = np.zeros(len(prints), bool)
    drop[[moved[row] for row in np.flatnonzero(changes.drop).tolist() if row in moved]] = True
    label = {moved[row]: text for row, text in changes.label.items() if row in moved}
    why = {moved[row]: text for row, text in changes.why.items() if row in moved}
    source = np.full(len(prints), -1)
    source[list(rows.values())] = list(rows)
    taken = pa.array(source, mask=source < 0)
    added = {name: pc.take(values, taken) for name, values in changes.added.items()}
    lost = len({*np.flatnonzero(changes.drop).tolist(), *changes.label}) - len(moved)
    return Changes(drop, label, given, why, added, changes.unsuggested), lost
