"""Held-out class probabilities, dense or top-k, and operations on either kind. Imports no torch.

Where a dense rows x classes array would not fit in memory, each row keeps its most probable classes and its own: `ROW_BYTES` per row,
however many classes there are. Every function here then also runs in time independent of the number of classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from zcurate.arrays.chunk import chunk_slices

TOP_K = 9
"""Classes stored per row: the most probable ones, the last replaced by the row's own class when that is not among them."""
ROW_BYTES = TOP_K * 8
MAX_DENSE_CELLS, MIN_TOP_K_CLASSES = 10_000_000, 32
"""Rows x classes, and classes, up to which probabilities are stored densely."""
MAX_ROWS_PER_EPOCH = 50_000
"""Below this many rows members predict their held-out rows after every epoch, and all probabilities are stored and averaged; from this
many rows on they predict after the last epoch only."""


class AuxiliaryPredictions(NamedTuple):
    """Held-out predictions of an auxiliary model."""

    rows: np.ndarray
    """(N, C) float32 held-out probabilities."""
    hard: np.ndarray
    """(H, C) float32 probabilities of the last round's hard examples; (0, C) of a model that is not here to predict them."""


def is_dense(n_rows: int, n_classes: int) -> bool:
    """Decide whether there are few enough rows or classes to store every probability."""
    return n_rows < MAX_ROWS_PER_EPOCH or n_classes <= MIN_TOP_K_CLASSES or n_rows * n_classes <= MAX_DENSE_CELLS


@dataclass(frozen=True)
class TopKProbabilities:
    """(N, C) probabilities of which `TOP_K` per row are stored; the other classes share the remaining mass evenly."""

    packed: np.ndarray
    """(N, 2 x TOP_K) float32: the probabilities, then their classes, all different."""
    n_classes: int
    """C."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, C)."""
        return len(self.packed), self.n_classes

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the probabilities."""
        return self.packed.dtype

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the dense (n, C) probabilities of rows selected by slice, mask or index; or (n,) for a pair of row and class arrays."""
        if isinstance(rows, tuple):
            return given_probability(take_rows(self, rows[0]), rows[1])
        some = take_rows(self, rows)
        out = np.repeat(some.p_other()[:, None].astype(self.dtype), self.n_classes, 1)
        np.put_along_axis(out, some.code(), some.p(), 1)
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def p(self) -> np.ndarray:
        """Return the stored probabilities (N, TOP_K)."""
        return self.packed[:, :TOP_K]

    def code(self) -> np.ndarray:
        """Return the classes of the stored probabilities, (N, TOP_K) int64."""
        return self.packed[:, TOP_K:].astype(np.int64)

    def p_other(self) -> np.ndarray:
        """Return the probability of each class that is not stored, (N,) float64."""
        return np.maximum(0.0, 1 - self.p().sum(1, dtype=np.float64)) / (self.n_classes - TOP_K)

    def tempered(self, power: float) -> tuple[np.ndarray, np.ndarray]:
        """Scale by an inverse temperature: raise to `power` and renormalize over all C classes.

        Returns:
            (N, TOP_K) float64 probabilities of the stored classes, and (N,) float64 probability of each other class.
        """
        p, p_other = np.maximum(self.p().astype(np.float64), 1e-9), np.maximum(self.p_other(), 1e-9)
        if power != 1:
            p, p_other = p**power, p_other**power
        total = p.sum(1) + p_other * (self.n_classes - TOP_K)
        return p / total[:, None], p_other / total


Heldout = np.ndarray | TopKProbabilities
"""(N, C) float32 held-out probabilities, or (N, 2) location and log scale."""


def top_k_of(p: np.ndarray, own: np.ndarray) -> TopKProbabilities:
    """Compress dense probabilities to the top k.

    Args:
        p: (n, C) probabilities.
        own: (n,) int64 class that is stored in any case; -1 for none.
    """
    code = np.argpartition(-p, TOP_K - 1, 1)[:, :TOP_K]
    value = np.take_along_axis(p, code, 1)
    order = np.argsort(-value, 1, kind="stable")
    code = np.take_along_axis(code, order, 1)
    missing = (own >= 0) & (code != own[:, None]).all(1)
    code[missing, -1] = own[missing]
    return TopKProbabilities(np.concatenate([np.take_along_axis(p, code, 1), code], 1, dtype=np.float32), p.shape[1])


def take_rows(p: Heldout, rows: Any) -> Any:
    """Select rows and keep the representation; a mask or indices copy, a slice does not.

    Args:
        p: (N, C) probabilities.
        rows: a slice, (N,) bool, or (n,) int64.
    """
    return TopKProbabilities(p.packed[rows], p.n_classes) if isinstance(p, TopKProbabilities) else p[rows]


def mean_heldout(predictions: Sequence[Heldout], own: np.ndarray) -> Heldout:
    """Average predictions of the same rows; a single one is returned as it is.

    Args:
        predictions: each (N, C).
        own: (N,) int64 class that is stored in any case, -1 for none; ignored for dense probabilities.
    """
    first = predictions[0]
    if len(predictions) == 1:
        return first
    if isinstance(first, TopKProbabilities):
        packed = [
            top_k_of(sum((one[part] for one in predictions[1:]), first[part]) / np.float32(len(predictions)), own[part]).packed
            for part in chunk_slices(*first.shape)
        ]
        return TopKProbabilities(np.concatenate(packed), first.n_classes)
    return np.asarray(sum((np.asarray(one) for one in predictions[1:]), first) / np.float32(len(predictions)))


