"""FiftyOne: a folder that `fo.Dataset.from_dir(..., fo.types.FiftyOneDataset)` reads; pictures only. Checked against fiftyone 1.22."""

from __future__ import annotations

import os
from typing import Any

from zcurate.errors import UsageError
from zcurate.integrations.items import Item, Items
from zcurate.report.formats.json import json_text

TAGS = {"keep": "keep", "drop": "drop", "unsure": "unsure", "cannot_tell": "unsure"}
"""Tag of a sample, after `zc:`, -> decision; `zc:accept` takes the suggested label."""


def write(items: Items, folder: str, name: str) -> list[str]:
    """Write `samples.json`; the pictures stay where they are.

    Args:
        items: to label.
        folder: to write into.
        name: of the folder once it is written.

    Returns:
        What to do next, in lines.

    Raises:
        UsageError: the rows are no picture files.
    """
    if items.root is None:
        raise UsageError("export: FiftyOne shows pictures — expected a scan of picture files — for tables try --to label-studio or argilla")
    with open(os.path.join(folder, "samples.json"), "w", encoding="utf-8") as file:
        file.write(json_text({"samples": [sample(item, items) for item in items.items]}) + "\n")
    return [
        f"load it: fo.Dataset.from_dir({os.path.abspath(name)!r}, fo.types.FiftyOneDataset).sort_by('p_incorrect', reverse=True)",
        "decide by tags (zc:keep, zc:accept, zc:drop, zc:cannot_tell) or a field `decision` with the right label",
        "export(export_media=False) as fo.types.FiftyOneDataset, then: zcurate decisions import FOLDER/samples.json",
    ]


def sample(item: Item, items: Items) -> dict[str, Any]:
    """Return the sample of an item."""
    known = {"zc_row": item.row, "zc_fingerprint": item.fingerprint, "zc_path": item.path, "zc_id": item.key, "p_incorrect": item.p_incorrect}
    out: dict[str, Any] = {"filepath": os.path.abspath(str(item.file)), "tags": ["zcurate", item.verdict]}
    out |= {name: value for name, value in known.items() if value is not None}
    for name, label, confidence in (("given_label", item.given, None), ("suggested_label", item.suggested, item.p_suggested)):
        if label is not None:
            value = {"_cls": "Classification", "label": label} if items.classes else {"_cls": "Regression", "value": float(label)}
            out[name] = value if confidence is None else {**value, "confidence": round(confidence, 6)}
    return out


def read_samples(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers of samples: those with a tag of ours, a field `decision`, or an edited given label with the tag `zc:relabel`."""
    answers = []
    for one in samples:
        tags = {tag.removeprefix("zc:") for tag in one.get("tags") or () if str(tag).startswith("zc:")} | ({"cannot_tell"} & set(one.get("tags") or ()))
        data = {"row": one.get("zc_row"), "fingerprint": one.get("zc_fingerprint"), "item_path": one.get("zc_path"), "item_id": one.get("zc_id")}
        label = label_of(one.get("decision"))
        if label is None and "accept" in tags:
            label = label_of(one.get("suggested_label"))
        if label is None and "relabel" in tags:
            label = label_of(one.get("given_label"))
        word = next((TAGS[tag] for tag in sorted(tags) if tag in TAGS), None)
        if label is not None or word is not None:
            at = (one.get("last_modified_at") or {}).get("$date")
            answers.append({"data": data, "choice": label, "number": None, "by": None, "at": at, "word": word if label is None else None})
    return answers


def label_of(value: Any) -> str | None:
    """Return the label of a field: of a classification, a regression, or plain text."""
    if isinstance(value, dict):
        value = value.get("label", value.get("value"))
    return None if value is None else str(value)
