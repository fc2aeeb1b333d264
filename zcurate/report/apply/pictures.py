"""Apply changes to a folder of pictures: as a manifest, or as a new tree of copies or links. No torch."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil

import pyarrow as pa

from zcurate.data.file_names import existing
from zcurate.errors import UsageError
from zcurate.report.apply.changes import Changes, text_of
from zcurate.report.atomic import new_folder
from zcurate.report.formats.cells import column_texts


def manifest(paths: list[str | None], changes: Changes, name: str) -> bytes:
    """Write a manifest of the kept pictures: path, label, and what is added.

    Args:
        paths: (N) of the pictures, relative to their folder.
        changes: of the rows.
        name: of the file, whose ending chooses JSON Lines or CSV.
    """
    columns = {"file_name": [path or "" for path in paths], "label": [changes.label.get(row, text_of(given)) for row, given in enumerate(changes.given)]}
    columns |= {added: column_texts(pa.chunked_array([values])) for added, values in changes.added.items()}
    rows = [cells for cells, gone in zip(zip(*columns.values(), strict=True), changes.drop.tolist(), strict=True) if not gone]
    if name.lower().endswith((".jsonl", ".ndjson")):
        return "".join(json.dumps(dict(zip(columns, cells, strict=True)), ensure_ascii=False) + "\n" for cells in rows).encode()
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(list(columns))
    writer.writerows(rows)
    return stream.getvalue().encode()


def new_path(path: str, old: str, new: str) -> str:
    """Return where a picture goes whose class folder is another one: the last folder of that name in its path is replaced."""
    parts = path.split("/")
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == old:
            return "/".join([*parts[:at], new, *parts[at + 1 :]])
    return "/".join([new, parts[-1]])


def write_tree(paths: list[str | None], root: str, changes: Changes, output: str, link: bool) -> None:
    """Write the kept pictures into a new folder, each below its new class; the folder appears whole or not at all.

    Args:
        paths: (N) of the pictures, relative to `root`.
        root: their folder.
        changes: of the rows.
        output: folder to make.
        link: make symbolic links instead of copies.

    Raises:
        UsageError: the folder exists, or two pictures would have one path.
    """
    taken: dict[str, int] = {}
    with new_folder(output) as folder:
        for row, path in enumerate(paths):
            if path is None or changes.drop[row]:
                continue
            target = new_path(path, text_of(changes.given[row]), changes.label[row]) if row in changes.label else path
            check_target(target, folder, output)
            target = free_name(target, taken)
            taken[target] = row
            place = os.path.join(folder, target)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            source = existing(path, root)
            if link:
                os.symlink(os.path.abspath(source), place)
            elif os.path.isfile(source):
                shutil.copy2(source, place)


def check_target(target: str, folder: str, output: str) -> None:
    """Refuse a path that leads out of the new folder: labels and paths come from files.

    Raises:
        UsageError: it does.
    """
    place = os.path.abspath(os.path.join(folder, target))
    if os.path.commonpath([place, folder]) != folder or place == folder or "\0" in target:
        raise UsageError(f"{output}: '{target[:80]}' leads out of the folder — expected labels that can name a folder — write a manifest: -o labels.csv")


def free_name(target: str, taken: dict[str, int]) -> str:
    """Return a path that no picture has yet, with a number before its ending where it needs one."""
    stem, ending = os.path.splitext(target)
    number = 1
    while target in taken:
        number += 1
        target = f"{stem}_{number}{ending}"
    return target
