"""A matrix of the feature columns, by which rows can be compared before anything is encoded. No torch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.features import FeatureColumn


def feature_matrix(columns: list[FeatureColumn]) -> np.ndarray | None:
    """Make a matrix for comparing rows: ranks of numbers, vectors, and indicators of the common categories.

    Args:
        columns: features.

    Returns:
        (N, F) float32 without missing values; None if no column has any.
    """
    parts: list[np.ndarray] = []
    for column in columns:
        array = column.array
        if column.kind == "number" or column.kind == "time":
            as_float = array.cast(pa.int64()) if pa.types.is_temporal(array.type) and not pa.types.is_date32(array.type) else array
            as_float = as_float.cast(pa.int32()) if pa.types.is_date32(array.type) else as_float
            numbers = as_float.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            known = np.isfinite(numbers)
            scaled = np.zeros(len(numbers), np.float32)
            if known.any():
                low, middle, high = np.quantile(numbers[known], [0.05, 0.5, 0.95])
                spread = max(high - low, float(numbers[known].std()), 1e-12)
                scaled[known] = np.clip((numbers[known] - middle) / spread, -2, 2)
            parts.append(scaled[:, None])
        elif column.kind == "category":
            counted = pc.value_counts(array.drop_null())
            common = sorted(zip(counted.field("counts").to_pylist(), counted.field("values").to_pylist(), strict=True), reverse=True, key=lambda one: one[0])
            parts += [pc.fill_null(pc.equal(array, value), False).to_numpy(zero_copy_only=False).astype(np.float32)[:, None] / 2 for _, value in common[:8]]
        elif column.kind == "vector":
            parts.append(vector_matrix(array))
    return np.concatenate(parts, 1) if parts else None


def vector_matrix(array: pa.Array) -> np.ndarray:
    """Return vectors as rows of a matrix, missing ones as zeros, (N, V) float32, scaled to a mean square of one per row."""
    out = np.nan_to_num(array.fill_null([0.0] * array.type.list_size).flatten().to_numpy(zero_copy_only=False).astype(np.float32)).reshape(len(array), -1)
    return out / max(1e-12, float(np.sqrt((out * out).sum(1).mean())))
