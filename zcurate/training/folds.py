"""Assignment of rows to cross-validation folds."""

from __future__ import annotations

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.encoding.encoded import EncodedRows
from zcurate.training.auxiliary import trees
from zcurate.training.sampler import LEADING_ROWS

AUXILIARY_SEED = 13
"""Mixed with the user's seed for the folds of the auxiliary models."""


def stratified(fold_key: np.ndarray, y: np.ndarray, n_folds: int, rng: np.random.Generator, split: np.ndarray | None = None) -> np.ndarray:
    """Assign rows to folds.

    Rows with the same key share a fold; if all keys are unique, each fold gets equal shares of all labels, and of all splits of each label.

    Args:
        fold_key: (N,) int64.
        y: (N,) labels; targets are spread by their order.
        n_folds: F.
        rng: source of the order.
        split: (N,) number of each row's split; None where the input has no splits.

    Returns:
        (N,) int64 fold of each row.
    """
    keys, key_of_row = np.unique(fold_key, return_inverse=True)
    if len(keys) < len(fold_key):
        return rng.permutation(len(keys))[key_of_row] % n_folds
    shuffled = rng.permutation(len(y))
    # Rows are dealt out label by label, and within a label split by split.
    shuffled = shuffled if split is None else shuffled[np.argsort(split[shuffled], kind="stable")]
    by_label = shuffled[np.argsort(y[shuffled], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[by_label] = np.arange(len(y)) % n_folds
    return fold


def streamed(fold_key: np.ndarray, y: np.ndarray, n_folds: int, seed: int, fold: np.ndarray, has_groups: bool = False) -> None:
    """Assign rows that are already in random order to folds without sorting all of them.

    Groups are assigned by a hash; without groups the rows of each class are assigned round-robin.

    Args:
        fold_key: (N,) int64 hashes of groups, or unique numbers.
        y: (N,) labels.
        n_folds: F.
        seed: changes the fold of a group.
        fold: (N,) uint8, filled with the folds.
        has_groups: rows share keys, even if none of the leading ones do.
    """
    leading = fold_key[:LEADING_ROWS]
    has_groups = has_groups or len(np.unique(leading)) < len(leading)
    n_assigned = np.full(2 if y.dtype.kind == "f" else int(y.max()) + 2, seed)
    for begin, end in chunk_ranges(len(y), LEADING_ROWS):
        if has_groups:
            fold[begin:end] = ((fold_key[begin:end] // 7 + seed * 31) * 2_654_435_761 >> 12) % n_folds
            continue
        # Code 0 is for unlabelled rows.
        code = np.zeros(end - begin, np.int64) if y.dtype.kind == "f" else y[begin:end] + 1
        order, size = np.argsort(code, kind="stable"), np.bincount(code, minlength=len(n_assigned))
        start = np.cumsum(size) - size
        fold[begin:end][order] = (np.arange(end - begin) - start[code[order]] + n_assigned[code[order]]) % n_folds
        n_assigned += size


def assign(encoded: EncodedRows, y: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Assign resident rows to folds, (N,) int64; copies are spread by their label as other rows are, and stay together.

    Args:
        encoded: N rows.
        y: (N,) labels; targets are spread by their order.
        n_folds: F.
        rng: source of the order.
    """
    if encoded.copies is None or encoded.fold_key is not encoded.copies.key:
        return stratified(encoded.fold_key, y, n_folds, rng, encoded.split)
    _, first, key_of_row = np.unique(encoded.fold_key, return_index=True, return_inverse=True)
    split = None if encoded.split is None else encoded.split[first]
    return stratified(np.arange(len(first)), y[first], n_folds, rng, split)[key_of_row]


def auxiliary_folds(encoded: EncodedRows, seed: int, n_folds: int = trees.N_FOLDS) -> np.ndarray:
    """Assign rows to the folds of the auxiliary models, (N,) int64."""
    return assign(encoded, encoded.y.cpu().numpy(), n_folds, np.random.default_rng([seed, AUXILIARY_SEED]))
