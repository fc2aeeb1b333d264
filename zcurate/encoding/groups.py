"""Keys by which rows of one group share a fold."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.dataset import Dataset
from zcurate.data.values import decode_column, key_text, without_missing_words
from zcurate.encoding.copies import Copies


def group_codes(data: Dataset, row: np.ndarray) -> np.ndarray:
    """Number the groups of `--group`.

    Without groups, and for rows whose group is missing, each row is its own group.

    Args:
        data: N rows.
        row: (M,) int64 rows.

    Returns:
        (M,) int64.
    """
    keys = np.arange(len(row), dtype=np.int64)
    if data.roles.group is None:
        return keys
    column = group_column(data).take(pa.array(row)).dictionary_encode()
    group = pc.fill_null(column.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return np.where(group < 0, keys + len(row), group)


def split_codes(data: Dataset, row: np.ndarray) -> np.ndarray | None:
    """Number the splits of an input, (M,) int64; rows in no split have a number of their own. None where there are no splits.

    Args:
        data: N rows.
        row: (M,) int64 rows.
    """
    if data.splits is None:
        return None
    codes = data.splits.take(pa.array(row)).dictionary_encode().indices
    return pc.fill_null(codes.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)


def fold_keys(group: np.ndarray, copies: Copies | None) -> np.ndarray:
    """Number the sets of rows that must share a fold: groups, joined by the copies that they share.

    Args:
        group: (M,) int64 from `group_codes`.
        copies: of these rows; None for none.

    Returns:
        (M,) int64.
    """
    if copies is None:
        return group
    _, groups = np.unique(group, return_inverse=True)
    if len(groups) == groups.max() + 1:
        return copies.key
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, keys = np.unique(copies.key, return_inverse=True)
    n = groups.max() + 1 + keys.max() + 1
    links = coo_array((np.ones(len(keys), bool), (groups, groups.max() + 1 + keys)), shape=(n, n))
    return connected_components(links, directed=False)[1][groups].astype(np.int64)


def hashed_groups(data: Dataset) -> np.ndarray:
    """Hash each row's group, (n,) int64; a missing group is hashed as a unique value."""
    groups = group_column(data).to_pylist()
    digests = (hashlib.blake2b((group or f"\0{at}").encode(), digest_size=7).digest() for at, group in enumerate(groups))
    return np.array([int.from_bytes(digest, "big") for digest in digests], np.int64)


def group_column(data: Dataset) -> pa.Array:
    """Return each row's group as text, (N); null where it is missing or empty.

    Raises:
        InputError: bytes that are no text.
    """
    values = decode_column(data.table.column(str(data.roles.group)))
    return without_missing_words(key_text(values, f"--group {data.roles.group}", data.origin.path), ("",))
