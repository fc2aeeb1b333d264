"""Decisions of people about rows, and how each finds its row. No torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.fingerprints import relabeled
from zcurate.errors import UsageError, did_you_mean, listed
from zcurate.report.formats.cells import column_texts
from zcurate.report.report import Report

DECISIONS = ("keep", "relabel", "drop", "unsure")
"""The words: the label is right; it is another one; the row is to be left out; the person cannot tell."""
FIELDS = ("row", "id", "path", "fingerprint", "given", "decision", "label", "by", "at", "note", "draw_probability")
"""Columns of a decisions file; any others are ignored, so that a list of `zcurate report --with-data` is one."""


@dataclass(frozen=True)
class Decision:
    """What a person decided about a row."""

    decision: str
    """One of `DECISIONS`."""
    label: str | None = None
    """The right label of `relabel`."""
    row: int | None = None
    """0-based position in the input that was scanned."""
    id: str | None = None
    """Value of `--id`."""
    path: str | None = None
    """Path of a picture."""
    fingerprint: str | None = None
    """Of the row, see `data.fingerprints`."""
    given: str | None = None
    """The label that the person saw."""
    by: str | None = None
    """Who decided."""
    at: str | None = None
    """When: ISO 8601."""
    note: str | None = None
    """Anything."""
    draw_probability: float | None = None
    """Probability with which the row was picked to be asked about; None where it was chosen."""
    place: str = dataclasses.field(default="", compare=False)
    """Where it was read, for messages."""

    def cells(self) -> dict[str, Any]:
        """Return the fields of the file that are set."""
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Keys:
    """By what decisions find the rows of a report, or of an input."""

    n_rows: int
    """N."""
    given: pa.ChunkedArray
    """(N) labels."""
    fingerprint: pa.ChunkedArray | None = None
    """(N) string; None of reports of version 1."""
    id: pa.ChunkedArray | None = None
    """(N) the user's key."""
    path: pa.ChunkedArray | None = None
    """(N) paths of pictures."""
    classes: tuple[str, ...] = ()
    """Names of the classes; empty for regression."""
    suggested: pa.ChunkedArray | None = None
    """(N) labels that the report suggests; None where nothing is suggested yet."""

    @staticmethod
    def of(report: Report) -> Keys:
        """Return the keys of a report's rows."""
        optional = {name: report.table.column(name) if name in report.table.column_names else None for name in ("fingerprint", "id", "path")}
        classes = tuple(entry["name"] for entry in report.card["classes"])
        return Keys(len(report), report.table.column("given"), **optional, classes=classes, suggested=report.table.column("suggested"))


@dataclass(frozen=True)
class FoundDecisions:
    """Decisions with the rows they are about."""

    row: np.ndarray
    """(D,) int64, ascending, each once."""
    decisions: tuple[Decision, ...]
    """(D) in the order of the rows."""
    lost: tuple[Decision, ...] = ()
    """Those whose row is not there, or has changed."""

    def warnings(self, location: str) -> list[str]:
        """Say which decisions found no row."""
        if not self.lost:
            return []
        shown = "; ".join(describe_key(one) for one in self.lost[:3]) + ("; ..." if len(self.lost) > 3 else "")
        return [f"{location}: {len(self.lost)} of {len(self.lost) + len(self.decisions)} decisions find no row (gone or changed): {shown} — they are ignored"]


