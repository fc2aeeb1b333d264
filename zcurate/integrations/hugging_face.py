"""Hugging Face datasets: a folder that `datasets.load_dataset` reads. Checked against datasets 5.2."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.errors import UsageError
from zcurate.integrations.items import Item, Items, missing_pictures
from zcurate.report.formats.json import json_text


def write(items: Items, folder: str, name: str) -> list[str]:
    """Write a Parquet file, or of pictures links to them and `metadata.jsonl`.

    Args:
        items: rows.
        folder: to write into.
        name: of the folder once it is written.

    Returns:
        What to do next, in lines.

    Raises:
        UsageError: a picture is missing.
    """
    if items.root is None:
        os.makedirs(os.path.join(folder, "data"))
        pq.write_table(table(items), os.path.join(folder, "data", "train-00000-of-00001.parquet"))
        return [f"load it: datasets.load_dataset({name!r}, split='train')", "fill in the column `decision`, then: zcurate decisions import FILE.parquet"]
    if missing := missing_pictures(items):
        raise UsageError(f"export: {missing[0]}: no such picture, {len(missing)} in all — expected every picture of the scan — put them back")
    lines = []
    for item in items.items:
        place = os.path.join("images", *str(item.path).split("/"))
        os.makedirs(os.path.join(folder, os.path.dirname(place)), exist_ok=True)
        os.symlink(os.path.abspath(str(item.file)), os.path.join(folder, place))
        lines.append(json_text({"file_name": place.replace(os.sep, "/"), **facts(item)}))
    with open(os.path.join(folder, "metadata.jsonl"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return [f"load it: datasets.load_dataset('imagefolder', data_dir={name!r}, split='train')", "the pictures are links to the originals"]


def facts(item: Item) -> dict[str, object]:
    """Return what is known of an item; nothing is null, as datasets would take an empty column for one of nulls."""
    known = {"row": item.row, "fingerprint": item.fingerprint, "id": item.key, "path": item.path, "given": item.given, "suggested": item.suggested}
    known |= {"p_incorrect": item.p_incorrect, "verdict": item.verdict}
    return {**{name: "" if value is None else value for name, value in known.items() if name in ALWAYS or value is not None}, "decision": "", "label": ""}


ALWAYS = ("suggested", "p_incorrect")
"""Facts of every row, empty where unknown."""


def table(items: Items) -> pa.Table:
    """Return the rows with the user's columns, then ours; names that would clash get the prefix."""
    rows = items.items
    columns: dict[str, pa.Array] = {name: pa.array([item.cells.get(name) for item in rows], pa.string()) for name in (rows[0].cells if rows else ())}
    kind = pa.string() if items.classes else pa.float64()
    own = {
        "row": pa.array([item.row for item in rows], pa.int64()),
        "fingerprint": pa.array([item.fingerprint for item in rows], pa.string()),
        "id": pa.array([item.key for item in rows], pa.string()),
        "given": pa.array([item.given for item in rows], kind),
        "suggested": pa.array([item.suggested for item in rows], kind),
        "p_incorrect": pa.array([item.p_incorrect for item in rows], pa.float64()),
        "verdict": pa.array([item.verdict for item in rows], pa.string()),
        "decision": pa.array([None] * len(rows), pa.string()),
        "label": pa.array([None] * len(rows), pa.string()),
    }
    renamed = {name if name not in own else f"data_{name}": values for name, values in columns.items()}
    return pa.table({**renamed, **own})
