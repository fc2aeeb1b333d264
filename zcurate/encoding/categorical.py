"""Categories as integer codes."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

MIN_CATEGORY_ROWS = 2
"""A value that occurs in fewer rows shares one code with the other rare values of its column."""
MAX_CATEGORIES = 20_000
"""Values of a column with a code of their own, at most; the most frequent ones."""


def as_text(array: pa.Array) -> pa.Array:
    """Cast a column of categories to strings."""
    return array if pa.types.is_string(array.type) else array.cast(pa.string())


def common_values(array: pa.Array, counts: dict[str, int] | None = None) -> pa.Array:
    """Select the values of a category column that get a code of their own, in order of their spelling.

    Args:
        array: the column, or a sample of it.
        counts: how often each value is there among all rows; None to count them in `array`.
    """
    if counts is None:
        counted = pc.value_counts(as_text(array).drop_null())
        counts = dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
    pairs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return pa.array(sorted(value for value, n in pairs[:MAX_CATEGORIES] if n >= MIN_CATEGORY_ROWS), pa.string())
