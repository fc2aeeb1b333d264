"""Held-out probabilities of many classes: whole, or of each row the best few and that of its own class.

Leaves: `TopK`, and what is asked of either kind. Enters: (N, C) probabilities. No torch. Where rows x classes would not fit, a row takes
`ROW_BYTES` however many classes there are, and what is asked of it costs as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from zcurate.arrays.chunk import chunk_slices

N_KEPT = 9
"""Classes kept of each row: the most probable ones, its own in place of the last where it is none of them."""
ROW_BYTES = N_KEPT * 8
MAX_DENSE_CELLS, MIN_TOP_K_CLASSES = 10_000_000, 32
"""Rows x classes, and classes, up to which probabilities are kept whole."""
MAX_ROWS_PER_EPOCH = 50_000
"""Below this many rows members are asked about the rows they never saw after every epoch, and all probabilities are kept to be averaged; from
there on after the last epoch only."""


class AuxiliaryPredictions(NamedTuple):
    """What another kind of model than the members says of rows that it never saw."""

    rows: np.ndarray
    """(N, C) float32 held-out probabilities."""
    hard: np.ndarray
    """(H, C) float32 probabilities of the last round's hard cases."""


def is_dense(n_rows: int, n_classes: int) -> bool:
    """Whether there are few enough rows or classes that every probability is kept."""
    return n_rows < MAX_ROWS_PER_EPOCH or n_classes <= MIN_TOP_K_CLASSES or n_rows * n_classes <= MAX_DENSE_CELLS


@dataclass(frozen=True)
class TopKProbabilities:
    """(N, C) probabilities of which `KEPT` of each row are known; its other classes share evenly what is left of 1."""

    kept: np.ndarray
    """(N, 2 x KEPT) float32: the probabilities, then their classes, all different."""
    n_classes: int
    """C."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, C)."""
        return len(self.kept), self.n_classes

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the probabilities."""
        return self.kept.dtype

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """(n, C) all probabilities of some rows, given as a slice, a mask or numbers; or (n,) of pairs of row and class."""
        if isinstance(rows, tuple):
            return given_probability(take_rows(self, rows[0]), rows[1])
        some = take_rows(self, rows)
        out = np.repeat(some.rest()[:, None].astype(self.dtype), self.n_classes, 1)
        np.put_along_axis(out, some.code(), some.p(), 1)
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def p(self) -> np.ndarray:
        """(N, KEPT) probabilities."""
        return self.kept[:, :N_KEPT]

    def code(self) -> np.ndarray:
        """(N, KEPT) int64 their classes."""
        return self.kept[:, N_KEPT:].astype(np.int64)

    def rest(self) -> np.ndarray:
        """(N,) float64 probability of each class that is not kept."""
        return np.maximum(0.0, 1 - self.p().sum(1, dtype=np.float64)) / (self.n_classes - N_KEPT)

    def sharpened(self, power: float) -> tuple[np.ndarray, np.ndarray]:
        """(N, KEPT) float64 and (N,) float64: probabilities of the classes kept and of each other one to a power, all C summing to 1 again."""
        p, rest = np.maximum(self.p().astype(np.float64), 1e-9), np.maximum(self.rest(), 1e-9)
        if power != 1:
            p, rest = p**power, rest**power
        total = p.sum(1) + rest * (self.n_classes - N_KEPT)
        return p / total[:, None], rest / total


Heldout = np.ndarray | TopKProbabilities
"""(N, C) float32 held-out probabilities, or (N, 2) location and log scale."""


def top_k_of(p: np.ndarray, own: np.ndarray) -> TopKProbabilities:
    """The best few of (n, C) probabilities.

    Args:
        p: (n, C).
        own: (n,) int64 class that is kept in any case; -1 for none.
    """
    code = np.argpartition(-p, N_KEPT - 1, 1)[:, :N_KEPT]
    value = np.take_along_axis(p, code, 1)
    order = np.argsort(-value, 1, kind="stable")
    code = np.take_along_axis(code, order, 1)
    away = (own >= 0) & (code != own[:, None]).all(1)
    code[away, -1] = own[away]
    return TopKProbabilities(np.concatenate([np.take_along_axis(p, code, 1), code], 1, dtype=np.float32), p.shape[1])


def take_rows(p: Heldout, rows: Any) -> Any:
    """Some rows, of the same kind; a mask or numbers copy them.

    Args:
        p: (N, C).
        rows: a slice, (N,) bool, or (n,) int64.
    """
    return TopKProbabilities(p.kept[rows], p.n_classes) if isinstance(p, TopKProbabilities) else p[rows]


def mean_heldout(several: Sequence[Heldout], own: np.ndarray) -> Heldout:
    """(N, C) mean of predictions of the same rows; one alone as it is.

    Args:
        several: each (N, C).
        own: (N,) int64 class that is kept in any case, -1 for none; not looked at where probabilities are whole.
    """
    first = several[0]
    if len(several) == 1:
        return first
    if isinstance(first, TopKProbabilities):
        kept = [
            top_k_of(sum((one[part] for one in several[1:]), first[part]) / np.float32(len(several)), own[part]).kept for part in chunk_slices(*first.shape)
        ]
        return TopKProbabilities(np.concatenate(kept), first.n_classes)
    return np.asarray(sum((np.asarray(one) for one in several[1:]), first) / np.float32(len(several)))


def given_probability(p: Heldout, code: np.ndarray) -> np.ndarray:
    """(N,) probability of one class of each row.

    Args:
        p: (N, C).
        code: (N,) int64 class of each.
    """
    if not isinstance(p, TopKProbabilities):
        return p[np.arange(len(code)), code]
    out = np.empty(len(code), p.dtype)
    for part, some in chunks_of(p):
        out[part] = class_value(some.code(), some.p(), some.rest(), code[part])
    return out


def chunks_of(p: TopKProbabilities) -> Iterator[tuple[slice, TopKProbabilities]]:
    """Runs of rows that stay in the cache, one after another.

    Args:
        p: N rows.
    """
    for part in chunk_slices(len(p), 2 * N_KEPT):
        yield part, TopKProbabilities(p.kept[part], p.n_classes)


def class_value(code: np.ndarray, value: np.ndarray, rest: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(n,) value of one class of each row.

    Args:
        code: (n, KEPT) classes.
        value: (n, KEPT) their values.
        rest: (n,) value of every other class.
        own: (n,) int64 class of each row.
    """
    hit = code == own[:, None]
    return np.where(hit.any(1), np.where(hit, value, 0).sum(1), rest)


def most_probable(p: Heldout) -> np.ndarray:
    """(N,) uint16 most probable class of each row, the first among equals.

    Args:
        p: (N, C) probabilities.
    """
    if isinstance(p, TopKProbabilities):
        return p.kept[:, N_KEPT].astype(np.uint16)
    if p.shape[1] == 2:
        return (p[:, 1] > p[:, 0]).astype(np.uint16)
    return p.argmax(1).astype(np.uint16)


def best_other(p: Heldout, own: np.ndarray) -> np.ndarray:
    """(N,) int64 most probable class but the row's own, the first among equals.

    Args:
        p: (N, C) probabilities.
        own: (N,) int64 classes.
    """
    if isinstance(p, TopKProbabilities):
        first, second = (p.kept[:, N_KEPT + at].astype(np.int64) for at in range(2))
        return np.where(first == own, second, first)
    if p.shape[1] == 2:
        return 1 - own
    out = np.empty(len(own), np.int64)
    for part in chunk_slices(len(own), p.shape[1]):
        others = p[part].copy()
        others[np.arange(len(others)), own[part]] = -1
        out[part] = others.argmax(1)
    return out
