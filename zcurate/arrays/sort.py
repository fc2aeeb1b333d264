"""Sorting and ranks in linear time."""

from __future__ import annotations

import numpy as np


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


def mid_ranks(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def mid_rank_in(value: np.ndarray, reference: np.ndarray) -> np.ndarray:
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


def argsort_descending(x: np.ndarray) -> np.ndarray:
    """(N,) int64 order from the largest value to the smallest, equal ones as they stand.

    Args:
        x: (N,) as for `argsort`, without NaN.
    """
    return argsort(-x)


def top_k(strength: np.ndarray, n: int) -> np.ndarray:
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


def percentile_ranks(x: np.ndarray) -> np.ndarray:
    """(N,) float64 ranks in (0, 1], ties share the mean."""
    order, middle = mid_ranks(x)
    out = np.empty(len(x))
    out[order] = (middle + 0.5) / len(x)
    return out
