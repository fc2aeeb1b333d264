"""A first look at an input: enough of its rows to tell what they are, and how many there are, without reading all of a large one.

Leaves: `Glimpse`. Enters: a `Source`. A small input is read as a whole. Of a large one Parquet and Feather tell their rows exactly; CSV, TSV and
JSON Lines are measured by the bytes of their first rows; of a folder of pictures a few are decoded. Wrong when: later rows are much longer or
shorter than the first, or hold classes and kinds of values that the first do not.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import images, schema, stream, tables
from zcurate.data.dataset import Dataset, Origin
from zcurate.data.readers import image_folder, row_counts
from zcurate.data.readers import read as read_whole
from zcurate.data.source import COMPRESSIONS, Source
from zcurate.errors import InputError

SMALL = 16_000_000
"""Bytes up to which an input is simply read."""
HEAD = 1 << 22
"""Bytes of text that are looked at."""
HEAD_ROWS = 20_000
"""Rows of a table that are looked at."""
FEW_PICTURES = 512


@dataclass(frozen=True)
class Glimpse:
    """Some rows of an input, taken for all of them."""

    data: Dataset
    """Roles, task and values of some rows; its `n_rows` are those of the whole input."""
    exact: bool
    """The number of rows is known, not estimated."""
    n_looked: int
    """Rows that were looked at."""


def glimpse(source: Source, options: ScanOptions) -> Glimpse:
    """Look at an input.

    Args:
        source: where it is.
        options: column roles and task.

    Raises:
        InputError: it is not what it claims to be.
        UsageError: a column that is not there.
    """
    look = {"csv": of_text, "tsv": of_text, "jsonl": of_text, "parquet": of_parts, "feather": of_parts, "folder": of_folder}.get(source.format)
    found = None
    near = source.content is None and (source.remote is None or look is of_parts)
    if look is not None and near and (source.format == "folder" or n_bytes_of(source) > SMALL):
        try:
            found = look(source, options)
        except InputError:
            found = None  # the first rows alone may lack a class or a label; the whole input then says what is wrong, or is fine
    if found is None:
        whole = read_whole(source, options)
        found = Glimpse(whole, True, whole.n_rows)
    return found


def n_bytes_of(source: Source) -> int:
    """Bytes of all files, as they lie there; of files afar as far as that is told."""
    if source.remote is not None:
        return sum(size or 0 for size in source.remote.sizes)
    return sum(os.path.getsize(name) for name in source.files)


def of_parts(source: Source, options: ScanOptions) -> Glimpse | None:
    """The first rows of a table whose files tell how many they hold; None where one does not."""
    counts = row_counts(source)
    if any(count is None for count in counts):
        return None
    total = sum(count or 0 for count in counts)
    batches, n_had, some = stream.batches(source, rows_per_batch=HEAD_ROWS), 0, []
    for batch in batches:
        some.append(batch)
        n_had += batch.num_rows
        if n_had >= HEAD_ROWS:
            break
    table = pa.Table.from_batches(some).slice(0, HEAD_ROWS)
    return counted(tables.dataset(table, Origin(source.path, source.format, n_bytes_of(source)), options), total, True)


def of_text(source: Source, options: ScanOptions) -> Glimpse | None:
    """The first lines, and by their bytes how many there are; None for a JSON array and for text without line ends."""
    first = source.files[0]
    head, packed = opening_of(first)
    end = head.rfind(b"\n") + 1
    if end == 0 or head.lstrip()[:1] == b"[":
        return None
    ratio = len(head) / packed
    some = read_whole(dataclasses.replace(source, path=first, files=(), content=head[:end]), options)
    total = round(n_bytes_of(source) * ratio * some.n_rows / end)
    some = dataclasses.replace(some, origin=Origin(source.path, source.format, n_bytes_of(source)))
    return counted(some, max(total, some.n_rows), False)


def opening_of(name: str) -> tuple[bytes, int]:
    """A file's first bytes, decompressed, and how many bytes of the file they took."""
    kind = COMPRESSIONS.get(os.path.splitext(name)[1].lower())
    with open(name, "rb") as file:
        if kind is None:
            head = file.read(HEAD)
            return head, len(head)
        packed = file.read(HEAD // 4)
    parts, stream = [], pa.CompressedInputStream(pa.BufferReader(packed), kind)
    try:
        while part := stream.read(1 << 12):
            parts.append(part)
    except (OSError, pa.ArrowInvalid):
        pass  # the end of what was taken is no end of a compressed stream
    return b"".join(parts), len(packed)


def of_folder(source: Source, options: ScanOptions) -> Glimpse | None:
    """A few pictures of each class's folder, and the number of all."""
    paths, labels = image_folder.listing(source)
    step = max(1, len(paths) // FEW_PICTURES)
    if step == 1:
        return None
    paths, labels, total = paths[::step], labels[::step], len(paths)
    found = images.from_paths([os.path.join(source.path, path) for path in paths], source.path)
    table = pa.table({"path": pa.array(paths), "label": pa.array(labels)})
    settled = dataclasses.replace(options, label="label")
    some = schema.dataset(table, Origin(source.path, "folder"), settled, found.pixels, table.column("path").combine_chunks(), found.skipped)
    return counted(some, total, True)


def counted(data: Dataset, n_rows: int, exact: bool) -> Glimpse:
    """Some rows, taken for `n_rows` rows."""
    return Glimpse(dataclasses.replace(data, n_in_all=n_rows), exact, len(data.given))
