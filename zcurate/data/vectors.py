"""Columns of vectors: lists of numbers of one length, also written as text. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.values import ArrowFormat

MIN_BARE_LENGTH, MIN_WHOLE_LENGTH = 3, 8
"""Numbers of a vector without brackets, at least: with decimal points, and of whole numbers."""
VECTOR_START = re.compile(r"\s*(np\.)?(array|tensor)?\s*\(?\s*\[")
"""Matches the beginning of a vector in brackets."""


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is a list of any layout that `decode_column` leaves."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_vector(kind: pa.DataType) -> bool:
    """Return whether a type is a list of numbers."""
    return is_list(kind) and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type) or pa.types.is_boolean(kind.value_type))


def common_length(array: pa.Array, enough: float) -> int:
    """Return the length that nearly all lists have; 0 if there is none.

    Args:
        array: (N) lists.
        enough: share of the lists that must have it.
    """
    counted = pc.value_counts(pc.list_value_length(array).drop_null())
    if not len(counted):
        return 0
    n = counted.field("counts").to_numpy(zero_copy_only=False)
    return int(counted.field("values")[int(n.argmax())].as_py()) if n.max() >= enough * n.sum() else 0


def fixed_size_lists(array: pa.Array, length: int) -> pa.Array:
    """Convert lists of numbers to lists of a fixed size; those of another length become null, missing numbers NaN.

    Args:
        array: (N) lists of numbers.
        length: V.

    Returns:
        (N) fixed-size lists of float32 or float64.
    """
    if pa.types.is_fixed_size_list(array.type) and array.type.list_size == length and pa.types.is_floating(array.type.value_type):
        return array
    dtype = np.float32 if pa.types.is_float32(array.type.value_type) else np.float64
    fits = pc.fill_null(pc.equal(pc.list_value_length(array), length), False)
    flat = array.filter(fits).flatten()
    numbers = (flat.cast(pa.uint8()) if pa.types.is_boolean(flat.type) else flat).cast(pa.from_numpy_dtype(dtype), safe=False).to_numpy(zero_copy_only=False)
    return scatter_lists(numbers.reshape(-1, length), np.flatnonzero(fits.to_numpy(zero_copy_only=False)), len(array))


def scatter_lists(numbers: np.ndarray, rows: np.ndarray, n_rows: int) -> pa.Array:
    """Return fixed-size lists of `n_rows` rows, null but for some.

    Args:
        numbers: (n, V) float.
        rows: (n,) ascending rows that they belong to.
        n_rows: N.
    """
    if len(rows) == n_rows:
        return pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), numbers.shape[1])
    full = np.zeros((n_rows, numbers.shape[1]), numbers.dtype)
    full[rows] = numbers
    missing = np.ones(n_rows, bool)
    missing[rows] = False
    return pa.FixedSizeListArray.from_arrays(pa.array(full.ravel()), numbers.shape[1], mask=pa.array(missing))


@dataclass(frozen=True)
class VectorFormat:
    """Vectors written as text: `[0.1, 0.2]`, `[0.1 0.2]`, `0.1;0.2`."""

    length: int
    """Numbers of each vector."""

    def parse(self, text: pa.Array) -> pa.Array:
        """Convert (n) string to lists of float64; text with another number of values, or with words in it, becomes null."""
        parts = split_vectors(text)
        fits = pc.fill_null(pc.equal(pc.list_value_length(parts), self.length), False)
        rows = np.flatnonzero(fits.to_numpy(zero_copy_only=False))
        numbers = ArrowFormat(pa.float64()).parse(parts.take(pa.array(rows)).flatten()).to_numpy(zero_copy_only=False).reshape(-1, self.length)
        whole = ~np.isnan(numbers).any(1)
        return scatter_lists(numbers[whole], rows[whole], len(text))

    def describe(self) -> str:
        """Return the empty string."""
        return ""


def split_vectors(text: pa.Array) -> pa.Array:
    """Split text at brackets, commas, semicolons and spaces, (n) list of string."""
    bare = pc.replace_substring_regex(text, r"^\s*(?:array|tensor|np\.array)?\s*\(?\s*\[|\]\s*\)?\s*$|^\s*\(|\)\s*$", "")
    return pc.split_pattern(pc.utf8_trim_whitespace(pc.replace_substring_regex(bare, r"\s*[,;]\s*|\s+", " ")), " ")


def infer_vector_format(values: list[str], enough: float) -> VectorFormat | None:
    """Return the format of vectors of the most common length; None if the values are no vectors.

    Args:
        values: a sample of the column, without missing values.
        enough: share of the values that must stand in brackets for vectors of fewer than three numbers.
    """
    bracketed = sum(VECTOR_START.match(value) is not None for value in values) >= enough * len(values)
    lengths = pc.value_counts(pc.list_value_length(split_vectors(pa.array(values, pa.string()))))
    most = max(lengths.to_pylist(), key=lambda count: count["counts"])
    # Dates, telephone numbers and grouped digits are no vectors.
    has_fraction = sum(re.search(r"\d\.\d", value) is not None for value in values) >= enough * len(values)
    least = 1 if bracketed else MIN_BARE_LENGTH if has_fraction else MIN_WHOLE_LENGTH
    return VectorFormat(int(most["values"])) if most["values"] >= least else None
