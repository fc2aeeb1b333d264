"""Argilla 2: a folder that `rg.Dataset.from_disk` reads. Checked against argilla 2.8."""

from __future__ import annotations

import os
from typing import Any

from zcurate.data.thumbnails import data_uri
from zcurate.integrations.items import Item, Items
from zcurate.report.formats.json import json_text

UNKNOWN = "__cannot_tell__"
"""Value of the choice of a person who does not know."""
SIDE = 512
"""Longest side of the pictures in the records [pixels]."""


def write(items: Items, folder: str, name: str) -> list[str]:
    """Write `.argilla/dataset.json`, `.argilla/settings.json` and `records.json`.

    Args:
        items: to label.
        folder: to write into.
        name: of the folder once it is written.

    Returns:
        What to do next, in lines.
    """
    os.makedirs(os.path.join(folder, ".argilla"))
    distribution = {"strategy": "overlap", "min_submitted": 1}
    dataset = {"name": "zcurate-review", "guidelines": None, "allow_extra_metadata": True, "distribution": distribution}
    files = {
        ".argilla/dataset.json": dataset,
        ".argilla/settings.json": settings(items, distribution),
        "records.json": [record(item, items) for item in items.items],
    }
    for file_name, content in files.items():
        with open(os.path.join(folder, file_name), "w", encoding="utf-8") as file:
            file.write(json_text(content) + "\n")
    load = f"rg.Dataset.from_disk({name!r}, workspace=...)"
    return [f"load it: {load}", "save dataset.records.to_list(flatten=True) as JSON, then: zcurate decisions import FILE"]


def settings(items: Items, distribution: dict[str, Any]) -> dict[str, Any]:
    """Return the fields, questions and metadata of the dataset."""
    shown = [*(["image"] if items.root is not None else []), "given_label", *([] if items.root is not None else ["values"])]
    fields = []
    for name in shown:
        kind: dict[str, Any] = {"type": "image"} if name == "image" else {"type": "text", "use_markdown": False}
        fields.append({"name": name, "title": name.replace("_", " "), "required": name != "values", "type": kind["type"], "settings": kind})
    integer, terms, number = {"type": "integer", "min": None, "max": None}, {"type": "terms", "values": None}, {"type": "float", "min": 0, "max": 1}
    metadata = [("row", integer), ("fingerprint", terms), ("item_id", terms), ("item_path", terms), ("p_incorrect", number), ("verdict", terms)]
    return {
        "guidelines": f"Is the label '{items.label}' right? Choose the right one, or say that you cannot tell.",
        "allow_extra_metadata": True,
        "distribution": distribution,
        "mapping": None,
        "vectors": [],
        "fields": fields,
        "questions": questions(items),
        "metadata": [{"name": name, "title": name, "visible_for_annotators": name != "fingerprint", "settings": kind} for name, kind in metadata],
    }


def questions(items: Items) -> list[dict[str, Any]]:
    """Return the questions: the right class, or of a regression the right number and whether it can be told."""
    if items.classes:
        options = [{"text": name, "value": name} for name in items.classes] + [{"text": items.cannot_tell, "value": UNKNOWN}]
        return [question("label", "Which label is right?", True, options)]
    text = {"name": "value", "title": "Which number is right?", "required": False, "type": "text", "settings": {"type": "text", "use_markdown": False}}
    # The server wants two options at least.
    options = [{"text": "I can tell", "value": "can_tell"}, {"text": items.cannot_tell, "value": UNKNOWN}]
    return [text, question("can_tell", "Can you tell?", False, options)]


def question(name: str, title: str, required: bool, options: list[dict[str, str]]) -> dict[str, Any]:
    """Return a question with one choice."""
    kind = {"type": "label_selection", "options": options, "visible_options": len(options) if len(options) > 2 else None}
    return {"name": name, "title": title, "required": required, "type": "label_selection", "settings": kind}


def record(item: Item, items: Items) -> dict[str, Any]:
    """Return the record of an item."""
    fields = {"given_label": "" if item.given is None else str(item.given)}
    if items.root is not None:
        fields = {"image": data_uri(str(item.file), SIDE), **fields}
    elif item.cells:
        fields["values"] = "\n".join(f"{name}: {value}" for name, value in item.cells.items())
    known = {**item.keys(), "p_incorrect": item.p_incorrect, "verdict": item.verdict}
    known.pop("given_label", None)
    suggestions: dict[str, Any] = {}
    if item.suggested is not None:
        score = {} if item.p_suggested is None else {"score": round(item.p_suggested, 6)}
        suggestions["label" if items.classes else "value"] = {"value": str(item.suggested), **score, "agent": "zcurate"}
    metadata = {name: value for name, value in known.items() if value is not None}
    return {"id": f"zcurate-{item.row}", "fields": fields, "metadata": metadata, "suggestions": suggestions, "responses": {}, "vectors": {}}


def read_records(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers of records, as `to_list(flatten=True)` or `to_json` wrote them; drafts and discarded ones are passed over."""
    answers = []
    for one in records:
        data = {**(one.get("metadata") or one), "given_label": (one.get("fields") or one).get("given_label")}
        for choice, number, status, by in zip(*responses(one), strict=True):
            if status in (None, "submitted") and (choice is not None or number is not None):
                answers.append({"data": data, "choice": CHOICES.get(choice, choice), "number": number, "by": by, "at": None, "is_unknown": choice == UNKNOWN})
    return answers


CHOICES = {"can_tell": None}
"""Choices that mean nothing by themselves."""


def responses(one: dict[str, Any]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Return the choices, numbers, states and users of a record's responses."""
    nested, found = one.get("responses"), {}
    for name in ("label", "value", "can_tell"):
        if isinstance(nested, dict):
            entries = nested.get(name) or []
            found[name] = ([entry.get("value") for entry in entries], [entry.get("status") for entry in entries], [entry.get("user_id") for entry in entries])
        else:
            values = one.get(f"{name}.responses") or []
            states, users = (one.get(f"{name}.responses.{part}") or [None] * len(values) for part in ("status", "users"))
            found[name] = (values, states, users)
    n = max(len(values) for values, _, _ in found.values())

    def padded(values: list[Any]) -> list[Any]:
        return [*values, *[None] * (n - len(values))]

    choices = padded(found["label"][0]) if found["label"][0] else padded(found["can_tell"][0])
    longest = max(found.values(), key=lambda entry: len(entry[0]))
    return choices, padded(found["value"][0]), padded(longest[1]), padded(longest[2])
