"""Chunks of rows that fit into the cache of a core."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_NUMBERS = 131_072
"""Numbers per chunk: 1 MB of float64."""


def chunk_slices(n: int, width: int = 1) -> Iterator[slice]:
    """Yield consecutive slices of n rows with about `CHUNK_NUMBERS` numbers each, but at least 1024 rows.

    Args:
        n: number of rows.
        width: numbers per row.
    """
    step = max(1024, CHUNK_NUMBERS // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def chunk_ranges(n: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of consecutive chunks of `step` rows.

    Args:
        n: number of rows.
        step: rows per chunk; the last may be shorter.
    """
    for begin in range(0, n, step):
        yield begin, min(n, begin + step)
