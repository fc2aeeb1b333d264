"""Reader of an image folder with one sub-folder per class.

Reads every image below a class's folder, at any depth; other files are ignored. If the classes are in the file names, use a manifest instead.
"""

from __future__ import annotations

import os

import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import images, schema
from zcurate.data.dataset import Dataset, FileNotes
from zcurate.data.source import Source


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all images, classes and files in the order of their names.

    Raises:
        InputError: no image can be read.
    """
    paths, labels = list_images(source)
    decoded = images.from_paths([os.path.join(source.path, path) for path in paths], source.path, source.store)
    table = pa.table({"path": pa.array(paths), "label": pa.array(labels)})
    with_label = ScanOptions(**{**options.__dict__, "label": "label"})
    root = os.path.abspath(source.path)
    return schema.dataset(table, source.origin(), with_label, decoded.pixels, table.column("path").combine_chunks(), FileNotes(decoded.skipped), root)


def list_images(source: Source) -> tuple[list[str], list[str]]:
    """Return the path of each image relative to the folder, and its class, in the order of their names."""
    paths, labels = [], []
    for name in sorted(entry for entry in os.listdir(source.path) if os.path.isdir(os.path.join(source.path, entry))):
        for folder, folders, files in os.walk(os.path.join(source.path, name)):
            folders.sort()
            for file in sorted(files):
                if file.lower().endswith(images.EXTENSIONS) and not file.startswith("."):
                    paths.append(os.path.relpath(os.path.join(folder, file), source.path))
                    labels.append(name)
    return paths, labels
