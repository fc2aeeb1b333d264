"""Chunks of rows that fit into the cache."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_NUMBERS = 131_072
"""Numbers of one piece: 1 MB of float64, within the cache of one core."""


def chunk_slices(n: int, width: int = 1) -> Iterator[slice]:
    """Slices of n rows, one after another, of about `PIECE` numbers each.

    Args:
        n: rows.
        width: numbers per row.
    """
    step = max(1024, CHUNK_NUMBERS // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def chunk_ranges(n: int, step: int) -> Iterator[tuple[int, int]]:
    """Begin and end of runs of `step` rows, one after another.

    Args:
        n: rows.
        step: of each run; the last may be shorter.
    """
    for begin in range(0, n, step):
        yield begin, min(n, begin + step)
