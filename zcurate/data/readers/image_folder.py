"""A folder of pictures with a sub-folder per class.

Sees every picture below a class's folder, at any depth; other files are passed over. Wrong when: the classes stand in the file
names; write a manifest then.
"""

from __future__ import annotations

import os

import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import images, schema
from zcurate.data.dataset import Dataset
from zcurate.data.source import Source


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all pictures, classes and files in the order of their names."""
    paths, labels = listing(source)
    found = images.from_paths([os.path.join(source.path, path) for path in paths], source.path, source.room)
    table = pa.table({"path": pa.array(paths), "label": pa.array(labels)})
    settled = ScanOptions(**{**options.__dict__, "label": "label"})
    return schema.dataset(table, source.origin(), settled, found.pixels, table.column("path").combine_chunks(), found.skipped, os.path.abspath(source.path))


def listing(source: Source) -> tuple[list[str], list[str]]:
    """Path of each picture below the folder, and its class; in the order of their names."""
    paths, labels = [], []
    for name in sorted(entry for entry in os.listdir(source.path) if os.path.isdir(os.path.join(source.path, entry))):
        for folder, folders, files in os.walk(os.path.join(source.path, name)):
            folders.sort()
            for file in sorted(files):
                if file.lower().endswith(images.ENDINGS) and not file.startswith("."):
                    paths.append(os.path.relpath(os.path.join(folder, file), source.path))
                    labels.append(name)
    return paths, labels
