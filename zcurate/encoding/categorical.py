"""Categories as integer codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

MIN_CATEGORY_ROWS = 2
"""A value that occurs in fewer rows shares one code with the other rare values of its column."""
MAX_CATEGORIES = 20_000
"""Values of a column with a code of their own, at most; the most frequent ones."""


def category_fields(categories: list[pa.Array]) -> dict[str, Any]:
    """Encode columns of categories.

    Args:
        categories: (N,) each.

    Returns:
        `codes` (N, Q) int64, in each column 0 for missing, 1 for rare values, then the other values in alphabetical order, plus the column's
        offset; and `n_codes`.
    """
    columns, offset = [], 0
    for array in categories:
        text = as_text(array)
        counts = pc.value_counts(text.drop_null())
        pairs = sorted(zip(counts.field("counts").to_pylist(), counts.field("values").to_pylist(), strict=True), key=lambda p: (-p[0], p[1]))
        common = sorted(value for n, value in pairs[:MAX_CATEGORIES] if n >= MIN_CATEGORY_ROWS)
        code = pc.index_in(text, value_set=pa.array(common, pa.string())).to_numpy(zero_copy_only=False)
        code = np.where(np.isnan(code.astype(np.float64)), 1, code.astype(np.float64) + 2).astype(np.int64)
        code[text.is_null().to_numpy(zero_copy_only=False)] = 0
        columns.append(code + offset)
        offset += len(common) + 2
    return {"codes": torch.from_numpy(np.stack(columns, 1)), "n_codes": offset}


def as_text(array: pa.Array) -> pa.Array:
    """Cast a column of categories to strings."""
    return array if pa.types.is_string(array.type) else array.cast(pa.string())
