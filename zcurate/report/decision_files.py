"""Read and write files of decisions: CSV or JSON Lines; lists that were filled in are read from TSV, JSON, Parquet and workbooks too. No torch."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import json
import os
from collections.abc import Sequence
from typing import Any

from zcurate.config.options import ScanOptions
from zcurate.data import discovery, remote
from zcurate.data.limits import MemoryLimit
from zcurate.data.readers import csv as csv_reader
from zcurate.data.readers import jsonl, parquet
from zcurate.data.source import Source
from zcurate.errors import InputError, UsageError, did_you_mean, listed
from zcurate.report.atomic import check_place, whole_file
from zcurate.report.decisions import DECISIONS, FIELDS, Decision, number_of, text
from zcurate.report.schema import ENDING

WORDS = dict.fromkeys(("ok", "right", "correct", "clean", "yes"), "keep") | dict.fromkeys(("wrong", "fix", "change"), "relabel")
WORDS |= dict.fromkeys(("delete", "remove", "exclude"), "drop") | dict.fromkeys(("cannot tell", "skip", "?", "unknown"), "unsure")
"""Other words that people write -> what was meant, for messages."""


def file_beside(report: str) -> str:
    """Return the path of the decisions file of a report: beside it, for a remote one in the current folder.

    Args:
        report: path or address of the report.
    """
    name = os.path.basename(report.rstrip("/")) if remote.is_remote(report) else report.rstrip("/")
    return f"{name.removesuffix(ENDING)}.decisions.csv"


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
    rows = [{str(name).strip().lower() if str(name).strip().lower() in (*FIELDS, "suggested") else name: cell for name, cell in row.items()} for row in rows]
    if rows and not any("decision" in row for row in rows):
        raise InputError(f"{path}: no column 'decision' — columns: {listed(list(rows[0]))} — expected one of {', '.join(DECISIONS)} for each decided row")
    found = []
    for number, row in enumerate(rows):
        cells = {name: text(row.get(name)) for name in (*FIELDS, "suggested")}
        if cells["decision"] is not None:
            found.append(parse_decision(cells, f"{path} entry {number + 1}"))
        elif cells["label"] is not None and cells["given"] is not None and cells["label"] != cells["given"]:
            raise UsageError(f"{path} entry {number + 1}: a label without a decision — expected relabel in column 'decision' — or no label")
    return found


def decisions_of(decisions: Any) -> list[Decision]:
    """Read decisions from a path, a list of dictionaries, or a data frame.

    Raises:
        InputError: the file cannot be read.
        UsageError: an unknown decision; names the row.
    """
    if decisions is None or isinstance(decisions, (dict, bytes, int)):
        raise UsageError(f"decisions: {type(decisions).__name__} — expected the path of a file, a list of dictionaries, or a data frame")
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
    if not os.path.isfile(path) and not discovery.has_pattern(path) and "://" not in path:
        raise InputError(f"{path}: no such file — expected a file of decisions: CSV, JSON Lines, or a list that was filled in")
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
    if word == "keep" and label is not None and cells["given"] is not None:
        raise UsageError(f"{place}: keep, but the label is '{label[:40]}' where '{cells['given'][:40]}' is given — expected relabel, or no label")
    label = (label or cells["suggested"]) if word == "relabel" else None
    row, p = number_of(cells["row"]), number_of(cells["draw_probability"])
    if cells["row"] is not None and (row is None or row < 0 or row != int(row)):
        raise UsageError(f"{place}: row '{cells['row'][:40]}' is no row number — expected 0 or more")
    if cells["draw_probability"] is not None and (p is None or not 0 < p <= 1):
        raise UsageError(f"{place}: draw_probability '{cells['draw_probability'][:40]}' — expected a number above 0, at most 1")
    same = {name: cells[name] for name in ("id", "path", "fingerprint", "given", "by", "at", "note")}
    return Decision(word, label, None if row is None else int(row), **same, draw_probability=p, place=place)


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
    names = names_of(decisions)
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        if is_json_lines(path):
            file.writelines(json.dumps(one.cells(), ensure_ascii=False) + "\n" for one in decisions)
            return
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(one.cells() for one in decisions)


def check_appendable(path: str) -> None:
    """Refuse a file that answers cannot be appended to, before the first is given; an unfinished last line is ended.

    Raises:
        UsageError: it cannot be written, or is neither CSV with commas in UTF-8 nor JSON Lines.
    """
    check_place(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise UsageError(f"{path}: cannot be written — expected a file that you may write to — name another with --decisions")
    if not os.path.exists(path) or not os.path.getsize(path):
        return
    with open(path, "rb") as file:
        content = file.read()
    first = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].strip()
    fits = first.startswith(b"{") if is_json_lines(path) else "decision" in next(csv.reader([first.decode("utf-8", "replace")]), [])
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        fits = False
    if not fits:
        advice = f"zcurate decisions import {path} -o NEW.csv makes one"
        raise UsageError(f"{path}: answers cannot be appended to it — expected CSV with commas in UTF-8, or JSON Lines — {advice}")
    if not content.endswith(b"\n"):
        with open(path, "ab") as file:
            file.write(b"\n")


def append_decision(one: Decision, path: str) -> None:
    """Append a decision to a file and flush it to the disk; a new file gets a header.

    Raises:
        OSError: it cannot be written.
    """
    is_new = not os.path.exists(path) or os.path.getsize(path) == 0
    names, end = (list(FIELDS), "\n") if is_new else header_of(path)
    with open(path, "a", encoding="utf-8", newline="") as file:
        if is_json_lines(path):
            file.write(json.dumps(one.cells(), ensure_ascii=False) + "\n")
        else:
            writer = csv.DictWriter(file, names, lineterminator=end, extrasaction="ignore")
            if is_new:
                writer.writeheader()
            writer.writerow(one.cells())
        file.flush()
        os.fsync(file.fileno())


def header_of(path: str) -> tuple[list[str], str]:
    """Read the column names and the line end of a decisions file in CSV."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        line = file.readline()
    return next(csv.reader([line]), list(FIELDS)), "\r\n" if line.endswith("\r\n") else "\n"


def is_json_lines(path: str) -> bool:
    """Tell whether a decisions file of this name is JSON Lines."""
    return path.lower().endswith((".jsonl", ".ndjson"))
