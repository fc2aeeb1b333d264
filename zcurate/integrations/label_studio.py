"""Label Studio: tasks with predictions, and the labelling configuration. Checked against label-studio-sdk 2.1.

The score of a prediction is 1 - p_incorrect: uncertainty sampling asks about the lowest scores first. Tasks are written in that order too.
"""

from __future__ import annotations

import html
import json
import os
from typing import Any
from urllib.parse import quote

from zcurate.errors import UsageError
from zcurate.integrations.items import Item, Items
from zcurate.report.formats.json import json_text

MODEL = "zcurate"
"""Model version of the predictions; set it in the project's settings, so that Label Studio sorts by their score."""
URL = "/data/local-files/?d="
"""Of files that Label Studio serves from its LOCAL_FILES_DOCUMENT_ROOT."""


def write(items: Items, folder: str, name: str) -> list[str]:
    """Write `tasks.json` and `config.xml`.

    Args:
        items: to label.
        folder: to write into.
        name: of the folder once it is written.

    Returns:
        What to do next, in lines.

    Raises:
        UsageError: a class whose name an XML attribute cannot hold.
    """
    with open(os.path.join(folder, "config.xml"), "w", encoding="utf-8") as file:
        file.write(config(items))
    with open(os.path.join(folder, "tasks.json"), "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json_text(task(item, items)) for item in items.items) + "\n]\n")
    lines = ["import tasks.json into a project with the labelling interface of config.xml"]
    if items.root is not None:
        parent = os.path.dirname(os.path.abspath(items.root))
        lines.append(f"start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={parent}")
    return [*lines, "export as JSON, then: zcurate decisions import FILE"]


def config(items: Items) -> str:
    """Write the labelling configuration."""
    shown = '<Image name="item" value="$image"/>' if items.root is not None else '<Table name="item" value="$cells"/>'
    unknown = html.escape(items.cannot_tell, quote=True)
    if items.classes:
        choices = "\n    ".join(f'<Choice value="{attribute(name)}"/>' for name in items.classes)
        asked = f'<Choices name="label" toName="item" choice="single-radio" required="true">\n    {choices}\n    <Choice value="{unknown}"/>\n  </Choices>'
    else:
        asked = '<Number name="value" toName="item"/>\n  '
        asked += f'<Choices name="cannot_tell" toName="item" choice="single">\n    <Choice value="{unknown}"/>\n  </Choices>'
    return f'<View>\n  <Header value="$title"/>\n  {shown}\n  {asked}\n</View>\n'


def attribute(text: str) -> str:
    """Write a text as the value of an XML attribute.

    Raises:
        UsageError: line breaks and tabs become blanks there, other control characters are forbidden.
    """
    if any(ord(character) < 32 for character in text) or text != text.strip() or not text:
        raise UsageError(f"export: the class {text[:40]!r} cannot be a choice in Label Studio — expected no line breaks, tabs or blanks around it — rename it")
    return html.escape(text, quote=True)


def task(item: Item, items: Items) -> dict[str, Any]:
    """Return the task of an item."""
    suggestion = "" if item.suggested is None else f", suggested {item.suggested}"
    data: dict[str, Any] = {"title": f"{item.name}: {items.label} {item.given}{suggestion}", **item.keys(), "cannot_tell_choice": items.cannot_tell}
    if item.suggested is not None:
        data["suggested_label"] = item.suggested
    if item.p_incorrect is not None:
        data["p_incorrect"] = round(item.p_incorrect, 6)
    if items.root is not None:
        place = f"{os.path.basename(os.path.abspath(items.root))}/{item.path}"
        data["image"] = URL + quote(place)
    else:
        data["cells"] = item.cells or {"row": str(item.row)}
    score = 1.0 if item.p_incorrect is None else round(1 - item.p_incorrect, 6)
    return {"data": data, "predictions": [{"model_version": MODEL, "score": score, "result": result(item, items)}]}


def result(item: Item, items: Items) -> list[dict[str, Any]]:
    """Return the prediction of an item: the suggested label, else the given one; empty where there is neither."""
    label = item.given if item.suggested is None else item.suggested
    if label is None:
        return []
    if items.classes:
        value: dict[str, Any] = {"choices": [label]}
        return [{"id": f"zc{item.row}", "from_name": "label", "to_name": "item", "type": "choices", "value": value}]
    return [{"id": f"zc{item.row}", "from_name": "value", "to_name": "item", "type": "number", "value": {"number": float(label)}}]


def read_tasks(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers of an export in JSON, one for each annotation that was not skipped."""
    answers = []
    for one in tasks:
        for annotation in one.get("annotations") or one.get("completions") or ():
            if annotation.get("was_cancelled"):
                continue
            by = annotation.get("completed_by")
            by = by.get("email") if isinstance(by, dict) else by
            values = [part.get("value") or {} for part in annotation.get("result") or ()]
            choice = next((value["choices"][0] for value in values if value.get("choices")), None)
            number = next((value["number"] for value in values if value.get("number") is not None), None)
            answers.append({"data": one.get("data") or {}, "choice": choice, "number": number, "by": by, "at": annotation.get("updated_at")})
    return answers


def read_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers of an export in JSON-MIN or CSV."""
    answers = []
    for row in rows:
        choice, number = row.get("label") or row.get("cannot_tell"), row.get("value")
        if isinstance(choice, dict):
            choice = (choice.get("choices") or [None])[0]
        if isinstance(number, str) and number.startswith("["):
            number = json.loads(number)
        if isinstance(number, list):
            number = number[0].get("number") if number and isinstance(number[0], dict) else None
        if choice or number not in (None, ""):
            answers.append({"data": row, "choice": choice or None, "number": number, "by": row.get("annotator"), "at": row.get("updated_at")})
    return answers