def given_probability(p: Heldout, code: np.ndarray) -> np.ndarray:
    """Look up the probability (N,) of one class per row.

    Args:
        p: (N, C) probabilities.
        code: (N,) int64 class of each row.
    """
    if not isinstance(p, TopKProbabilities):
        return p[np.arange(len(code)), code]
    out = np.empty(len(code), p.dtype)
    for part, some in chunks_of(p):
        out[part] = class_value(some.code(), some.p(), some.p_other(), code[part])
    return out


def chunks_of(p: TopKProbabilities) -> Iterator[tuple[slice, TopKProbabilities]]:
    """Iterate over chunks of rows that fit in the CPU cache.

    Args:
        p: N rows.
    """
    for part in chunk_slices(len(p), 2 * TOP_K):
        yield part, TopKProbabilities(p.packed[part], p.n_classes)


def class_value(code: np.ndarray, value: np.ndarray, other: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Look up the value (n,) of one class per row in a top-k representation.

    Args:
        code: (n, TOP_K) stored classes.
        value: (n, TOP_K) their values.
        other: (n,) value of every class that is not stored.
        own: (n,) int64 class to look up in each row.
    """
    hit = code == own[:, None]
    return np.where(hit.any(1), np.where(hit, value, 0).sum(1), other)


def most_probable(p: Heldout) -> np.ndarray:
    """Return the most probable class of each row, (N,) uint16; ties go to the first class.

    Args:
        p: (N, C) probabilities.
    """
    if isinstance(p, TopKProbabilities):
        return p.packed[:, TOP_K].astype(np.uint16)
    if p.shape[1] == 2:
        return (p[:, 1] > p[:, 0]).astype(np.uint16)
    return p.argmax(1).astype(np.uint16)


def best_other(p: Heldout, own: np.ndarray) -> np.ndarray:
    """Return the most probable class other than the row's own, (N,) int64; ties go to the first class.

    Args:
        p: (N, C) probabilities.
        own: (N,) int64 classes.
    """
    if isinstance(p, TopKProbabilities):
        first, second = (p.packed[:, TOP_K + rank].astype(np.int64) for rank in range(2))
        return np.where(first == own, second, first)
    if p.shape[1] == 2:
        return 1 - own
    out = np.empty(len(own), np.int64)
    for part in chunk_slices(len(own), p.shape[1]):
        others = p[part].copy()
        others[np.arange(len(others)), own[part]] = -1
        out[part] = others.argmax(1)
    return out


def margins(p: Heldout, label: np.ndarray, power: float | None = None) -> np.ndarray:
    """Compute p(label) - max p(other); for unlabelled rows the largest minus the second largest.

    Args:
        p: (N, C) float32 probabilities.
        label: (N,) int64, -1 = unlabelled.
        power: inverse temperature, or None to take the probabilities as they are.

    Returns:
        (N,) float32, or float64 when an inverse temperature is given.
    """
    out = np.empty(len(label), p.dtype if power is None else np.float64)
    if isinstance(p, TopKProbabilities):
        for part, some in chunks_of(p):
            code = some.code()
            value, other = (some.p(), some.p_other()) if power is None else some.tempered(power)
            own = np.where(label[part] >= 0, label[part], code[:, 0])
            out[part] = class_value(code, value, other, own) - np.where(code == own[:, None], -1, value).max(1)
        return out
    for part in chunk_slices(len(out), p.shape[1]):
        columns = p[part].T.copy() if power is None else tempered_columns(p[part], power)
        own, row = label[part], np.arange(columns.shape[1])
        if (own < 0).any():
            own = np.where(own >= 0, own, columns.argmax(0))
        p_own = columns[own, row]
        columns[own, row] = -1
        out[part] = p_own - columns.max(0)
    return out


def entropies(p: Heldout) -> np.ndarray:
    """Compute the entropy of each row's probabilities, (N,) float32 [nats].

    Args:
        p: (N, C) probabilities.
    """
    out = np.empty(len(p), np.float32)
    if isinstance(p, TopKProbabilities):
        for part, some in chunks_of(p):
            p_other = some.p_other()
            out[part] = entropy_terms(some.p().astype(np.float64)).sum(1) + entropy_terms(p_other) * (p.n_classes - TOP_K)
        return out
    for part in chunk_slices(len(out), p.shape[1]):
        out[part] = entropy_terms(p[part].T.astype(np.float64, order="C")).sum(0)
    return out


def entropy_terms(p: np.ndarray) -> np.ndarray:
    """Compute -p log p [nats]."""
    return -(p * np.log(np.maximum(p, 1e-12)))


def tempered_columns(p: np.ndarray, power: float) -> np.ndarray:
    """Raise probabilities to a power and renormalize; one row of the result per class, which NumPy sums fastest.

    Args:
        p: (N, C) probabilities.
        power: inverse temperature.

    Returns:
        (C, N) float64.
    """
    q = np.maximum(p.T.astype(np.float64, order="C"), 1e-9)
    if power != 1:
        q **= power
    q /= q.sum(0)
    return q


def temper(p: np.ndarray, power: float) -> np.ndarray:
    """Raise probabilities to a power and renormalize: (N, C) float64.

    Args:
        p: (N, C) probabilities.
        power: inverse temperature.
    """
    return tempered_columns(p, power).T
