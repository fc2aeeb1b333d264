"""Two Arrow tables, cell for cell: NaN equals NaN, null equals null, and nothing else equals what it is not."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def differing(expected: pa.Table, actual: pa.Table) -> list[str]:
    """Names of the columns that differ in type or in any cell, those that only one table has among them."""
    ours, theirs = set(expected.column_names), set(actual.column_names)
    both = [name for name in expected.column_names if name in theirs]
    return sorted(ours ^ theirs) + [name for name in both if not same(expected[name].combine_chunks(), actual[name].combine_chunks())]


def same(expected: pa.Array, actual: pa.Array) -> bool:
    """Whether two arrays hold the same."""
    if isinstance(expected, pa.ChunkedArray):
        expected = pa.concat_arrays(expected.chunks) if expected.num_chunks else pa.array([], expected.type)
    if isinstance(actual, pa.ChunkedArray):
        actual = pa.concat_arrays(actual.chunks) if actual.num_chunks else pa.array([], actual.type)
    if expected.type != actual.type or len(expected) != len(actual) or not expected.is_null().equals(actual.is_null()):
        return False
    if pa.types.is_dictionary(expected.type):
        # The same words may stand in another order in the dictionary.
        return same(expected.cast(expected.type.value_type), actual.cast(actual.type.value_type))
    if pa.types.is_list(expected.type) or pa.types.is_large_list(expected.type):
        return pc.list_value_length(expected).equals(pc.list_value_length(actual)) and same(expected.flatten(), actual.flatten())
    if pa.types.is_floating(expected.type):
        return bits(expected).equals(bits(actual))
    return expected.equals(actual)


def bits(array: pa.Array) -> pa.Array:
    """Floats with every NaN as the same number that no column holds, and whether it was one."""
    nan = pc.is_nan(array)
    return pa.StructArray.from_arrays([pc.if_else(nan, pa.scalar(0, array.type), array), nan], ["value", "nan"])
