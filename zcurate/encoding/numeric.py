"""Numbers as quantile-bin piecewise-linear encodings (arXiv:2203.05556, eq. 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from zcurate.data.dataset import Dataset
from zcurate.encoding.dates import all_time_parts

MAX_NUMBER = 1e30
"""Numbers are clipped to this magnitude, so that their squares and differences fit into float32."""
QUANTILE_ROWS = 50_000
"""Rows from which quantiles are computed, at most."""
ENCODE_ROWS = 16_384
"""Rows of a table that are encoded at a time."""


def median_and_bins(values: np.ndarray, n_bins: int) -> tuple[float, list[tuple[float, float]], bool] | None:
    """Compute a column's median and bins.

    Args:
        values: (N,) from `to_numbers`.
        n_bins: largest number of bins.

    Returns:
        The median, the bins from `quantile_bins`, and whether values are missing; None if all are.
    """
    known = values[np.isfinite(values)].astype(np.float64, copy=False)
    if len(known) == 0:
        return None
    known = np.clip(known, -MAX_NUMBER, MAX_NUMBER)
    median = float(np.median(known[:: max(1, len(known) // QUANTILE_ROWS)]))
    return median, quantile_bins((known - median).astype(np.float32), n_bins), len(known) < len(values)


def subtract_median(values: np.ndarray, median: float) -> np.ndarray:
    """Clip values and subtract the median, (n,) float64; 0 where they are not finite."""
    return np.where(np.isfinite(values), np.clip(values.astype(np.float64, copy=False), -MAX_NUMBER, MAX_NUMBER) - median, 0.0)


def bin_fields(bins: list[list[tuple[float, float]]], n_bins: int) -> tuple[list[int], dict[str, Any]]:
    """Order the columns, those with all `n_bins` bins first, and collect their bins.

    Args:
        bins: start and 1 / width of each bin of each column.
        n_bins: largest number of bins.

    Returns:
        The old number of each column in the new order; and the fields of `EncodedRows` that describe the bins.
    """
    n_full = sum(len(one) == n_bins for one in bins) if n_bins > 1 else 0
    order = sorted(range(len(bins)), key=lambda at: (len(bins[at]) != n_bins, at)) if n_full else list(range(len(bins)))
    flat = [(new, *one) for new, old in enumerate(order) for one in bins[old]]
    column, start, scale = zip(*flat, strict=True)
    return order, {
        "bin_column": torch.tensor(column, dtype=torch.int64),
        "bin_start": torch.tensor(start, dtype=torch.float32),
        "bin_scale": torch.tensor(scale, dtype=torch.float32),
        "regular": (n_full, n_bins if n_full else 0),
    }


def quantile_bins(known: np.ndarray, n_bins: int) -> list[tuple[float, float]]:
    """Compute the bins of one column between its distinct quantiles.

    If all quantiles are equal, there is one bin from minimum to maximum.

    Args:
        known: (n,) float32 without missing values.
        n_bins: largest number of bins.

    Returns:
        Start and 1 / width of each bin.
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
    """Collect all columns of numbers and parts of times.

    Args:
        data: n rows.
        parts: which parts of each column of times are used.

    Returns:
        (n,) each: numbers from `to_numbers`, float64 parts of times.
    """
    out = []
    for column in data.roles.features:
        array = data.arrays[column.name]
        if column.kind == "number":
            out.append(to_numbers(array))
        elif column.kind == "time":
            all_parts = all_time_parts(array)
            out += [all_parts[at] for at in parts[column.name]]
    return out


def to_numbers(array: pa.Array) -> np.ndarray:
    """Convert a column of numbers to NumPy, (N,).

    It is not copied if no value is missing; else it becomes float64 with NaN.
    """
    complete = not array.null_count and (pa.types.is_integer(array.type) or pa.types.is_float32(array.type) or pa.types.is_float64(array.type))
    return array.to_numpy() if complete else array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
