"""What JSON text holds, before it is parsed: how deeply it is nested, and how many different keys it has.

Arrow's parser ends the process where values are nested many thousand levels deep, and gives every row a cell for every key that any row has.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np

from zcurate.data.delimited.quotes import NEWLINE, QUOTE, is_escaped
from zcurate.data.limits import MemoryLimit, check_columns
from zcurate.errors import InputError

MAX_DEPTH = 100
"""Levels of arrays and objects in each other."""
CELL_BYTES = 16
"""Memory of a cell without a value, at most, with a copy of it."""
CHUNK_BYTES = 1 << 20
"""Bytes searched at a time, in whole lines."""
COLON, BLANK = 58, 32
"""Byte values; white space is at most `BLANK`."""
LONG_KEY_BYTES = 256
"""Longer keys are hashed one by one."""
MULTIPLIER = np.uint64(secrets.randbits(64) | 1)
"""Odd factor of the hash of keys; random, so that no file can be made of keys with equal hashes."""


def check_json(content: bytes, limit: MemoryLimit, location: str) -> None:
    """Refuse text that is nested more deeply than `MAX_DEPTH`, or whose rows and keys make more cells than fit into memory.

    Brackets are counted line by line, as Arrow parses them; in a document over several lines the depth is that within each line.

    Args:
        content: UTF-8.
        limit: of the memory.
        location: name of the file, for messages.

    Raises:
        InputError: names the line that is nested too deeply, or the number of keys.
    """
    keys, n_objects = np.zeros(0, np.uint64), 0
    for begin, end in line_chunks(content):
        text = np.frombuffer(content, np.uint8, end - begin, begin)
        starts = np.concatenate([[0], np.flatnonzero(text == NEWLINE) + 1])
        quotes = np.flatnonzero(text == QUOTE)
        quotes = quotes[~is_escaped(text, quotes)]
        too_deep, n_opened = nesting(text, starts, quotes)
        if too_deep is not None:
            line = content.count(b"\n", 0, begin + too_deep) + 1
            found = f"{location} line {line}: JSON nested more than {MAX_DEPTH} levels deep"
            raise InputError(f"{found} — expected rows of values, lists and objects — flatten or remove the line")
        n_objects += n_opened
        keys = np.union1d(keys, key_hashes(text, quotes))
    check_columns(len(keys), location)
    limit.check(CELL_BYTES * n_objects * len(keys), location, f"{n_objects} objects with {len(keys)} different keys")


def line_chunks(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield the ranges of pieces of about `CHUNK_BYTES` that end at line ends; a longer line is one piece."""
    begin = 0
    while begin < len(content):
        end = content.rfind(b"\n", begin, begin + CHUNK_BYTES) + 1
        if not end:
            end = content.find(b"\n", begin + CHUNK_BYTES) + 1 or len(content)
        yield begin, end
        begin = end


def nesting(text: np.ndarray, starts: np.ndarray, quotes: np.ndarray) -> tuple[int | None, int]:
    """Find the first bracket that is nested too deeply in its line.

    Args:
        text: (n) uint8, whole lines.
        starts: (L,) of the lines.
        quotes: (Q,) quotes that begin or end text.

    Returns:
        Its position, None if there is none; and the number of objects.
    """
    folded = text & 0xDF  # makes brackets of braces: [ and { are 0x5B, ] and } are 0x5D
    brackets = np.flatnonzero((folded == 0x5B) | (folded == 0x5D))
    line = np.searchsorted(starts, brackets, side="right") - 1
    # A bracket behind an odd number of quotes of its line is text.
    n_quotes = np.searchsorted(quotes, brackets) - np.searchsorted(quotes, starts)[line]
    outside = n_quotes % 2 == 0
    brackets, line = brackets[outside], line[outside]
    depth = np.where(folded[brackets] == 0x5B, 1, -1).cumsum()
    before = np.concatenate([[0], depth])[np.searchsorted(brackets, starts)]
    too_deep = np.flatnonzero(depth - before[line] > MAX_DEPTH)
    return int(brackets[too_deep[0]]) if len(too_deep) else None, int(np.count_nonzero(text[brackets] == ord("{")))


def key_hashes(text: np.ndarray, quotes: np.ndarray) -> np.ndarray:
    """Hash the different keys, (K,) uint64.

    Args:
        text: (n) uint8, whole lines.
        quotes: (Q,) quotes that begin or end text.
    """
    padded = np.concatenate([text, np.zeros(8, np.uint8)])
    behind = padded[quotes + 1]
    ends = np.flatnonzero((behind == COLON) | (behind <= BLANK))
    ends = ends[ends > 0]
    begin, end = quotes[ends - 1] + 1, quotes[ends]
    is_long = end - begin > LONG_KEY_BYTES
    hashes = [hash(text[first:last].tobytes()) % 2**64 for first, last in zip(begin[is_long].tolist(), end[is_long].tolist(), strict=True)]
    begin, end = begin[~is_long], end[~is_long]
    words = np.ndarray((len(text) + 1,), "<u8", padded.tobytes(), strides=(1,))
    found = (end - begin).astype(np.uint64)
    at = np.arange(len(begin))
    while len(at):
        n_left = end[at] - begin[at]
        word = words[begin[at]] & np.where(n_left >= 8, ~np.uint64(0), (np.uint64(1) << (8 * np.minimum(n_left, 7)).astype(np.uint64)) - np.uint64(1))
        found[at] = (found[at] ^ word) * MULTIPLIER
        found[at] ^= found[at] >> np.uint64(29)
        begin[at] += 8
        at = at[begin[at] < end[at]]
    return np.unique(np.concatenate([np.array(hashes, np.uint64), found]))
