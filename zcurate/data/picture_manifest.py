"""Hugging Face's manifests inside a folder of pictures: `metadata.csv`, `.jsonl` or `.parquet` with a column `file_name`."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter

from zcurate.config.options import ScanOptions
from zcurate.data import folder_tree, picture_folder, splits
from zcurate.data.dataset import Dataset
from zcurate.data.schema import USUAL_LABELS
from zcurate.data.source import Source
from zcurate.errors import InputError, listed

FORMATS = {"metadata.csv": "csv", "metadata.jsonl": "jsonl", "metadata.parquet": "parquet"}
"""File name -> reader."""
FILE_NAME = "file_name"
"""Column of paths relative to the manifest's own folder."""
MAX_HEAD_BYTES = 1 << 20
"""Bytes of a manifest searched for its columns."""


def find_manifests(root: str) -> tuple[str, ...]:
    """Return the manifest in a folder, else those in its sub-folders; empty if there is none.

    Args:
        root: path of the folder.
    """
    found: dict[folder_tree.Parts, str] = {}
    for file in folder_tree.walk(root).all_files():
        path = os.path.join(root, file.path)
        if file.name.lower() in FORMATS and file.folder not in found and FILE_NAME in columns_of(path):
            found[file.folder] = path
    return (found[()],) if () in found else tuple(found.values())


def format_of(path: str) -> str:
    """Return the reader of a manifest."""
    return FORMATS[os.path.basename(path).lower()]


def columns_of(path: str) -> list[str]:
    """Return the columns of a manifest; none for a file that is not what its name says."""
    try:
        if format_of(path) == "parquet":
            import pyarrow.parquet as pq

            with open(path, "rb") as content:
                return list(pq.read_schema(content).names)
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            line = next((line for line in iter(lambda: file.readline(MAX_HEAD_BYTES), "") if line.strip()), "")
        if format_of(path) == "jsonl":
            return list(json.loads(line))
        delimiter = max(",;\t|", key=line.count)
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    except (OSError, ValueError, TypeError, csv.Error):
        return []


def has_labels(manifests: tuple[str, ...], options: ScanOptions) -> bool:
    """Return whether manifests have a column of labels.

    Args:
        manifests: their paths, at least one.
        options: `label`.
    """
    names = columns_of(manifests[0])
    return options.label in names if options.label is not None else any(name.strip().lower() in USUAL_LABELS for name in names)


def source_of(manifests: tuple[str, ...], folder: Source) -> Source:
    """Return the source of manifests as a table.

    Args:
        manifests: their paths, at least one.
        folder: the folder of pictures.

    Raises:
        InputError: they are of different formats.
    """
    kinds = {format_of(path) for path in manifests}
    if len(kinds) > 1:
        raise InputError(f"{folder.path}: manifests of different formats, {listed(manifests, 4)} — expected one format — convert them to one")
    (kind,) = kinds
    return Source(folder.path, manifests, kind, verbatim=folder.verbatim, base=folder.path, store=folder.store, original=folder, is_manifest=True)


def splits_of(data: Dataset) -> list[str | None] | None:
    """Return the split that each row's path names; None if none does.

    Args:
        data: rows with paths.
    """
    paths = [] if data.paths is None else data.paths.to_pylist()
    found = [None if path is None else splits.split_of_path(path) for path in paths]
    return found if any(found) else None


def unlisted(data: Dataset, root: str) -> dict[str, int]:
    """Count the pictures of a folder that no row of its manifests names, by ending.

    Args:
        data: rows of the manifests.
        root: path of the folder.
    """
    named = {os.path.normpath(path) for path in ([] if data.paths is None else data.paths.to_pylist()) if path}
    pictures, _ = picture_folder.sort_files(folder_tree.walk(root))
    return dict(Counter(picture_folder.ending_key(file.name) for file in pictures if os.path.normpath(file.path) not in named))
