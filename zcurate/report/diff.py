"""Compare two reports row by row: newly flagged, no longer flagged, relabeled, come and gone. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.data.fingerprints import label_hashes
from zcurate.errors import ReportError
from zcurate.report.formats.cells import column_texts
from zcurate.report.report import Report
from zcurate.report.select import is_among

CHANGES = ("newly flagged", "no longer flagged", "label changed", "new row", "row gone")
"""In the order in which they are listed; a row has the first that fits."""


@dataclass(frozen=True)
class Difference:
    """What changed between two reports."""

    table: pa.Table
    """A row for each change: change, row_old, row_new, key, and given label, verdict and p_incorrect before and after."""
    noise_rates: tuple[float | None, float | None]
    """Estimated share of wrong labels before and after."""
    n_rows: tuple[int, int]
    """Rows before and after."""

    def counts(self) -> dict[str, int]:
        """Count the rows of each change, in the order of `CHANGES`."""
        words = self.table.column("change").to_pylist()
        return {change: words.count(change) for change in CHANGES}


def diff(old: Report, new: Report) -> Difference:
    """Compare two reports; rows are the same where their features are, or their ids in reports without fingerprints.

    Args:
        old: the earlier report.
        new: the later one.

    Raises:
        ReportError: rows of the two cannot be matched.
    """
    rows = matched_rows(old, new)
    flagged = [is_among(one.table.column("verdict"), ("incorrect",)) for one in (old, new)]
    given = [column_texts(one.table.column("given")) for one in (old, new)]
    change_of: list[tuple[str, int | None, int | None]] = []
    for before, after in rows:
        if before is None or after is None:
            change_of.append(("new row" if before is None else "row gone", before, after))
            if after is not None and flagged[1][after]:
                change_of[-1] = ("newly flagged", before, after)
            continue
        if flagged[1][after] != flagged[0][before]:
            change_of.append(("newly flagged" if flagged[1][after] else "no longer flagged", before, after))
        elif given[0][before] != given[1][after]:
            change_of.append(("label changed", before, after))
    change_of.sort(key=lambda one: (CHANGES.index(one[0]), -1 if one[2] is None else one[2], one[1] or 0))
    rates = tuple(one.card["noise_rate"]["estimate"] for one in (old, new))
    return Difference(change_table(change_of, old, new), (rates[0], rates[1]), (len(old), len(new)))


def change_table(changes: list[tuple[str, int | None, int | None]], old: Report, new: Report) -> pa.Table:
    """Tabulate changes with what both reports say of the rows."""
    sides = {"old": (old, [before for _, before, _ in changes]), "new": (new, [after for _, _, after in changes])}
    columns: dict[str, Any] = {"change": pa.array([change for change, _, _ in changes], pa.string())}
    keys: list[str | None] = [None] * len(changes)
    for side, (report, rows) in sides.items():
        taken = report.table.take(pa.array(rows, pa.int64()))
        name = next((name for name in ("id", "path") if name in taken.column_names), None)
        if name is not None:
            keys = [key if row is None else text for key, row, text in zip(keys, rows, column_texts(taken.column(name)), strict=True)]
        columns[f"row_{side}"] = pa.array(rows, pa.int64())
        for column in ("given", "verdict", "p_incorrect"):
            values = taken.column(column)
            columns[f"{column}_{side}"] = values.cast(pa.string()) if column == "verdict" else values
    if any(key is not None for key in keys):
        columns["key"] = pa.array(keys, pa.string())
    order = ["change", "row_old", "row_new", "key", "given_old", "given_new", "verdict_old", "verdict_new", "p_incorrect_old", "p_incorrect_new"]
    return pa.table({name: columns[name] for name in order if name in columns})


def short_table(table: pa.Table) -> pa.Table:
    """Return the changes in few columns, for people: what was and what is in one cell where they differ."""
    rows = table.to_pylist()

    def pair(name: str, entry: dict[str, Any]) -> str:
        before, after = (shown(entry[f"{name}_{side}"]) for side in ("old", "new"))
        return after if before == after or not before else before if not after else f"{before} → {after}"

    columns = {
        "change": [entry["change"] for entry in rows],
        "row": [shown(entry["row_old"] if entry["row_new"] is None else entry["row_new"]) for entry in rows],
    }
    columns |= {"key": [shown(entry["key"]) for entry in rows]} if "key" in table.column_names else {}
    return pa.table(columns | {name: [pair(name, entry) for entry in rows] for name in ("given", "verdict", "p_incorrect")})


def shown(value: Any) -> str:
    """Write a cell for people; empty for null."""
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def matched_rows(old: Report, new: Report) -> Iterable[tuple[int | None, int | None]]:
    """Pair the rows of two reports; None where a row has no partner.

    Raises:
        ReportError: neither fingerprints nor ids are in both.
    """
    names = [name for name in ("fingerprint", "id", "path") if all(name in one.table.column_names for one in (old, new))]
    if "fingerprint" in names:
        exact = [np.array([int(text, 16) for text in one.table.column("fingerprint").to_pylist()], np.uint64) for one in (old, new)]
        without_label = [prints - label_hashes(one.table.column("given").combine_chunks()) for prints, one in zip(exact, (old, new), strict=True)]
        return pairs([[keys.tolist() for keys in exact], [keys.tolist() for keys in without_label]])
    if names:
        return pairs([[one.table.column(names[0]).to_pylist() for one in (old, new)]])
    if old.card["input"]["digest"] and old.card["input"]["digest"] == new.card["input"]["digest"]:
        return [(row, row) for row in range(len(old))]
    raise ReportError("diff: the reports have neither fingerprints nor ids in common — expected reports of schema version 2, or scans with --id — scan again")


def pairs(keys: list[list[list[Any]]]) -> list[tuple[int | None, int | None]]:
    """Pair rows with equal keys, those of the first kind first; copies are paired in their order.

    Args:
        keys: for each kind of key those of the old and of the new rows.
    """
    n_old, n_new = (len(side) for side in keys[0])
    partner: list[int | None] = [None] * n_old
    taken = np.zeros(n_new, bool)
    for before, after in keys:
        waiting: dict[Any, list[int]] = {}
        for row in range(n_new - 1, -1, -1):
            if not taken[row] and after[row] is not None:
                waiting.setdefault(after[row], []).append(row)
        for row in range(n_old):
            if partner[row] is None and (rows := waiting.get(before[row])):
                partner[row] = rows.pop()
                taken[partner[row]] = True
    return [*((row, other) for row, other in enumerate(partner)), *((None, int(row)) for row in np.flatnonzero(~taken))]


def describe(difference: Difference) -> list[str]:
    """Say in words what changed."""
    plural = {"new row": "new rows", "row gone": "rows gone"}
    parts = [f"{n} {word if n == 1 else plural.get(word, word)}" for word, n in difference.counts().items()]
    before, after = difference.noise_rates
    lines = [", ".join(parts), f"rows {difference.n_rows[0]} → {difference.n_rows[1]}"]
    if before is not None and after is not None:
        lines[-1] += f", wrong labels {before:.1%} → {after:.1%}"
    if min(difference.n_rows) and difference.counts()["row gone"] >= difference.n_rows[0]:
        lines.append("warning: no row of the old report is in the new one — are they reports of the same data, with the same columns?")
    return lines


def newly_flagged(old: Report, new: Report) -> int:
    """Count the rows that the new report flags and the old one did not."""
    return diff(old, new).counts()["newly flagged"]
