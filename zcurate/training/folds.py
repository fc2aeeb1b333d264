"""Cross-validation folds of the members."""

from __future__ import annotations

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.encoding.encoded import EncodedRows
from zcurate.training.auxiliary import trees
from zcurate.training.sampler import LEADING_ROWS

AUXILIARY_SEED = 13
"""Mixed with the user's seed for the folds of the auxiliary models."""


def stratified(fold_key: np.ndarray, y: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) int64 fold of each row: rows of one key together, each class spread evenly where keys are single rows.

    Args:
        fold_key: (N,) int64.
        y: (N,) labels; ties in the spread are broken by them.
        n_folds: F.
        rng: source of the order.
    """
    keys, inverse = np.unique(fold_key, return_inverse=True)
    if len(keys) < len(fold_key):
        return rng.permutation(len(keys))[inverse] % n_folds
    shuffled = rng.permutation(len(y))
    by_label = shuffled[np.argsort(y[shuffled], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[by_label] = np.arange(len(y)) % n_folds
    return fold


def streamed(fold_key: np.ndarray, y: np.ndarray, n_folds: int, seed: int, fold: np.ndarray) -> None:
    """`folds` of rows that lie in a random order already, without sorting them: each class's rows are dealt out in turn.

    Args:
        fold_key: (N,) int64 hashes of groups, or distinct numbers.
        y: (N,) labels.
        n_folds: F.
        seed: changes which fold a group falls into.
        fold: (N,) uint8, filled.
    """
    some = fold_key[:LEADING_ROWS]
    grouped, had = len(np.unique(some)) < len(some), np.full(2 if y.dtype.kind == "f" else int(y.max()) + 2, seed)
    for begin, end in chunk_ranges(len(y), LEADING_ROWS):
        if grouped:
            fold[begin:end] = ((fold_key[begin:end] // 7 + seed * 31) * 2_654_435_761 >> 12) % n_folds
            continue
        own = np.zeros(end - begin, np.int64) if y.dtype.kind == "f" else y[begin:end] + 1
        order, size = np.argsort(own, kind="stable"), np.bincount(own, minlength=len(had))
        start = np.cumsum(size) - size
        fold[begin:end][order] = (np.arange(end - begin) - start[own[order]] + had[own[order]]) % n_folds
        had += size


def auxiliary_folds(encoded: EncodedRows, seed: int) -> np.ndarray:
    """(N,) int64 folds of the models beside the members."""
    return stratified(encoded.fold_key, encoded.y.cpu().numpy(), trees.N_FOLDS, np.random.default_rng([seed, AUXILIARY_SEED]))
