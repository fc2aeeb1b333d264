"""Keys that keep groups of rows in one fold."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.dataset import Dataset
from zcurate.data.values import decode_column


def fold_keys(data: Dataset, row: np.ndarray) -> np.ndarray:
    """(N,) int64: the group's code where there is `--group`, else the row itself; a missing group is its own."""
    keys = np.arange(len(row), dtype=np.int64)
    if data.roles.group is None:
        return keys
    column = decode_column(data.table.column(data.roles.group)).take(pa.array(row)).dictionary_encode()
    group = pc.fill_null(column.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return np.where(group < 0, keys + len(row), group)


def hashed_groups(data: Dataset) -> np.ndarray:
    """(n,) int64 hash of each row's group; a missing group is hashed like a value of its own per row."""
    words = decode_column(data.table.column(str(data.roles.group))).cast(pa.string()).to_pylist()
    return np.array([int.from_bytes(hashlib.blake2b((word or f"\0{at}").encode(), digest_size=7).digest(), "big") for at, word in enumerate(words)], np.int64)
