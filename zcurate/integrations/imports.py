"""Read people's decisions back from other tools: Label Studio (JSON, JSON-MIN, CSV), Argilla, FiftyOne, and tables with a column `decision`."""

from __future__ import annotations

import csv
import json
from typing import Any

from zcurate.errors import InputError
from zcurate.integrations import argilla, fiftyone, label_studio
from zcurate.integrations.items import CANNOT_TELL
from zcurate.report.decision_files import read_decisions
from zcurate.report.decisions import Decision, text

JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
"""Of files that are parsed as JSON here."""


def import_decisions(path: str) -> tuple[list[Decision], list[str]]:
    """Read a file of another tool, recognized by its content.

    Returns:
        The decisions, one for each row, and what the person should know.

    Raises:
        InputError: it cannot be read, or holds nothing that any of the tools wrote.
        UsageError: an unknown decision.
    """
    rows = json_rows(path) if path.lower().endswith(JSON_ENDINGS) else csv_rows(path)
    if rows is None or any("decision" in row and not is_sample(row) for row in rows):
        return read_decisions(path), []
    answers = answers_of(rows)
    if answers is None:
        known = "Label Studio (JSON, JSON-MIN, CSV), Argilla, FiftyOne, or a table with a column `decision`"
        raise InputError(f"{path}: no annotations of a known tool — expected an export of {known}")
    return merged([decision_of(answer, f"{path} answer {number + 1}") for number, answer in enumerate(answers)])


def json_rows(path: str) -> list[dict[str, Any]] | None:
    """Read the objects of a JSON file.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = file.read()
        try:
            parsed = json.loads(content)
        except ValueError:
            parsed = [json.loads(line) for line in content.splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}) — expected an export of an annotation tool") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: broken JSON ({str(error)[:80]}) — expected an export of an annotation tool") from error
    if isinstance(parsed, dict):
        parsed = parsed.get("samples", [parsed])
    rows = [row for row in parsed if isinstance(row, dict)] if isinstance(parsed, list) else []
    if not rows:
        raise InputError(f"{path}: no objects — expected an export of an annotation tool")
    return rows


def csv_rows(path: str) -> list[dict[str, Any]] | None:
    """Read a CSV of Label Studio; None for other files, which the reader of decisions takes."""
    if not path.lower().endswith(".csv"):
        return None
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            return list(reader) if "annotation_id" in (reader.fieldnames or ()) else None
    except (OSError, UnicodeError, csv.Error):
        return None


def is_sample(row: dict[str, Any]) -> bool:
    """Tell whether an object is a sample of FiftyOne."""
    return "filepath" in row


def answers_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the answers of rows, by the tool that wrote them; None for none that is known."""
    names = {name for row in rows for name in row}
    if "filepath" in names:
        return fiftyone.read_samples(rows)
    if "annotations" in names or "completions" in names:
        return label_studio.read_tasks(rows)
    if "annotation_id" in names:
        return label_studio.read_rows(rows)
    if "responses" in names or any(name.endswith(".responses") for name in names):
        return argilla.read_records(rows)
    return None


def decision_of(answer: dict[str, Any], place: str) -> Decision:
    """Turn an answer into a decision: keep where the label is the given one, unsure where the person cannot tell.

    Args:
        answer: data of the row, choice or number, who and when; or a decision `word`.
        place: for messages.
    """
    data = answer["data"]
    given = text(data.get("given_label"))
    unknown = data.get("cannot_tell_choice", CANNOT_TELL)
    choice = text(answer["choice"]) if answer["choice"] is not None else text(answer["number"])
    word = answer.get("word")
    if word is None and (answer.get("is_unknown") or (answer["choice"] is not None and choice == unknown)):
        word = "unsure"
    if word is None:
        word = "keep" if choice == given else "relabel"
    row = text(data.get("row"))
    return Decision(
        word,
        choice if word == "relabel" else None,
        row=int(row) if row is not None and row.isdigit() else None,
        id=text(data.get("item_id")),
        path=text(data.get("item_path")),
        fingerprint=text(data.get("fingerprint")),
        given=given,
        by=text(answer["by"]),
        at=text(answer["at"]),
        place=place,
    )


def merged(decisions: list[Decision]) -> tuple[list[Decision], list[str]]:
    """Keep one decision for each row; where people disagree, it is unsure, and said."""
    by_row: dict[Any, list[Decision]] = {}
    for one in decisions:
        # Rows that are alike share a fingerprint.
        by_row.setdefault((one.fingerprint, one.path, one.id, one.row), []).append(one)
    out, n_disagree = list[Decision](), 0
    for answers in by_row.values():
        settled = [one for one in answers if one.decision != "unsure"]
        if len({(one.decision, one.label) for one in settled}) > 1:
            n_disagree += 1
            note = "; ".join(f"{one.by or 'somebody'}: {one.label or one.decision}" for one in settled)
            out.append(Decision("unsure", row=settled[0].row, id=settled[0].id, path=settled[0].path, fingerprint=settled[0].fingerprint, note=note))
        else:
            out.append((settled or answers)[0])
    return out, [f"{n_disagree} rows on which people disagree are unsure — column `note` says who said what"] if n_disagree else []
