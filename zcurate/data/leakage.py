"""Columns that give the label away."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.sample import HEAD_ROWS, MAX_FIT_ROWS, sample
from zcurate.data.dataset import ColumnKind

LEAK_PURITY = 0.995
"""A column whose values alone predict the label this well is warned of; by taste."""
HASH_MULTIPLIER = 0x9E3779B97F4A7C15
"""Spreads the bits of numbers (Knuth 1973, 6.4)."""


def is_leak(array: pa.Array, kind: ColumnKind, label: np.ndarray) -> bool:
    """Whether the column alone determines the class: few values, each with (nearly) one label.

    Args:
        array: the column.
        kind: how it is read.
        label: (N,) int64 given classes, -1 for none.
    """
    if kind not in ("category", "number"):
        return False
    if len(array) > HEAD_ROWS and len(pc.unique(array.slice(0, HEAD_ROWS))) == HEAD_ROWS:
        return False  # by the birthday rule there are far more values than a leak can have
    if len(array) > MAX_FIT_ROWS:
        take = sample(len(array))
        array, label = array.take(pa.array(take)), label[take]
    chance = np.bincount(label[label >= 0]).max(initial=0) / max(1, (label >= 0).sum())
    purity = max(LEAK_PURITY, 1 - (1 - chance) / 20)
    if kind == "number" and not array.null_count:
        # Where one value in sixteen has too many labels already, the others need not be looked at.
        bits = array.to_numpy(zero_copy_only=False).astype(np.float64).view(np.uint64)
        some = (bits * np.uint64(HASH_MULTIPLIER) >> np.uint64(60) == 0) & (label >= 0)
        if n_mixed(np.unique(bits[some], return_inverse=True)[1], label[some]) > (1 - purity) * len(label):
            return False
    codes = array.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    both = (codes >= 0) & (label >= 0)
    codes, label = codes[both], label[both]
    if len(codes) < 20 or codes.max() + 1 > len(codes) / 5:
        return False
    return bool(1 - n_mixed(codes, label) / len(codes) > purity)


def n_mixed(codes: np.ndarray, label: np.ndarray) -> int:
    """How many rows have another label than most rows of the same value.

    Args:
        codes: (n,) int64 values, numbered.
        label: (n,) int64 classes.
    """
    if not len(codes):
        return 0
    pairs, n = np.unique(codes * (label.max() + 1) + label, return_counts=True)
    best = np.zeros(codes.max() + 1, np.int64)
    np.maximum.at(best, pairs // (label.max() + 1), n)
    return len(codes) - int(best.sum())
