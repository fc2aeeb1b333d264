"""Exact copies: rows with the same inputs, which must be held out together, as each gives away the other's label.

In data of few columns with few values, rows are equal by chance, and each has a label of its own. Such rows are evidence about each other and
are not held together. Two rules tell these apart, both by the inputs alone:

- A combination of values that more than a thirtieth of the rows share (`MAX_SHARE`) is common, not copied; to hold all its rows out together would leave
  nothing to judge them by.
- Rows that are equal by chance have many neighbors that differ in one block of columns only. With N pairs of rows that agree in all columns but
  those of a block, and a share k of all pairs that agree in the block, N k / (1 - k) pairs agree in all columns by chance. Rows are copies if there
  are more than `MIN_EXCESS` times as many equal pairs as the block for which most are expected explains. A record that stands twice in a table with any
  column of many values has no such neighbors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.runtime.threads import run_in_threads

MAX_SHARE, MIN_EXCESS = 1 / 30, 2.0
"""See above; by taste."""
SAMPLE_ROWS, SAMPLE_HASHES = 50_000, 1_000_000
"""Rows on which the second rule is checked, and rows of memory-mapped data, chosen by their hash, on which copies are counted, at most."""
MAX_BLOCKS = 32
"""Blocks that the columns are cut into, at most."""
HASH_CELLS, THREAD_ROWS = 1 << 15, 1 << 16
"""Values that are hashed at a time, so that they stay in the cache, and rows that a thread hashes at a time."""
TERM_SEED = 1009
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Multiplicative hash constant (Knuth 1973, 6.4)."""


@dataclass(frozen=True)
class Copies:
    """Rows that are copies of other rows."""

    key: np.ndarray
    """(N,) int64, the same for copies; rows without copies have one of their own."""
    n: int
    """Rows less distinct rows; for memory-mapped rows an estimate."""
    is_estimate: bool = False
    """The number is estimated from a sample."""

    def text(self) -> str:
        """Say how many rows are copies and what is done about it."""
        rows = f"{'about ' * self.is_estimate}{self.n} row{'s are exact copies' if self.n != 1 else ' is an exact copy'} of other rows"
        return f"{rows}: copies are held out together, so that none gives away another's label — check that they are meant to be there"


def hash_values(values: np.ndarray, seed: int) -> np.ndarray:
    """Hash each value, differently in each column, (n, F) uint64.

    Args:
        values: (n, F) floats or integers.
        seed: of the columns' constants.
    """
    bits = np.ascontiguousarray(values + np.float32(0) if values.dtype == np.float32 else values)  # -0.0 equals 0.0
    bits = bits.view(f"u{bits.dtype.itemsize}").astype(np.uint64)
    odd = np.random.default_rng([5, seed]).integers(1 << 62, size=bits.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    bits += np.uint64(1)
    bits *= odd
    bits ^= bits >> np.uint64(29)
    bits *= MULTIPLIER
    bits ^= bits >> np.uint64(32)
    return bits


def hash_rows(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Hash the rows of some arrays together, (N,) int64; equal rows have equal hashes.

    Args:
        parts: (N, ...) arrays.
    """
    total = np.zeros(len(parts[0]), np.uint64)

    def add(own_begin: int, own_end: int) -> None:
        for number, part in enumerate(parts):
            for begin, end in chunk_ranges(own_end - own_begin, max(1, HASH_CELLS // max(1, part[0].size))):
                rows = slice(own_begin + begin, own_begin + end)
                total[rows] += hash_values(as_words(part[rows]), number).sum(1)

    run_in_threads([partial(add, begin, end) for begin, end in chunk_ranges(len(total), THREAD_ROWS)], len(total))
    return total.view(np.int64)


def as_words(values: np.ndarray) -> np.ndarray:
    """View the rows of an array as a matrix, (n, F); the bytes of pictures as integers of eight bytes where they can be."""
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    return flat.view(np.uint64) if flat.dtype == np.uint8 and flat.shape[1] % 8 == 0 else flat


def hash_terms(term: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Hash the set of terms of each text, (N,) int64.

    Args:
        term: (M,) int64, terms row after row.
        start: (N + 1,) int64, where the rows begin.
    """
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hash_values(term[:, None], TERM_SEED)[:, 0], dtype=np.uint64)])
    return (total[start[1:]] - total[start[:-1]]).view(np.int64)


def find_copies(row_hash: np.ndarray, parts: Sequence[np.ndarray]) -> Copies | None:
    """Find the rows that are copies of others; None where there are none, or rows are equal by chance.

    Args:
        row_hash: (N,) int64 hashes of the rows.
        parts: (N, ...) arrays of the inputs.
    """
    ordered = np.sort(row_hash)
    if len(ordered) < 2 or not (ordered[1:] == ordered[:-1]).any():
        return None
    _, value, count = np.unique(row_hash, return_inverse=True, return_counts=True)
    copied = (count >= 2) & (count <= max_copies(len(row_hash)))
    is_copied = copied[value]
    if not copied.any() or equal_by_chance(row_hash, is_copied, parts):
        return None
    return Copies(np.where(is_copied, value, len(count) + np.arange(len(value))), int((count[copied] - 1).sum()))


