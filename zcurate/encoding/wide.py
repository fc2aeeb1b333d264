"""Tables with more columns than rows, as in genomics: columns as normal scores, and rows by their principal coordinates.

Of N rows, however many columns there are, N coordinates hold all distances and all that a linear model can use (the Gram matrix is exact), so
that the members need not train on thousands of inputs.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

MAX_WIDE_ROWS, MAX_WIDE_CELLS = 2_000, 40_000_000
"""Rows, and rows times columns, up to which a table is encoded this way: the cost grows with the cube of the rows."""
MAX_VALUES = 20_000
"""Values of all category columns that get a column of zeros and ones, at most; the most frequent ones."""


class WideColumns(NamedTuple):
    """A table with more columns than rows."""

    columns: np.ndarray
    """(N, P) float32 normal scores of the numbers and zeros and ones of the categories, centered."""
    coordinates: np.ndarray
    """(N, N) float32 principal coordinates of the rows; a row's mean square is 1 / N."""


def is_wide(n_rows: int, n_columns: int) -> bool:
    """Return whether a table has more columns than rows and is small enough to be encoded by its rows."""
    return n_columns > n_rows and n_rows <= MAX_WIDE_ROWS and n_rows * n_columns <= MAX_WIDE_CELLS


def encode_wide(x: np.ndarray | None, codes: np.ndarray | None) -> WideColumns:
    """Encode a table with more columns than rows.

    Args:
        x: (N, F) float32 numbers; None without such columns.
        codes: (N, Q) int64 category codes with column offsets; None without such columns.
    """
    parts = ([] if x is None else [normal_scores(x)]) + ([] if codes is None else [indicators(codes)])
    columns = np.concatenate(parts, 1)
    columns -= columns.mean(0)
    return WideColumns(columns, principal_coordinates(columns))


def normal_scores(x: np.ndarray) -> np.ndarray:
    """Replace each column by the normal quantiles of its ranks, which no unit, skew or outlier changes; two values become -1 and 1.

    Args:
        x: (N, F) float32.
    """
    out = np.empty(x.shape, np.float32)
    quantile = np.array([NormalDist().inv_cdf(at / (2 * len(x))) for at in range(1, 2 * len(x))], np.float32)
    for at, column in enumerate(x.T):
        order = np.argsort(column)
        value = column[order]
        begins = np.flatnonzero(np.concatenate([[True], value[1:] != value[:-1]]))
        ends = np.append(begins[1:], len(x))
        # Equal values share the middle of their ranks.
        score = quantile[begins + ends - 1] if len(begins) > 2 else np.array([-1.0, 1.0], np.float32)[: len(begins)]
        out[order, at] = np.repeat(score, ends - begins)
    return out


def indicators(codes: np.ndarray) -> np.ndarray:
    """One column of zeros and ones per category value, (N, V) float32; values of fewer than two rows have none.

    Args:
        codes: (N, Q) int64 category codes with column offsets.
    """
    count = np.bincount(codes.ravel())
    frequent = np.argsort(-count, kind="stable")[:MAX_VALUES]
    place = np.full(len(count), -1)
    kept = np.sort(frequent[count[frequent] >= 2])
    place[kept] = np.arange(len(kept))
    out = np.zeros((len(codes), len(kept) + 1), np.float32)
    np.put_along_axis(out, place[codes], 1.0, 1)
    return out[:, :-1]


def principal_coordinates(columns: np.ndarray) -> np.ndarray:
    """Compute coordinates (N, N) float32 of the rows whose inner products are those of the columns, scaled to a mean square of 1 / N.

    Args:
        columns: (N, P) float32, centered.
    """
    gram = (columns @ columns.T).astype(np.float64)
    gram /= max(float(np.trace(gram)) / len(gram), 1e-12)
    value, vector = np.linalg.eigh(gram)
    return (vector * np.sqrt(np.maximum(value, 0.0)))[:, ::-1].astype(np.float32)
