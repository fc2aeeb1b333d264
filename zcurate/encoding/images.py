"""Pictures in an order that does not depend on how they were stored."""

from __future__ import annotations

import hashlib

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.data.dataset import Dataset
from zcurate.runtime.store import ArrayStore


def order_by_content(data: Dataset, row: np.ndarray, store: ArrayStore) -> np.ndarray:
    """Order pictures by a hash of their pixels, equal ones by label, so that the same pictures in another format, or after corrections, are trained on alike.

    Args:
        data: N pictures.
        row: (M,) int64 readable ones.
        store: of the pixels.

    Returns:
        (M,) int64, the same rows in another order.
    """
    assert data.pictures is not None  # crack: narrows types only
    given = data.given.to_pylist()
    digest: list[tuple[bytes, str]] = []
    for begin, end in chunk_ranges(len(row), store.sizes.move_rows):
        digest += [(hashlib.blake2b(data.pictures[at].tobytes(), digest_size=8).digest(), str(given[at])) for at in row[begin:end]]
        store.release()
    return row[np.array(sorted(range(len(row)), key=digest.__getitem__), np.int64)] if len(row) else row


def take_in_order(values: np.ndarray, row: np.ndarray, store: ArrayStore) -> np.ndarray:
    """Copy some rows of an array into a store, some at a time.

    Args:
        values: (N, ...).
        row: (M,) int64.
        store: takes them.
    """
    out = store.zeros((len(row), *values.shape[1:]), values.dtype)
    for begin, end in chunk_ranges(len(row), store.sizes.move_rows):
        out[begin:end] = values[row[begin:end]]
        store.release()
    return out