def find_copies_by_sample(row_hash: np.ndarray, parts: Sequence[np.ndarray], gathered: Any) -> Copies | None:
    """Find the copies among memory-mapped rows in a random order, counted on rows that are chosen by their hash, so that all copies of a row are.

    Args:
        row_hash: (N,) int64 hashes of the rows of this process.
        parts: (N, ...) arrays of the inputs.
        gathered: gathers a small object from every process.
    """
    n = sum(gathered(len(row_hash)))
    every = max(1, -(-n // SAMPLE_HASHES))
    own = [row_hash[begin:end][row_hash[begin:end] % every == 0] for begin, end in chunk_ranges(len(row_hash), SAMPLE_HASHES)]
    _, count = np.unique(np.concatenate(gathered(np.concatenate(own))), return_counts=True)
    copied = (count >= 2) & (count <= max_copies(n))
    leading = np.array(row_hash[:SAMPLE_ROWS])
    value, size = np.unique(leading, return_counts=True)
    common = np.unique(np.concatenate(gathered(value[size > max(2, MAX_SHARE * len(leading))])))
    by_chance = equal_by_chance(leading, ~np.isin(leading, common), [part[:SAMPLE_ROWS] for part in parts])
    if not copied.any() or gathered(by_chance)[0]:
        return None
    for begin, end in chunk_ranges(len(row_hash), SAMPLE_HASHES):
        part = row_hash[begin:end]
        rows = np.flatnonzero(np.isin(part, common))
        part[rows] = hash_rows([(begin + rows)[:, None], part[rows][:, None]])
    return Copies(row_hash, int((count[copied] - 1).sum()) * every, every > 1)


def max_copies(n_rows: int) -> float:
    """Rows with the same inputs from which they are a common combination of values, not copies."""
    return max(2.0, MAX_SHARE * n_rows)


def equal_by_chance(row_hash: np.ndarray, considered: np.ndarray, parts: Sequence[np.ndarray]) -> bool:
    """Whether so many rows are equal as is to be expected from those that differ in one block of columns.

    Args:
        row_hash: (N,) int64.
        considered: (N,) bool rows to compare; others have a common combination of values.
        parts: (N, ...) arrays of the inputs.
    """
    rows = np.flatnonzero(considered)
    if len(rows) > SAMPLE_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLE_ROWS, replace=False))
    whole = row_hash[rows].view(np.uint64)
    n_equal, n_pairs = equal_pairs(whole), len(rows) * (len(rows) - 1) / 2
    if not n_equal:
        return False
    for block in block_hashes(parts, rows):
        share = min(equal_pairs(block) / n_pairs, 1 - 1e-9)
        if (equal_pairs(whole - block) - n_equal) * share / (1 - share) * MIN_EXCESS > n_equal:
            return True
    return False


def equal_pairs(values: np.ndarray) -> float:
    """Number of pairs of equal values."""
    _, count = np.unique(values, return_counts=True)
    return float((count * (count - 1.0)).sum() / 2)


def block_hashes(parts: Sequence[np.ndarray], rows: np.ndarray) -> Iterator[np.ndarray]:
    """Hash blocks of neighboring columns: halves, quarters and so on; blocks of all columns are left out, as nothing remains beside them.

    Args:
        parts: (N, ...) arrays of tables; pictures are one block.
        rows: (n,) int64.

    Yields:
        (n,) uint64 for each block.
    """
    widths = [part.shape[1] for part in parts]
    if sum(widths) < 2 or any(part.ndim > 2 for part in parts):
        return
    n_blocks = 2
    finest = min(MAX_BLOCKS, sum(widths))
    while n_blocks // 2 < finest:
        bounds = np.unique(np.linspace(0, sum(widths), min(n_blocks, finest) + 1).astype(int))
        totals = np.zeros((len(bounds) - 1, len(rows)), np.uint64)
        offset = 0
        for number, part in enumerate(parts):
            block = np.searchsorted(bounds, offset + np.arange(part.shape[1]), "right") - 1
            for begin, end in chunk_ranges(len(rows), max(1, HASH_CELLS // max(1, part.shape[1]))):
                hashed = hash_values(part[rows[begin:end]], number)
                starts = np.flatnonzero(np.diff(block, prepend=-1))
                totals[block[starts], begin:end] += np.add.reduceat(hashed, starts, 1).T
            offset += part.shape[1]
        yield from totals
        n_blocks *= 2
