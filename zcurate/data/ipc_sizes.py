"""How much memory the record batches of an Arrow IPC file or stream take, from their metadata alone, before Arrow allocates anything.

Reads the flatbuffers of the format (https://arrow.apache.org/docs/format/Columnar.html) as far as sizes go; what does not fit into the file is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

MAGIC = b"ARROW1"
"""First and last bytes of a file; a stream has none."""
DICTIONARY_BATCH, RECORD_BATCH = 2, 3
"""Types of messages."""
CONTINUATION = 0xFFFFFFFF
"""First four bytes of a message, but for those written before 2019."""


@dataclass(frozen=True)
class BatchSize:
    """Size of a record batch, or of a dictionary."""

    n_rows: int
    """Its rows; 0 for a dictionary."""
    n_bytes: int
    """Memory of its buffers, decompressed."""


def batch_sizes(raw: Any) -> list[BatchSize]:
    """Return the size of every batch; the position in the file is restored.

    Args:
        raw: the file or stream, which can be read at any place.

    Raises:
        ArrowInvalid: a size or place that is not in the file.
    """
    size, begin = raw.size(), raw.tell()
    try:
        raw.seek(0)
        is_file = raw.read(len(MAGIC)) == MAGIC
        found = (message_size(raw, at, size, n_metadata) for at, n_metadata in file_blocks(raw, size)) if is_file else stream_messages(raw, size)
        return [batch for batch, _ in found if batch is not None]
    except (struct.error, IndexError, OverflowError) as error:
        raise pa.ArrowInvalid("its metadata point outside of the file") from error
    finally:
        raw.seek(begin)


def stream_messages(raw: Any, size: int) -> Iterator[tuple[BatchSize | None, int]]:
    """Yield the size of each message of a stream and where it ends."""
    at = 0
    while at < size:
        batch, end = message_size(raw, at, size)
        yield batch, end
        if end <= at:
            return
        at = end


def file_blocks(raw: Any, size: int) -> list[tuple[int, int]]:
    """Return where the messages of a file begin, and how long their metadata are, from its footer."""
    tail = 4 + len(MAGIC)
    n_footer = struct.unpack("<i", read_at(raw, size - tail, tail, size)[:4])[0]
    footer = read_at(raw, size - tail - n_footer, n_footer, size)
    root = struct.unpack_from("<I", footer)[0]
    blocks: list[tuple[int, int]] = []
    for number in (2, 3):
        begin, n = vector_at(footer, field_at(footer, root, number), 24)
        blocks += [struct.unpack_from("<qi", footer, begin + 24 * k) for k in range(n)]
    return blocks


def message_size(raw: Any, at: int, size: int, n_metadata: int | None = None) -> tuple[BatchSize | None, int]:
    """Return the size of the message at a place, None if it is no batch, and where it ends; at the end of a stream, the place itself.

    Args:
        raw: the file.
        at: place.
        size: of the file.
        n_metadata: bytes before the buffers; None where they follow the metadata.
    """
    first = struct.unpack("<I", read_at(raw, at, 4, size))[0]
    begin = at + 4
    if first == CONTINUATION:
        first = struct.unpack("<I", read_at(raw, begin, 4, size))[0]
        begin += 4
    if first == 0:
        return None, at
    message = read_at(raw, begin, first, size)
    root = struct.unpack_from("<I", message)[0]
    kind_at, body_at = field_at(message, root, 1), field_at(message, root, 3)
    kind = message[kind_at] if kind_at else 0
    body = begin + first if n_metadata is None else at + n_metadata
    n_body = struct.unpack_from("<q", message, body_at)[0] if body_at else 0
    if n_body < 0 or body < begin or body + n_body > size:
        raise pa.ArrowInvalid(f"a message of {n_body} bytes ends behind the end of the file")
    if kind not in (DICTIONARY_BATCH, RECORD_BATCH):
        return None, body + n_body
    header = target_of(message, field_at(message, root, 2))
    if kind == DICTIONARY_BATCH:
        header = target_of(message, field_at(message, header, 1))
    rows_at = field_at(message, header, 0)
    n_rows = struct.unpack_from("<q", message, rows_at)[0] if rows_at and kind == RECORD_BATCH else 0
    if n_rows < 0:
        raise pa.ArrowInvalid(f"a batch of {n_rows} rows")
    return BatchSize(n_rows, buffer_bytes(raw, message, header, body, body + n_body)), body + n_body


def buffer_bytes(raw: Any, message: bytes, header: int, body: int, end: int) -> int:
    """Add up the decompressed sizes of the buffers of a batch.

    Args:
        raw: the file.
        message: its metadata.
        header: place of the batch in them.
        body: place of the buffers in the file.
        end: of the buffers.
    """
    first, n = vector_at(message, field_at(message, header, 2), 16)
    is_compressed = field_at(message, header, 3) != 0
    total = 0
    for k in range(n):
        offset, length = struct.unpack_from("<qq", message, first + 16 * k)
        if offset < 0 or length < 0 or body + offset + length > end:
            raise pa.ArrowInvalid(f"a buffer of {length} bytes ends behind the end of its batch")
        if is_compressed and length >= 8:
            declared = struct.unpack("<q", read_at(raw, body + offset, 8, end))[0]
            # -1 stands for a buffer that is not compressed.
            length = max(length, declared)
        total += length
    return total


def read_at(raw: Any, at: int, n_bytes: int, size: int) -> bytes:
    """Read some bytes.

    Raises:
        ArrowInvalid: they are not in the file.
    """
    if at < 0 or n_bytes < 0 or at + n_bytes > size:
        raise pa.ArrowInvalid(f"{n_bytes} bytes at {at} are not in the file")
    raw.seek(at)
    return bytes(raw.read(n_bytes))


def field_at(content: bytes, table: int, number: int) -> int:
    """Return the place of a field of a flatbuffers table; 0 where it has the default value."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    if vtable < 0 or table < 0:
        raise pa.ArrowInvalid("its metadata are broken")
    entry = 4 + 2 * number
    if entry + 2 > struct.unpack_from("<H", content, vtable)[0]:
        return 0
    offset: int = struct.unpack_from("<H", content, vtable + entry)[0]
    return table + offset if offset else 0


def target_of(content: bytes, place: int) -> int:
    """Return the place that the offset at a place leads to.

    Raises:
        ArrowInvalid: there is no such field.
    """
    if not place:
        raise pa.ArrowInvalid("its metadata are broken")
    return place + int(struct.unpack_from("<I", content, place)[0])


def vector_at(content: bytes, place: int, width: int) -> tuple[int, int]:
    """Return where the elements of a vector begin and how many there are; none where the field is missing.

    Raises:
        ArrowInvalid: they are not all there.
    """
    if not place:
        return 0, 0
    begin = target_of(content, place)
    n = int(struct.unpack_from("<I", content, begin)[0])
    if begin + 4 + n * width > len(content):
        raise pa.ArrowInvalid("its metadata are broken")
    return begin + 4, n
