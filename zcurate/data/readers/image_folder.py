"""Reader of an image folder: one sub-folder per class, with or without splits above or below them, or a manifest beside the pictures.

Reads every image below a class's folder, at any depth, and counts the other files. If the classes are in the file names, use a manifest instead.
"""

from __future__ import annotations

import dataclasses
import os

import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import declared_classes, images, picture_folder, picture_manifest, readers, schema
from zcurate.data.dataset import Dataset, FileNotes, InputInfo
from zcurate.data.file_names import printable
from zcurate.data.picture_folder import Listing
from zcurate.data.source import Source
from zcurate.errors import listed


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all images, classes and files in the order of their names.

    Raises:
        InputError: no image can be read, or the folders are no classes.
    """
    manifests = picture_manifest.find_manifests(source.path)
    if not manifests:
        return dataset_of(picture_folder.list_pictures(source.path), source, source.origin(), options)
    if picture_manifest.has_labels(manifests, options) or not picture_folder.has_classes(source.path):
        return read_manifests(manifests, source, options)
    data = dataset_of(picture_folder.list_pictures(source.path), source, source.origin(), options)
    note = f"{source.path}: {os.path.basename(manifests[0])} has no column of labels: the folders are the classes; --label COL names a column"
    return dataclasses.replace(data, warnings=(*data.warnings, note))


def dataset_of(listing: Listing, source: Source, origin: InputInfo, options: ScanOptions) -> Dataset:
    """Decode listed pictures.

    Args:
        listing: the rows.
        source: the folder.
        origin: its identity.
        options: of the scan.

    Raises:
        InputError: no image can be read.
    """
    decoded = images.from_paths([os.path.join(source.path, path) for path in listing.paths], source.path, source.store)
    paths = pa.array([printable(path) for path in listing.paths], pa.string())
    table = declared_classes.declare(pa.table({"path": paths, "label": pa.array(listing.labels, pa.string())}), "label", "labels are names of folders")
    with_label = dataclasses.replace(options, label="label")
    skipped = images.with_paths(decoded.skipped, paths)
    data = schema.dataset(table, origin, with_label, decoded.pixels, paths, FileNotes(skipped), os.path.abspath(source.path))
    warnings = (*data.warnings, *listing.warnings, *images.skipped_warning(skipped, len(paths)))
    splits = None if listing.splits is None else pa.array(listing.splits, pa.string())
    return dataclasses.replace(
        data, splits=splits, decoding_bytes=decoded.decoding_bytes, originals=decoded.originals, passed_over=listing.passed_over, warnings=warnings
    )


def read_manifests(manifests: tuple[str, ...], source: Source, options: ScanOptions) -> Dataset:
    """Read the pictures that manifests in the folder name.

    Args:
        manifests: their paths.
        source: the folder.
        options: of the scan.

    Raises:
        InputError: no image can be read, or there are no labels.
        UsageError: a column that does not exist.
    """
    data = readers.read(picture_manifest.source_of(manifests, source), dataclasses.replace(options, image=options.image or picture_manifest.FILE_NAME))
    splits = picture_manifest.splits_of(data)
    passed_over = picture_manifest.unlisted(data, source.path)
    warnings = list(data.warnings)
    if n := sum(passed_over.values()):
        found = f"{n} picture{'s' if n > 1 else ''} passed over: not named in {os.path.basename(manifests[0])}"
        warnings.append(f"{source.path}: {found} — expected a row for each — add rows, or ignore this")
    if splits is not None:
        warnings.append(f"{source.path}: the folders {listed(sorted(set(filter(None, splits))))} are splits: column `split` of the report names each row's")
    splits_column = None if splits is None else pa.array(splits, pa.string())
    return dataclasses.replace(data, splits=splits_column, passed_over=passed_over, warnings=tuple(warnings))
