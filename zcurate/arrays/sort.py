"""Sorting and ranks in linear time."""

from __future__ import annotations

import numpy as np


def argsort(x: np.ndarray) -> np.ndarray:
    """Sort stably by radix, sixteen bits at a time; equals `np.argsort(x, kind="stable")`, in time linear in N.

    Args:
        x: (N,) float32 or float64 without NaN, or integers.

    Returns:
        (N,) int64 indices.
    """
    if x.dtype.kind == "f":
        # The bits of floats >= 0 ascend with the value, those of negative floats descend. Adding 0 turns -0 into 0.
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


def mid_ranks(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute mid-ranks: the number of smaller values plus half the number of equal ones.

    Args:
        x: (N,) without NaN.

    Returns:
        (N,) int64 ascending order of the values, and (N,) float64 mid-ranks in that order.
    """
    order = argsort(x)
    ascending = x[order]
    first = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]])) if len(x) else np.zeros(0, np.int64)
    if len(first) == len(x):
        return order, np.arange(len(x)) + 0.5
    size = np.diff(first, append=len(x))
    return order, np.repeat(first + size / 2, size)


def mid_rank_in(value: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Compute each value's mid-rank within a reference: smaller reference values plus half of the equal ones.

    Args:
        value: (n,).
        reference: (m,) ascending, without NaN.

    Returns:
        (n,) float64.
    """
    # Sorted queries access the reference sequentially.
    order = argsort(value)
    query = value[order]
    out = np.empty(len(value))
    out[order] = (np.searchsorted(reference, query, "left") + np.searchsorted(reference, query, "right")) / 2
    return out


def argsort_descending(x: np.ndarray) -> np.ndarray:
    """Sort stably in descending order.

    Args:
        x: (N,) as for `argsort`.

    Returns:
        (N,) int64 indices.
    """
    return argsort(-x)


def top_k(scores: np.ndarray, n: int) -> np.ndarray:
    """Find the n largest of K scores per row.

    Args:
        scores: (K, N) without NaN; overwritten.
        n: how many to find.

    Returns:
        (min(n, K), N) int64 indices into K, largest score first, ties in index order.
    """
    rows = np.arange(scores.shape[1])
    out = np.zeros((min(n, len(scores)), scores.shape[1]), np.int64)
    for k in range(len(out)):
        out[k] = scores.argmax(0)
        scores[out[k], rows] = -np.inf
    return out


def percentile_ranks(x: np.ndarray) -> np.ndarray:
    """Compute (N,) float64 percentile ranks in (0, 1]; ties share their mean rank."""
    order, ranks = mid_ranks(x)
    out = np.empty(len(x))
    out[order] = (ranks + 0.5) / len(x)
    return out
