"""Pictures in an order of their own."""

from __future__ import annotations

import hashlib

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.data.dataset import Dataset
from zcurate.runtime.store import MemoryMappedStore

MOVE_ROWS = 2048
"""Pictures in files that are moved at a time."""


def order_by_content(data: Dataset, row: np.ndarray, room: MemoryMappedStore | None = None) -> np.ndarray:
    """Pictures in an order that depends on what they show and not on how they were stored, so that formats agree."""
    assert data.pictures is not None  # crack: narrows types only
    given = data.given.to_pylist()
    digest: list[bytes] = []
    for begin, end in chunk_ranges(len(row), MOVE_ROWS):
        digest += [hashlib.blake2b(data.pictures[at].tobytes() + str(given[at]).encode(), digest_size=8).digest() for at in row[begin:end]]
        if room is not None:
            room.release()
    return row[np.array(sorted(range(len(row)), key=digest.__getitem__), np.int64)] if len(row) else row


def take_in_order(values: np.ndarray, row: np.ndarray, room: MemoryMappedStore | None) -> np.ndarray:
    """(M, ...) some rows of an array, in `room` where there is one.

    Args:
        values: (N, ...).
        row: (M,) int64.
        room: takes them, some at a time; None for memory.
    """
    if room is None:
        return values[row]
    out = room.zeros((len(row), *values.shape[1:]), values.dtype)
    for begin, end in chunk_ranges(len(row), MOVE_ROWS):
        out[begin:end] = values[row[begin:end]]
        room.release()
    return out
