"""What is done to very many rows at once: fixed samples to fit on, pieces that stay in the cache, places by one sort.

Leaves: row numbers, slices, places. Enters: plain arrays. No torch. Up to `FIT_ROWS` rows a sample is all of them, so nothing is approximate there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from zcurate.runtime import startup

T = TypeVar("T")

FIT_ROWS = 100_000
"""Rows that curves, densities and centres are fitted on, at most; beyond, an AUROC or a share is known to a thousandth anyway."""
SIDE_ROWS = 50_000
"""From this many rows on independent columns are worked on side by side."""
PIECE = 131_072
"""Numbers of one piece: 1 MB of float64, within the cache of one core."""


def sample(n: int, most: int | None = None) -> np.ndarray:
    """(m,) int64 positions among n, in order: all, or as many as are wanted, drawn with a fixed seed.

    Args:
        n: how many there are.
        most: how many are wanted at most; None for `FIT_ROWS`.
    """
    most = FIT_ROWS if most is None else most
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(n).choice(n, most, replace=False))


def sampled(which: np.ndarray) -> np.ndarray:
    """(m,) int64 positions of the True values, in order: all, or `FIT_ROWS` of them drawn with a fixed seed.

    Args:
        which: (N,) bool.
    """
    there = np.flatnonzero(which)
    return there[sample(len(there))] if len(there) > FIT_ROWS else there


def pieces(n: int, width: int = 1) -> Iterator[slice]:
    """Slices of n rows, one after another, of about `PIECE` numbers each.

    Args:
        n: rows.
        width: numbers per row.
    """
    step = max(1024, PIECE // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def rows_at_once(n: int, step: int) -> Iterator[tuple[int, int]]:
    """Begin and end of runs of `step` rows, one after another.

    Args:
        n: rows.
        step: of each run; the last may be shorter.
    """
    for begin in range(0, n, step):
        yield begin, min(n, begin + step)


def argsort(x: np.ndarray) -> np.ndarray:
    """(N,) int64 what `np.argsort(x, kind="stable")` gives, sixteen bits at a time: linear in N, and two to four times as fast from 10 000 rows on.

    Args:
        x: (N,) float32 or float64 without NaN, or integers.
    """
    if x.dtype.kind == "f":
        # Bits of floats from 0 on rise with their values, those below fall. Adding makes zero of minus zero.
        n_bits = 8 * x.itemsize
        bits = (x + 0).view(f"u{x.itemsize}")
        top = bits.dtype.type(1 << (n_bits - 1))
        key = np.where(bits < top, bits | top, ~bits)
    else:
        key = (x - x.min() if len(x) else x).astype(np.uint64)
        n_bits = int(key.max(initial=0)).bit_length()
    order = np.arange(len(x)) if not n_bits else np.argsort(key.astype(np.uint16), kind="stable")
    for low in range(16, n_bits, 16):
        order = order[np.argsort((key >> key.dtype.type(low)).astype(np.uint16)[order], kind="stable")]
    return order


def middles(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int64 order of the values, and (N,) float64 in that order: how many lie below, those equal counted half.

    Args:
        x: (N,) without NaN.
    """
    order = argsort(x)
    rising = x[order]
    first = np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]])) if len(x) else np.zeros(0, np.int64)
    if len(first) == len(x):
        return order, np.arange(len(x)) + 0.5
    size = np.diff(first, append=len(x))
    return order, np.repeat(first + size / 2, size)


def below(value: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(n,) float64: how many of the reference lie below each value, those equal counted half.

    Args:
        value: (n,).
        reference: sorted, without NaN.
    """
    # Sorted questions walk through the reference instead of jumping about in it.
    order = argsort(value)
    asked = value[order]
    out = np.empty(len(value))
    out[order] = (np.searchsorted(reference, asked, "left") + np.searchsorted(reference, asked, "right")) / 2
    return out


def falling(x: np.ndarray) -> np.ndarray:
    """(N,) int64 order from the largest value to the smallest, equal ones as they stand.

    Args:
        x: (N,) as for `argsort`, without NaN.
    """
    return argsort(-x)


def leading(strength: np.ndarray, n: int) -> np.ndarray:
    """(min(n, K), N) int64: which of K strengths are largest, largest first, the earlier ones first among equals.

    Args:
        strength: (K, N) without NaN; is overwritten.
        n: how many are wanted.
    """
    rows = np.arange(strength.shape[1])
    out = np.zeros((min(n, len(strength)), strength.shape[1]), np.int64)
    for at in range(len(out)):
        out[at] = strength.argmax(0)
        strength[out[at], rows] = -np.inf
    return out


def side_by_side(jobs: Sequence[Callable[[], T]], n_rows: int) -> list[T]:
    """What each job returns, in their order; on a thread for each core where there are many rows: numpy and Arrow let others run meanwhile.

    Args:
        jobs: independent of one another.
        n_rows: that each works on.
    """
    n_threads = min(len(jobs), startup.threads())
    if n_threads < 2 or n_rows < SIDE_ROWS:
        return [job() for job in jobs]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(n_threads) as pool:
        return [each.result() for each in [pool.submit(job) for job in jobs]]


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made on another thread while the one before it is used.

    Args:
        items: not None.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item
            del item