def text(value: Any) -> str | None:
    """Return a cell as text; None where it is empty."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def number_of(value: str | None) -> float | None:
    """Return the finite number that a text is; None where it is none."""
    text = value or ""
    try:
        number = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def find_rows(decisions: Sequence[Decision], keys: Keys, location: str) -> FoundDecisions:
    """Find the row of each decision: by its fingerprint, else by id or path, else by its number.

    Args:
        decisions: as read.
        keys: of the rows.
        location: what error messages begin with: the file.

    Raises:
        UsageError: a decision that finds two rows, two decisions about one row, a label that is no class, or none finds its row.
    """
    by_print, by_id, by_path = (index_of(decisions, name, getattr(keys, name)) for name in ("fingerprint", "id", "path"))
    found: dict[int, Decision] = {}
    lost: list[Decision] = []
    for one in decisions:
        row = row_of(one, keys, (by_print, by_id, by_path))
        if row is None:
            lost.append(one)
            continue
        if row in found:
            raise UsageError(f"{one.place}: {describe_key(one)} was decided in {found[row].place} already — expected one decision for each row")
        found[row] = dataclasses.replace(one, label=known_label(with_suggestion(one, row, keys), keys))
    if decisions and not found:
        raise UsageError(
            f"{location}: none of {len(decisions)} decisions finds its row — expected decisions about this data set — was it made for another report?"
        )
    rows = sorted(found)
    return FoundDecisions(np.array(rows, np.int64), tuple(found[row] for row in rows), tuple(lost))


def index_of(decisions: Sequence[Decision], name: str, column: pa.ChunkedArray | None) -> dict[str, list[int]] | None:
    """Map the values of a key that decisions name to the rows that have them; None where the rows have no such key.

    Args:
        decisions: as read.
        name: of the key.
        column: (N) its values.
    """
    if column is None:
        return None
    wanted = {str(getattr(one, name)) for one in decisions if getattr(one, name) is not None}
    for one in decisions if name == "fingerprint" else ():
        wanted |= set(other_prints(one))
    texts = column if pa.types.is_string(column.type) else pa.chunked_array([column_texts(column)], pa.string())
    found: dict[str, list[int]] = {}
    if wanted:
        rows = np.flatnonzero(pc.is_in(texts, value_set=pa.array(sorted(wanted), pa.string())).to_numpy())
        for row, value in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
            found.setdefault(value, []).append(row)
    return found


def other_prints(one: Decision) -> list[str]:
    """Return the fingerprint that a row has once it is relabeled as decided; none where the decision does not tell."""
    if one.decision != "relabel" or one.fingerprint is None or len(one.fingerprint) != 16 or one.given is None:
        return []
    try:
        return [relabeled(one.fingerprint, one.given, one.label)]
    except ValueError:
        return []


def row_of(one: Decision, keys: Keys, indexes: tuple[dict[str, list[int]] | None, ...]) -> int | None:
    """Find the row of a decision; None where it is gone or has changed.

    Raises:
        UsageError: it finds two, or a row number that does not fit.
    """
    by_print, by_id, by_path = indexes
    if one.fingerprint is not None and by_print is not None:
        rows = next((by_print[key] for key in (one.fingerprint, *other_prints(one)) if key in by_print), [])
        return single(one, rows, by_id)
    for key, index in ((one.id, by_id), (one.path, by_path)):
        if key is not None and index is not None:
            return single(one, index.get(key, []), None)
    if one.row is None:
        raise UsageError(f"{one.place}: names no row — expected fingerprint, id, path or row")
    if one.row >= keys.n_rows:
        raise UsageError(f"{one.place}: row {one.row} — expected 0 to {keys.n_rows - 1} — is it a decision about another data set?")
    given = column_texts(keys.given.slice(one.row, 1))[0]
    if one.given is not None and one.given != given and (keys.classes or number_of(one.given) != number_of(given)):
        raise UsageError(f"{one.place}: row {one.row} was labelled '{one.given[:40]}' — found '{given[:40]}' — is it a decision about another data set?")
    return one.row


def single(one: Decision, rows: list[int], by_id: dict[str, list[int]] | None) -> int | None:
    """Choose among the rows with a decision's key: the one with its number, else the one with its id, else the only one.

    Raises:
        UsageError: more than one is left.
    """
    if one.row in rows:
        return one.row
    if len(rows) > 1 and one.id is not None and by_id is not None:
        rows = [row for row in rows if row in by_id.get(one.id, [])]
    if len(rows) > 1:
        raise UsageError(
            f"{one.place}: {describe_key(one)} fits {len(rows)} rows ({listed([str(row) for row in rows], 5)}) — expected one — add its row number"
        )
    return rows[0] if rows else None


def with_suggestion(one: Decision, row: int, keys: Keys) -> Decision:
    """Return a relabel without a label with the label that the report suggests for its row; other decisions as they are.

    Raises:
        UsageError: it suggests no other label.
    """
    if one.decision != "relabel" or one.label is not None:
        return one
    given = column_texts(keys.given.slice(row, 1))[0]
    suggested = "" if keys.suggested is None else column_texts(keys.suggested.slice(row, 1))[0]
    if suggested in ("", given):
        raise UsageError(f"{one.place}: relabel without a label, and none is suggested — expected the right one in column 'label' — or decide unsure")
    return dataclasses.replace(one, label=suggested)


def known_label(one: Decision, keys: Keys) -> str | None:
    """Return the label of a decision as the data write it.

    Raises:
        UsageError: it is no class, or no number.
    """
    if one.label is None:
        return None
    if not keys.classes:
        if number_of(one.label) is None:
            raise UsageError(f"{one.place}: label '{one.label[:40]}' is no number — expected one, as the task is a regression")
        return one.label
    if one.label in keys.classes:
        return one.label
    # Lists for spreadsheets have a ' before what might be a formula.
    if one.label.startswith("'") and one.label[1:] in keys.classes:
        return one.label[1:]
    # Spreadsheets write TRUE, and pandas 3.0 where a column of whole numbers has blanks.
    number = number_of(one.label)
    alike = [name for name in keys.classes if name.lower() == one.label.lower() or (number is not None and number_of(name) == number)]
    if len(alike) == 1:
        return alike[0]
    hint = did_you_mean(one.label, list(keys.classes)) or " — a class that no row has yet cannot be decided: decide drop, or unsure with a note"
    raise UsageError(f"{one.place}: label '{one.label[:40]}' is no class — classes: {listed(list(keys.classes))}{hint}")


def describe_key(one: Decision) -> str:
    """Name the row of a decision for a message."""
    for name in ("id", "path", "row", "fingerprint"):
        if getattr(one, name) is not None:
            return f"{name} {str(getattr(one, name))[:80]}"
    return one.place
