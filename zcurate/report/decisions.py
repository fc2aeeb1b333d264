"""Decisions of people about rows: one file (CSV or JSON Lines) that every command reads and writes, and how each decision finds its row. No torch."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.options import ScanOptions
from zcurate.data import discovery
from zcurate.data.fingerprints import relabeled
from zcurate.data.limits import MemoryLimit
from zcurate.data.readers import csv as csv_reader
from zcurate.data.readers import jsonl, parquet
from zcurate.data.source import Source
from zcurate.errors import InputError, UsageError, did_you_mean, listed
from zcurate.report.formats.cells import column_texts
from zcurate.report.report import Report

DECISIONS = ("keep", "relabel", "drop", "unsure")
"""The words: the label is right; it is another one; the row is to be left out; the person cannot tell."""
FIELDS = ("row", "id", "path", "fingerprint", "given", "decision", "label", "by", "at", "note", "draw_probability")
"""Columns of a decisions file; any others are ignored, so that a list of `zcurate report --with-data` is one."""
WORDS = dict.fromkeys(("ok", "right", "correct", "clean", "yes"), "keep") | dict.fromkeys(("wrong", "fix", "change"), "relabel")
WORDS |= dict.fromkeys(("delete", "remove", "exclude"), "drop") | dict.fromkeys(("cannot tell", "skip", "?", "unknown"), "unsure")
"""Other words that people write -> what was meant, for messages."""


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

    @staticmethod
    def of(report: Report) -> Keys:
        """Return the keys of a report's rows."""
        optional = {name: report.table.column(name) if name in report.table.column_names else None for name in ("fingerprint", "id", "path")}
        return Keys(len(report), report.table.column("given"), **optional, classes=tuple(entry["name"] for entry in report.card["classes"]))


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


def read_decisions(path: str) -> list[Decision]:
    """Read a decisions file: CSV, TSV, JSON Lines, JSON, Parquet or a workbook; rows without a decision are passed over.

    Raises:
        InputError: it cannot be read, or is no decisions file.
        UsageError: an unknown decision; names the row.
    """
    return parse_rows(read_cells(path), path)


def parse_rows(rows: list[dict[str, Any]], path: str) -> list[Decision]:
    """Turn rows of cells into decisions; rows without one are passed over.

    Raises:
        InputError: no row has a column `decision`.
        UsageError: an unknown decision; names the row.
    """
    if rows and not any("decision" in row for row in rows):
        raise InputError(f"{path}: no column 'decision' — columns: {listed(list(rows[0]))} — expected one of {', '.join(DECISIONS)} for each decided row")
    found = []
    for number, row in enumerate(rows):
        cells = {name: text(row.get(name)) for name in (*FIELDS, "suggested")}
        if cells["decision"] is not None:
            found.append(parse_decision(cells, f"{path} row {number + 1}"))
    return found


def decisions_of(decisions: Any) -> list[Decision]:
    """Read decisions from a path, a list of dictionaries, or a data frame.

    Raises:
        InputError: the file cannot be read.
        UsageError: an unknown decision; names the row.
    """
    if isinstance(decisions, (str, os.PathLike)):
        return read_decisions(os.fspath(decisions))
    if hasattr(decisions, "to_dict"):
        decisions = decisions.to_dict("records")
    return parse_rows([dict(row) for row in decisions], "decisions")


