"""Edits of bytes, and how they are taken back."""

from __future__ import annotations

from collections.abc import Sequence

Edit = tuple[int, int, bytes]
"""First byte that is replaced, the byte behind the last one, and what takes their place."""


def edited(content: bytes, edits: Sequence[Edit]) -> bytes:
    """Return bytes with edits.

    Args:
        content: bytes.
        edits: in order, not overlapping.
    """
    parts, place = list[bytes](), 0
    for begin, end, new in edits:
        parts += [content[place:begin], new]
        place = end
    return b"".join([*parts, content[place:]])


def inverse(content: bytes, edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits that take edits back.

    Args:
        content: the bytes before them.
        edits: in order, not overlapping.
    """
    out, shift = list[Edit](), 0
    for begin, end, new in edits:
        out.append((begin + shift, begin + shift + len(new), content[begin:end]))
        shift += len(new) - (end - begin)
    return out
