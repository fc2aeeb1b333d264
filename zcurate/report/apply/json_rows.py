"""Change JSON Lines, or an array of objects, in place: only replaced labels, dropped rows and added members differ. No torch."""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from zcurate.errors import InputError
from zcurate.report.apply.changes import Changes, text_of

BLANK = re.compile(r"[ \t\n\r]*")
"""Matches what may stand between the parts of JSON."""
DECODER = json.JSONDecoder()


def json_edits(text: str, label: str, changes: Changes, location: str) -> list[tuple[int, int, str]]:
    """List the edits that make the changes, in order, as (first character, character behind the last, new text).

    Args:
        text: of the file.
        label: key of the label.
        changes: of its rows.
        location: name of the file, for messages.

    Raises:
        InputError: its objects are not the rows that were scanned.
    """
    spans = object_spans(text, location)
    if len(spans) == 1 != changes.n_rows:
        raise InputError(
            f"{location}: is one document, not an object for each row — expected JSON Lines or an array of objects — name an output ending in .parquet"
        )
    if len(spans) != changes.n_rows:
        raise InputError(f"{location}: {len(spans)} objects where {changes.n_rows} rows were scanned — expected the file as it was scanned")
    written = labels_as_written(text, spans, label, set(changes.label.values()), changes)
    is_array = text[skip(text, 0) :][:1] == "["
    columns, edits = {name: values.to_pylist() for name, values in changes.added.items()}, list[tuple[int, int, str]]()
    last_kept = max((row for row in range(len(spans)) if not changes.drop[row]), default=-1)
    for row, (begin, end) in enumerate(spans):
        if is_array and row > last_kept >= 0:
            # From the end of the last object on: the comma before a dropped object goes too.
            edits.append((spans[last_kept][1], spans[-1][1], ""))
            break
        if changes.drop[row]:
            edits.append((begin, behind_dropped(text, end, is_array), ""))
            continue
        if row in changes.label and changes.given[row] is None and not has_key(text, begin, label):
            edits.append((end - 1, end - 1, f", {json.dumps(label, ensure_ascii=False)}: {written[changes.label[row]]}"))
        elif row in changes.label:
            edits.append((*value_span(text, begin, label), written[changes.label[row]]))
        if columns:
            members = ", ".join(f"{json.dumps(name)}: {json.dumps(values[row], ensure_ascii=False)}" for name, values in columns.items())
            edits.append((end - 1, end - 1, f", {members}"))
    return edits


def behind_dropped(text: str, end: int, is_array: bool) -> int:
    """Return the place behind a dropped object and what separates it from the next one."""
    match = re.compile(r"[ \t]*,[ \t]*\r?\n?[ \t]*" if is_array else r"[ \t]*\r?\n?").match(text, end)
    return match.end() if match else end


def object_spans(text: str, location: str) -> list[tuple[int, int]]:
    """Find the objects of an array, or of lines: (first character, character behind) of each.

    Raises:
        InputError: there is something else.
    """
    place = skip(text, 0)
    is_array = text[place : place + 1] == "["
    place, spans = place + is_array, list[tuple[int, int]]()
    while True:
        place = skip(text, place)
        if place >= len(text) or (is_array and text[place] == "]"):
            return spans
        if is_array and text[place] == ",":
            place += 1
            continue
        if text[place] != "{":
            raise InputError(f"{location}: is one document, not a row for each object — expected JSON Lines or an array of objects — try -o with .parquet")
        end = DECODER.raw_decode(text, place)[1]
        spans.append((place, end))
        place = end


def skip(text: str, place: int) -> int:
    """Return the next place that is not blank."""
    match = BLANK.match(text, place)
    return match.end() if match else place


def value_span(text: str, begin: int, key: str) -> tuple[int, int]:
    """Find the value of a key in an object: (first character, character behind); of a repeated key the last, as parsers take it.

    Raises:
        InputError: there is no such key.
    """
    place, found = skip(text, begin + 1), None
    while text[place] == '"':
        name, place = scanstring(text, place + 1)
        place = skip(text, skip(text, place) + 1)
        end = DECODER.raw_decode(text, place)[1]
        if name == key:
            found = (place, end)
        place = skip(text, end)
        if text[place] != ",":
            break
        place = skip(text, place + 1)
    if found is None:
        raise InputError(f"the object at character {begin} has no '{key}' — expected one in each row whose label is replaced")
    return found


def has_key(text: str, begin: int, key: str) -> bool:
    """Tell whether an object has a key."""
    try:
        value_span(text, begin, key)
    except InputError:
        return False
    return True


def labels_as_written(text: str, spans: list[tuple[int, int]], label: str, wanted: set[str], changes: Changes) -> dict[str, str]:
    """Return how the file writes labels, from rows that carry them: a number stays a number."""
    written: dict[str, str] = {}
    for (begin, _), given in zip(spans, changes.given, strict=True):
        name = text_of(given)
        if given is not None and name in wanted and name not in written:
            at, behind = value_span(text, begin, label)
            written[name] = text[at:behind]
            if len(written) == len(wanted):
                break
    sample = next((value_of(text, begin, label) for (begin, _), given in zip(spans, changes.given, strict=True) if given is not None), "")
    for name in wanted - written.keys():
        written[name] = json.dumps(name, ensure_ascii=False) if isinstance(sample, str) or not is_plain(name) else name
    return written


def is_plain(text: str) -> bool:
    """Tell whether a text is a number, true or false in JSON."""
    try:
        return isinstance(json.loads(text), (int, float))
    except ValueError:
        return False


def value_of(text: str, begin: int, key: str) -> Any:
    """Return the value of a key in an object."""
    at, behind = value_span(text, begin, key)
    return json.loads(text[at:behind])
