"""List columns and embeddings as standardized matrices."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zcurate.encoding.numeric import MAX_NUMBER


def unit_rows(x: np.ndarray, has_text: np.ndarray) -> np.ndarray:
    """Standardize embeddings by column and scale each row to unit length.

    Unscaled they would dominate the TF-IDF terms.

    Args:
        x: (N, E) embeddings.
        has_text: (N,) bool; rows without text become 0.

    Returns:
        (N, E) float32.
    """
    out = np.zeros_like(x)
    out[has_text] = standardize(x[has_text]) if has_text.any() else 0.0
    return (out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def to_matrix(array: pa.Array) -> np.ndarray:
    """Convert a column of vectors to a matrix.

    Args:
        array: (N) fixed-size lists of V numbers.

    Returns:
        (N, V) float32; a missing vector or number is zero.
    """
    lists = array.drop_null()
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    flat = np.clip(np.where(np.isfinite(flat), flat, 0.0), -MAX_NUMBER, MAX_NUMBER)
    out = np.zeros((len(array), array.type.list_size), np.float32)
    out[~array.is_null().to_numpy(zero_copy_only=False)] = np.nan_to_num(flat.reshape(-1, array.type.list_size))
    return out


def standardize(x: np.ndarray) -> np.ndarray:
    """Scale columns to mean 0 and standard deviation 1, (N, V) float32; constant columns become 0."""
    wide = x.astype(np.float64)
    scale = wide.std(0)
    return ((wide - wide.mean(0)) / np.where(scale > 1e-12, scale, 1.0)).astype(np.float32)
