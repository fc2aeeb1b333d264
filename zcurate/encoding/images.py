"""Images in an order that depends on their content only."""

from __future__ import annotations

import hashlib

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.data.dataset import Dataset
from zcurate.runtime.store import MemoryMappedStore

MOVE_ROWS = 2048
"""Memory-mapped images that are hashed or copied at a time."""


def order_by_content(data: Dataset, row: np.ndarray, store: MemoryMappedStore | None = None) -> np.ndarray:
    """Sort images by a hash of pixels and label.

    Their storage format and order then have no influence on the scan.

    Args:
        data: N images.
        row: (M,) int64 rows to sort.
        store: contains memory-mapped pixels; None if they are in memory.

    Returns:
        (M,) int64.
    """
    assert data.pictures is not None  # crack: narrows types only
    given = data.given.to_pylist()
    digest: list[bytes] = []
    for begin, end in chunk_ranges(len(row), MOVE_ROWS):
        digest += [hashlib.blake2b(data.pictures[at].tobytes() + str(given[at]).encode(), digest_size=8).digest() for at in row[begin:end]]
        if store is not None:
            store.release()
    return row[np.array(sorted(range(len(row)), key=digest.__getitem__), np.int64)] if len(row) else row


def take_in_order(values: np.ndarray, row: np.ndarray, store: MemoryMappedStore | None) -> np.ndarray:
    """Copy rows of an array in the given order.

    Args:
        values: (N, ...).
        row: (M,) int64.
        store: receives the copy chunk by chunk; None to copy in memory.

    Returns:
        (M, ...).
    """
    if store is None:
        return values[row]
    out = store.zeros((len(row), *values.shape[1:]), values.dtype)
    for begin, end in chunk_ranges(len(row), MOVE_ROWS):
        out[begin:end] = values[row[begin:end]]
        store.release()
    return out
