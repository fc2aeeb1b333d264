"""Numbers as quantile-bin piecewise-linear encodings (arXiv:2203.05556, eq. 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from zcurate.data.dataset import Dataset
from zcurate.encoding.dates import all_time_parts

MAX_NUMBER = 1e30
"""Numbers are clipped here, so that their squares and differences stay within float32."""
QUANTILE_ROWS = 50_000
"""Rows that the quantiles are taken from."""
ENCODE_ROWS = 16_384
"""Rows of a table that are put together at a time."""


def median_and_bins(values: np.ndarray, n_bins: int) -> tuple[float, list[tuple[float, float]], bool] | None:
    """A column's median, its bins as `edges` and whether values are missing; None where none is known.

    Args:
        values: (N,) as `as_numbers` has them.
        n_bins: bins at most.
    """
    known = values[np.isfinite(values)].astype(np.float64, copy=False)
    if len(known) == 0:
        return None
    known = np.clip(known, -MAX_NUMBER, MAX_NUMBER)
    centre = float(np.median(known[:: max(1, len(known) // QUANTILE_ROWS)]))
    return centre, quantile_bins((known - centre).astype(np.float32), n_bins), len(known) < len(values)


def subtract_median(values: np.ndarray, centre: float) -> np.ndarray:
    """(n,) float64 values clipped, less the centre; 0 where they are not finite."""
    return np.where(np.isfinite(values), np.clip(values.astype(np.float64, copy=False), -MAX_NUMBER, MAX_NUMBER) - centre, 0.0)


def bin_fields(bins: list[list[tuple[float, float]]], n_bins: int) -> tuple[list[int], dict[str, Any]]:
    """The order of the columns, those with all `n_bins` bins first; and the fields of `Encoded` that hold the bins.

    Args:
        bins: of each column, start and 1 / width.
        n_bins: bins at most.
    """
    full = sum(len(one) == n_bins for one in bins) if n_bins > 1 else 0
    order = sorted(range(len(bins)), key=lambda at: (len(bins[at]) != n_bins, at)) if full else list(range(len(bins)))
    flat = [(new, *one) for new, old in enumerate(order) for one in bins[old]]
    column, start, scale = zip(*flat, strict=True)
    return order, {
        "bin_column": torch.tensor(column, dtype=torch.int64),
        "bin_start": torch.tensor(start, dtype=torch.float32),
        "bin_scale": torch.tensor(scale, dtype=torch.float32),
        "regular": (full, n_bins if full else 0),
    }


def quantile_bins(known: np.ndarray, n_bins: int) -> list[tuple[float, float]]:
    """Start and 1 / width of each bin of one number column; one bin from low to high where all quantiles agree.

    Args:
        known: (n,) float32 without missing values.
        n_bins: bins at most.
    """
    sample = known[:: max(1, len(known) // QUANTILE_ROWS)]
    distinct = np.unique(sample)
    cuts = distinct if len(distinct) <= n_bins + 1 else np.unique(np.quantile(sample, np.linspace(0, 1, n_bins + 1)).astype(np.float32))
    if len(cuts) < 2:
        low, high = float(known.min()), float(known.max())
        cuts = np.array([low, high if high > low else low + 1.0])
    width = np.maximum(np.diff(cuts.astype(np.float64)), 1e-30)
    return list(zip(cuts[:-1].astype(float).tolist(), (1.0 / width).tolist(), strict=True))


def number_columns(data: Dataset, parts: dict[str, list[int]]) -> list[np.ndarray]:
    """(n,) as `as_numbers` has each column of numbers, and float64 of those parts of times that vary."""
    out = []
    for column in data.roles.features:
        array = data.arrays[column.name]
        if column.kind == "number":
            out.append(to_numbers(array))
        elif column.kind == "time":
            every = all_time_parts(array)
            out += [every[at] for at in parts[column.name]]
    return out


def to_numbers(array: pa.Array) -> np.ndarray:
    """(N,) a column of numbers as it lies in memory, where none is missing; else float64 with NaN."""
    whole = not array.null_count and (pa.types.is_integer(array.type) or pa.types.is_float32(array.type) or pa.types.is_float64(array.type))
    return array.to_numpy() if whole else array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
