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
from zcurate.data.dataset import Dataset, InputInfo
from zcurate.data.readers import image_folder, row_counts
from zcurate.data.readers import read as read_whole
from zcurate.data.source import COMPRESSIONS, Source
from zcurate.errors import InputError
from zcurate.plugins import READERS

SMALL_BYTES = 16_000_000
"""Bytes up to which an input is simply read."""
HEAD_BYTES = 1 << 22
"""Bytes of text that are looked at."""
HEAD_ROWS = 20_000
"""Rows of a table that are looked at."""
FEW_PICTURES = 512


@dataclass(frozen=True)
class Preview:
    """Some rows of an input, taken for all of them."""

    data: Dataset
    """Roles, task and values of some rows; its `n_rows` are those of the whole input."""
    exact: bool
    """The number of rows is known, not estimated."""
    n_looked: int
    """Rows that were looked at."""


def preview_input(source: Source, options: ScanOptions) -> Preview:
    """Look at an input.

    Args:
        source: where it is.
        options: column roles and task.

    Raises:
        InputError: it is not what it claims to be.
        UsageError: a column that is not there.
    """
    reader, look = READERS[source.format], None
    if reader.is_text or source.format == "folder":
        look = preview_text if reader.is_text else preview_folder
    elif reader.stream_function("n_rows") is not None:
        look = preview_parts
    found = None
    near = source.content is None and (source.remote is None or look is preview_parts)
    if look is not None and near and (source.format == "folder" or input_bytes(source) > SMALL_BYTES):
        try:
            found = look(source, options)
        except InputError:
            found = None  # the first rows alone may lack a class or a label; the whole input then says what is wrong, or is fine
    if found is None:
        whole = read_whole(source, options)
        found = Preview(whole, True, whole.n_rows)
    return found


def input_bytes(source: Source) -> int:
    """Bytes of all files, as they lie there; of files afar as far as that is told."""
    if source.remote is not None:
        return sum(size or 0 for size in source.remote.sizes)
    return sum(os.path.getsize(name) for name in source.files)


def preview_parts(source: Source, options: ScanOptions) -> Preview | None:
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
    return scaled_to(tables.dataset(table, InputInfo(source.path, source.format, input_bytes(source)), options), total, True)


def preview_text(source: Source, options: ScanOptions) -> Preview | None:
    """The first lines, and by their bytes how many there are; None for a JSON array and for text without line ends."""
    first = source.files[0]
    head, packed = head_of_file(first)
    end = head.rfind(b"\n") + 1
    if end == 0 or head.lstrip()[:1] == b"[":
        return None
    ratio = len(head) / packed
    some = read_whole(dataclasses.replace(source, path=first, files=(), content=head[:end]), options)
    total = round(input_bytes(source) * ratio * some.n_rows / end)
    some = dataclasses.replace(some, origin=InputInfo(source.path, source.format, input_bytes(source)))
    return scaled_to(some, max(total, some.n_rows), False)


def head_of_file(name: str) -> tuple[bytes, int]:
    """A file's first bytes, decompressed, and how many bytes of the file they took."""
    kind = COMPRESSIONS.get(os.path.splitext(name)[1].lower())
    with open(name, "rb") as file:
        if kind is None:
            head = file.read(HEAD_BYTES)
            return head, len(head)
        packed = file.read(HEAD_BYTES // 4)
    parts, stream = [], pa.CompressedInputStream(pa.BufferReader(packed), kind)
    try:
        while part := stream.read(1 << 12):
            parts.append(part)
    except (OSError, pa.ArrowInvalid):
        pass  # the end of what was taken is no end of a compressed stream
    return b"".join(parts), len(packed)


def preview_folder(source: Source, options: ScanOptions) -> Preview | None:
    """A few pictures of each class's folder, and the number of all."""
    paths, labels = image_folder.listing(source)
    step = max(1, len(paths) // FEW_PICTURES)
    if step == 1:
        return None
    paths, labels, total = paths[::step], labels[::step], len(paths)
    found = images.from_paths([os.path.join(source.path, path) for path in paths], source.path)
    table = pa.table({"path": pa.array(paths), "label": pa.array(labels)})
    settled = dataclasses.replace(options, label="label")
    some = schema.dataset(table, InputInfo(source.path, "folder"), settled, found.pixels, table.column("path").combine_chunks(), found.skipped)
    return scaled_to(some, total, True)


def scaled_to(data: Dataset, n_rows: int, exact: bool) -> Preview:
    """Some rows, taken for `n_rows` rows."""
    return Preview(dataclasses.replace(data, n_in_all=n_rows), exact, len(data.given))
