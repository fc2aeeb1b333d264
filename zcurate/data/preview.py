"""Preview of an input: the leading rows and the number of all rows, without reading all of a large input.

A small input is read in full. For a large one, Parquet and Feather state their number of rows; CSV, TSV and JSON Lines are estimated from the
bytes of the leading rows; of an image folder a few images are decoded. Wrong when later rows are much longer or shorter than the first, or
contain classes and kinds of values that the first do not.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import picture_folder, picture_manifest, readers, sizes, stream, tables
from zcurate.data.dataset import Dataset, InputInfo
from zcurate.data.readers import image_folder
from zcurate.data.reservoir import ReservoirSample
from zcurate.data.source import Source
from zcurate.errors import InputError
from zcurate.plugins import READERS

HEAD_ROWS = 20_000
"""Rows of a table in a preview."""
MAX_IMAGES = 512
"""Images of a folder in a preview, about."""


@dataclass(frozen=True)
class Preview:
    """A sample of an input's rows that stands for all of them."""

    data: Dataset
    """Roles, task and values of the sampled rows; its `n_rows` counts the whole input."""
    exact: bool
    """The number of rows is exact, not estimated."""


def preview_input(source: Source, options: ScanOptions) -> Preview:
    """Preview an input.

    Args:
        source: the input.
        options: column roles and task.

    Raises:
        InputError: it is not what it claims to be.
        UsageError: a column that does not exist.
    """
    reader = READERS[source.format]
    preview = preview_text if reader.is_text else preview_folder if source.format == "folder" else None
    if preview is None and reader.stream_function("n_rows") is not None:
        preview = preview_parts
    result = None
    has_cheap_head = source.content is None and (source.remote is None or preview is preview_parts)
    if preview is not None and has_cheap_head and (source.format == "folder" or sizes.table_bytes(source) > sizes.SMALL_BYTES):
        try:
            result = preview(source, options)
        except InputError:
            # The leading rows alone may lack a class or a label; all of them tell what is really wrong.
            if reader.streams and sizes.is_large(source):
                result = preview_spread(source, options)
    return result or Preview(readers.read(source, options), True)


def preview_parts(source: Source, options: ScanOptions) -> Preview | None:
    """Preview the leading rows of a table whose files state their number of rows; None if one does not."""
    counts = stream.row_counts(source)
    if any(count is None for count in counts):
        return None
    total = sum(count or 0 for count in counts)
    n_read, head = 0, []
    for batch in stream.batches(source, rows_per_batch=HEAD_ROWS):
        head.append(batch)
        n_read += batch.num_rows
        if n_read >= HEAD_ROWS:
            break
    table = pa.Table.from_batches(head).slice(0, HEAD_ROWS)
    return scaled_to(tables.dataset(table, InputInfo(source.path, source.format, sizes.stored_bytes(source)), options), total, True)


def preview_text(source: Source, options: ScanOptions) -> Preview | None:
    """Preview the leading lines and estimate the number of all from their bytes; None for a JSON array and for text without line ends."""
    first = source.files[0]
    head, n_stored = sizes.head_of_file(first)
    end = head.rfind(b"\n") + 1
    if end == 0 or head.lstrip()[:1] == b"[":
        return None
    ratio = len(head) / n_stored
    sample = readers.read(dataclasses.replace(source, path=first, files=(), content=head[:end]), options)
    total = round(sizes.stored_bytes(source) * ratio * sample.n_rows / end)
    sample = dataclasses.replace(sample, origin=InputInfo(source.path, source.format, sizes.stored_bytes(source)))
    return scaled_to(sample, max(total, sample.n_rows), False)


def preview_spread(source: Source, options: ScanOptions) -> Preview:
    """Preview rows drawn from all of a table that is read batch by batch, and count all.

    Args:
        source: the input.
        options: column roles and task.

    Raises:
        InputError: no usable labels, or a broken file.
    """
    drawn, rng, total = ReservoirSample(HEAD_ROWS), np.random.default_rng(0), 0
    for batch in stream.batches(source):
        drawn.add(pa.Table.from_batches([batch]), rng)
        total += batch.num_rows
    if not total:
        raise InputError(f"{source.path}: no rows — expected a header and data — is this the right file?")
    return scaled_to(tables.dataset(drawn.table(), InputInfo(source.path, source.format, sizes.stored_bytes(source)), options), total, True)


def preview_folder(source: Source, options: ScanOptions) -> Preview | None:
    """Preview evenly spaced images of a folder and count all; None for a small folder, and for one with manifests."""
    if picture_manifest.find_manifests(source.path):
        return None
    listing = picture_folder.list_pictures(source.path)
    total = len(listing.paths)
    step = max(1, total // MAX_IMAGES)
    if step == 1:
        return None
    n_bytes = sum(os.path.getsize(path) for name in listing.paths if os.path.isfile(path := os.path.join(source.path, name)))
    splits = None if listing.splits is None else listing.splits[::step]
    some = dataclasses.replace(listing, paths=listing.paths[::step], labels=listing.labels[::step], splits=splits)
    return scaled_to(image_folder.dataset_of(some, source, InputInfo(source.path, "folder", n_bytes), options), total, True)


def scaled_to(sample: Dataset, n_rows: int, exact: bool) -> Preview:
    """Let a sample stand for `n_rows` rows."""
    return Preview(dataclasses.replace(sample, n_total_rows=n_rows), exact)
