"""Detection of columns that leak the label."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.sample import HEAD_ROWS, MAX_FIT_ROWS, sample
from zcurate.data.dataset import ColumnKind

LEAK_PURITY = 0.995
"""Share of rows whose label a column's value must predict for a warning; by taste."""
HASH_MULTIPLIER = 0x9E3779B97F4A7C15
"""Multiplicative hash constant (Knuth 1973, 6.4)."""


def is_leak(array: pa.Array, kind: ColumnKind, label: np.ndarray) -> bool:
    """Return whether a column alone determines the class: few values, each with (nearly) one label.

    Args:
        array: (N) the column.
        kind: its kind; only categories and numbers are tested.
        label: (N,) int64 given classes, -1 for missing.
    """
    if kind not in ("category", "number"):
        return False
    if len(array) > HEAD_ROWS and len(pc.unique(array.slice(0, HEAD_ROWS))) == HEAD_ROWS:
        return False  # by the birthday bound it has far more distinct values than a leak can have
    if len(array) > MAX_FIT_ROWS:
        rows = sample(len(array))
        array, label = array.take(pa.array(rows)), label[rows]
    chance = np.bincount(label[label >= 0]).max(initial=0) / max(1, (label >= 0).sum())
    purity = max(LEAK_PURITY, 1 - (1 - chance) / 20)
    if kind == "number" and not array.null_count:
        # If one in sixteen values, chosen by hash, already has too many mixed labels, the others need no check.
        bits = array.to_numpy(zero_copy_only=False).astype(np.float64).view(np.uint64)
        sampled = (bits * np.uint64(HASH_MULTIPLIER) >> np.uint64(60) == 0) & (label >= 0)
        if n_mixed(np.unique(bits[sampled], return_inverse=True)[1], label[sampled]) > (1 - purity) * len(label):
            return False
    codes = array.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    known = (codes >= 0) & (label >= 0)
    codes, label = codes[known], label[known]
    if len(codes) < 20 or codes.max() + 1 > len(codes) / 5:
        return False
    return bool(1 - n_mixed(codes, label) / len(codes) > purity)


def n_mixed(codes: np.ndarray, label: np.ndarray) -> int:
    """Count the rows whose label differs from the most common label of their value.

    Args:
        codes: (n,) int64 codes of the values.
        label: (n,) int64 classes.
    """
    if not len(codes):
        return 0
    pairs, n = np.unique(codes * (label.max() + 1) + label, return_counts=True)
    n_majority = np.zeros(codes.max() + 1, np.int64)
    np.maximum.at(n_majority, pairs // (label.max() + 1), n)
    return len(codes) - int(n_majority.sum())
