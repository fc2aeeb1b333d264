"""Compare two Arrow tables cell by cell: NaN equals NaN, null equals null, and types must match."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def differing(expected: pa.Table, actual: pa.Table) -> list[str]:
    """List the columns that differ in type or in any cell, or that only one table has."""
    left, right = set(expected.column_names), set(actual.column_names)
    shared = [name for name in expected.column_names if name in right]
    return sorted(left ^ right) + [name for name in shared if not equal_arrays(expected[name].combine_chunks(), actual[name].combine_chunks())]


def equal_arrays(expected: pa.Array, actual: pa.Array) -> bool:
    """Return whether two arrays are equal in type, length, nulls and values."""
    if isinstance(expected, pa.ChunkedArray):
        expected = pa.concat_arrays(expected.chunks) if expected.num_chunks else pa.array([], expected.type)
    if isinstance(actual, pa.ChunkedArray):
        actual = pa.concat_arrays(actual.chunks) if actual.num_chunks else pa.array([], actual.type)
    if expected.type != actual.type or len(expected) != len(actual) or not expected.is_null().equals(actual.is_null()):
        return False
    if pa.types.is_dictionary(expected.type):
        # The order of the values in the dictionary does not matter.
        return equal_arrays(expected.cast(expected.type.value_type), actual.cast(actual.type.value_type))
    if pa.types.is_list(expected.type) or pa.types.is_large_list(expected.type):
        return pc.list_value_length(expected).equals(pc.list_value_length(actual)) and equal_arrays(expected.flatten(), actual.flatten())
    if pa.types.is_floating(expected.type):
        return with_equal_nans(expected).equals(with_equal_nans(actual))
    return expected.equals(actual)


def with_equal_nans(array: pa.Array) -> pa.Array:
    """Replace every NaN by 0 and add a flag, so that `equals` treats NaNs as equal."""
    nan = pc.is_nan(array)
    return pa.StructArray.from_arrays([pc.if_else(nan, pa.scalar(0, array.type), array), nan], ["value", "nan"])