def read_cells(path: str) -> list[dict[str, Any]]:
    """Read the rows of a file of any format as dictionaries.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    if path.lower().endswith(".xlsx"):
        return workbook_rows(path)
    source = dataclasses.replace(discovery.source_of(path, ScanOptions()), verbatim=True)
    if source.format in ("csv", "tsv") and is_only_a_header(source):
        return []
    if source.format in ("csv", "tsv"):
        try:
            table, notes = csv_reader.read_file(source, source.files[0] if source.files else None, ScanOptions(label="decision"))
        except UsageError as error:
            raise InputError(
                f"{path}: no column 'decision' — expected one of {', '.join(DECISIONS)} for each decided row, beside row, id or fingerprint"
            ) from error
        if notes.skipped:
            raise InputError(f"{path} line {notes.skipped[0].line}: {notes.skipped[0].reason} — expected one decision in each line")
    elif source.format == "jsonl":
        content = source.read()
        table = jsonl.table_of(content, path, MemoryLimit.of(None), FIELDS)
    elif source.format == "parquet":
        table = parquet.read_table(source)
    else:
        raise InputError(f"{path}: is no file of decisions — expected CSV, TSV, JSON Lines, Parquet or a workbook")
    wanted = [name for name in table.column_names if name in (*FIELDS, "suggested")] or table.column_names
    return table.select(wanted).to_pylist()


def is_only_a_header(source: Source) -> bool:
    """Tell whether a text has no more than one line: nothing has been decided yet."""
    with source.open() as stream:
        head = bytes(stream.read(1 << 16))
    return b"decision" in head and len(head.split()) == 1


def workbook_rows(path: str) -> list[dict[str, Any]]:
    """Read the first sheet of a workbook.

    Raises:
        InputError: openpyxl is not installed, or it is no workbook.
    """
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise InputError(f"{path}: openpyxl is not installed — expected it for workbooks — pip install 'zcurate[xlsx]', or save the sheet as CSV") from error
    try:
        with open(path, "rb") as file:
            rows = load_workbook(io.BytesIO(file.read()), read_only=True, data_only=True).worksheets[0].iter_rows(values_only=True)
            header = [str(name) for name in next(rows, ())]
            return [dict(zip(header, row, strict=False)) for row in rows if any(cell is not None for cell in row)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}) — expected a file of decisions") from error
    except Exception as error:
        # openpyxl raises many types for broken files.
        raise InputError(f"{path}: not a workbook ({str(error)[:80]}) — expected a file of decisions") from error


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
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def parse_decision(cells: dict[str, str | None], place: str) -> Decision:
    """Turn the cells of a row into a decision.

    Args:
        cells: of `FIELDS` and `suggested`; the decision is set.
        place: of the row, for messages.

    Raises:
        UsageError: an unknown decision, a relabel without a label, or a number that is none.
    """
    word = str(cells["decision"]).lower()
    if word not in DECISIONS:
        hint = f" — did you mean {WORDS[word]}?" if word in WORDS else did_you_mean(word, DECISIONS)
        raise UsageError(f"{place}: decision '{word[:40]}' is not known — expected {', '.join(DECISIONS[:-1])} or {DECISIONS[-1]}{hint}")
    label = cells["label"] if cells["label"] != cells["given"] else None
    label = (label or cells["suggested"]) if word == "relabel" else None
    if word == "relabel" and label is None:
        raise UsageError(f"{place}: relabel without a label — expected the right one in column 'label' — fill it in, or decide unsure")
    row, p = number_of(cells["row"]), number_of(cells["draw_probability"])
    if cells["row"] is not None and (row is None or row < 0 or row != int(row)):
        raise UsageError(f"{place}: row '{cells['row'][:40]}' is no row number — expected 0 or more")
    if cells["draw_probability"] is not None and (p is None or not 0 < p <= 1):
        raise UsageError(f"{place}: draw_probability '{cells['draw_probability'][:40]}' — expected a number above 0, at most 1")
    same = {name: cells[name] for name in ("id", "path", "fingerprint", "given", "by", "at", "note")}
    return Decision(word, label, None if row is None else int(row), **same, draw_probability=p, place=place)


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
        found[row] = dataclasses.replace(one, label=known_label(one, keys))
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
    hint = did_you_mean(one.label, list(keys.classes))
    raise UsageError(f"{one.place}: label '{one.label[:40]}' is no class — classes: {listed(list(keys.classes))}{hint}")


def describe_key(one: Decision) -> str:
    """Name the row of a decision for a message."""
    for name in ("id", "path", "row", "fingerprint"):
        if getattr(one, name) is not None:
            return f"{name} {str(getattr(one, name))[:80]}"
    return one.place


def now() -> str:
    """Return the time for the field `at`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def names_of(decisions: Sequence[Decision], always: Sequence[str] = ("decision", "label")) -> list[str]:
    """Return the columns of a file of decisions, in the order of `FIELDS`: those that any of them has."""
    used = {name for one in decisions for name in one.cells()}
    return [name for name in FIELDS if name in used or name in always]


def write_decisions(decisions: Sequence[Decision], path: str) -> None:
    """Write a decisions file: JSON Lines where the name says so, else CSV.

    Raises:
        UsageError: it cannot be written.
    """
    from zcurate.report.atomic import whole_file

    names = names_of(decisions)
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        if is_json_lines(path):
            file.writelines(json.dumps(one.cells(), ensure_ascii=False) + "\n" for one in decisions)
            return
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(one.cells() for one in decisions)


def append_decision(one: Decision, path: str) -> None:
    """Append a decision to a file and flush it to the disk; a new file gets a header.

    Raises:
        OSError: it cannot be written.
    """
    is_new = not os.path.exists(path) or os.path.getsize(path) == 0
    names = list(FIELDS) if is_new else header_of(path)
    with open(path, "a", encoding="utf-8", newline="") as file:
        if is_json_lines(path):
            file.write(json.dumps(one.cells(), ensure_ascii=False) + "\n")
        else:
            writer = csv.DictWriter(file, names, lineterminator="\n", extrasaction="ignore")
            if is_new:
                writer.writeheader()
            writer.writerow(one.cells())
        file.flush()
        os.fsync(file.fileno())


def header_of(path: str) -> list[str]:
    """Read the column names of a decisions file in CSV."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file), list(FIELDS))


def is_json_lines(path: str) -> bool:
    """Tell whether a decisions file of this name is JSON Lines."""
    return path.lower().endswith((".jsonl", ".ndjson"))
