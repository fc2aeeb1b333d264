"""How large an input is in memory, estimated before it is read: from its metadata, or from how far its beginning expands."""

from __future__ import annotations

import os

import pyarrow as pa

from zcurate.data.limits import MAX_EXPANSION, MemoryLimit
from zcurate.data.source import COMPRESSIONS, Source
from zcurate.plugins import READERS

SMALL_BYTES = 16_000_000
"""Size up to which an input is read in full rather than previewed [bytes]."""
LARGE_SHARE = 1 / 40
"""Share of the memory from which an input may not fit into it, with all that is made of it."""
HEAD_BYTES = 1 << 22
"""Bytes of text in a preview."""
ARROW_BLOCK = 1 << 16
"""Compressed bytes that Arrow reads at a time."""
READ_BYTES = 1 << 12
"""Bytes decompressed at a time; fewer are lost where a compressed head ends in the middle."""


def stored_bytes(source: Source) -> int:
    """Return the size of all files as stored [bytes]; remote files of unknown size count 0."""
    if source.content is not None:
        return len(source.content)
    if source.remote is not None:
        return sum(size or 0 for size in source.remote.sizes)
    return sum(os.path.getsize(name) for name in source.files)


def table_bytes(source: Source) -> float:
    """Estimate the memory that the rows of a table take, or their text [bytes].

    Raises:
        InputError: a file has disappeared or is broken.
    """
    measure = READERS[source.format].stream_function("table_bytes")
    if measure is not None:
        return float(sum(measure(source, name) for name in source.files or (None,)))
    stored = stored_bytes(source)
    if source.content is not None or source.remote is not None or not source.files or stored * MAX_EXPANSION <= SMALL_BYTES:
        return stored
    head, n_stored = head_of_file(source.files[0])
    return stored * len(head) / n_stored


def is_large(source: Source) -> bool:
    """Return whether a table may not fit into memory."""
    return table_bytes(source) > LARGE_SHARE * MemoryLimit.of(source.memory).n_bytes


def head_of_file(name: str) -> tuple[bytes, int]:
    """Return a file's first bytes, decompressed, and how many stored bytes they take."""
    compression = COMPRESSIONS.get(os.path.splitext(name)[1].lower())
    with open(name, "rb") as file:
        if compression is None:
            head = file.read(HEAD_BYTES)
            return head, max(1, len(head))
        compressed = file.read(HEAD_BYTES // 4)
    parts: list[bytes] = []
    raw = pa.BufferReader(compressed)
    decompressor = pa.CompressedInputStream(raw, compression)
    try:
        while len(parts) < HEAD_BYTES // READ_BYTES and (part := decompressor.read(READ_BYTES)):
            parts.append(part)
    except (OSError, pa.ArrowInvalid):
        pass  # the bytes end in the middle of the compressed stream
    head, n_read = b"".join(parts), raw.tell()
    # Where the first block that Arrow reads makes a whole head, how little of it would have done is not known.
    return head, max(1, n_read if len(head) < HEAD_BYTES or n_read > ARROW_BLOCK else len(head) // MAX_EXPANSION)
