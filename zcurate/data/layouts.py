"""Layouts of columns that Arrow has few functions for, as plain ones: runs, views, extension types, times in unknown zones."""

from __future__ import annotations

import functools
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

OFFSET_BYTES = 8
"""Memory of the offset of a text or list."""


def plain_layout(array: pa.Array) -> pa.Array:
    """Replace the layout of an array by a plain one; the same object where it is plain already, or where Arrow cannot convert it."""
    while isinstance(array, pa.ExtensionArray) or pa.types.is_run_end_encoded(array.type):
        array = array.storage if isinstance(array, pa.ExtensionArray) else decode_runs(array)
    if pa.types.is_dictionary(array.type) and is_odd(array.type):
        return plain_layout(array.dictionary).take(array.indices)
    kind = without_views(array.type)
    if kind == array.type:
        return array
    with suppress(pa.ArrowException):
        return array.cast(kind)
    return array


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Replace the layout of a column by a plain one; the same object where it is plain already."""
    return pa.chunked_array([plain_layout(chunk) for chunk in column.chunks or [pa.array([], column.type)]]) if is_odd(column.type) else column


def is_odd(kind: pa.DataType) -> bool:
    """Return whether `plain_layout` has anything to do for a type."""
    return plain_type(kind) != kind


def decode_runs(array: pa.RunEndEncodedArray) -> pa.Array:
    """Repeat the values of runs, whatever their type."""
    ends = array.run_ends.to_numpy(zero_copy_only=False)
    rows = np.arange(array.offset, array.offset + len(array))
    return array.values.take(pa.array(np.searchsorted(ends, rows, side="right")))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column after `plain_layout`."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pa.types.is_dictionary(kind):
        value = plain_type(kind.value_type)
        return kind if value == kind.value_type else value
    return without_views(kind)


def without_views(kind: pa.DataType) -> pa.DataType:
    """Replace views by plain text, bytes and lists, also within lists and structures, and drop a time zone that Arrow does not know."""
    if str(kind) == "string_view":
        return pa.large_string()
    if str(kind) == "binary_view":
        return pa.large_binary()
    if pa.types.is_timestamp(kind):
        return kind if kind.tz is None or is_known_zone(kind.tz) else pa.timestamp(kind.unit)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(without_views(field.type)) for field in kind])
    is_view = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
    if is_view or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        value = without_views(kind.value_type)
        if value == kind.value_type and not is_view:
            return kind
        return pa.list_(value) if pa.types.is_list(kind) or pa.types.is_list_view(kind) else pa.large_list(value)
    return kind


@functools.cache
def is_known_zone(zone: str) -> bool:
    """Return whether Arrow knows a time zone."""
    try:
        pc.cast(pa.array([0], pa.timestamp("s", zone)), pa.string())
    except pa.ArrowException:
        return False
    return True


def plain_bytes(column: pa.ChunkedArray) -> int:
    """Bound the memory of a column once its dictionaries, runs and views are plain arrays [bytes].

    Args:
        column: (N) of any type.
    """
    return sum(chunk_bytes(chunk) for chunk in column.chunks)


def chunk_bytes(array: pa.Array) -> int:
    """Bound the memory of an array once it is plain; see `plain_bytes`."""
    kind, n = array.type, len(array)
    if isinstance(array, pa.ExtensionArray):
        return chunk_bytes(array.storage)
    if pa.types.is_dictionary(kind):
        sizes = value_sizes(array.dictionary)
        return int(pc.sum(sizes.take(array.indices)).as_py() or 0)
    if pa.types.is_run_end_encoded(kind):
        return n * int(pc.max(value_sizes(array.values)).as_py() or 1)
    return int(pc.sum(value_sizes(array)).as_py() or 0) if is_odd(kind) else max(n, int(array.nbytes))


def value_sizes(array: pa.Array) -> pa.Array:
    """Bound the memory of each value of an array once it is plain, (n) int64 [bytes]."""
    kind, n = array.type, len(array)
    if str(kind) in ("string_view", "binary_view"):
        # A view is 16 bytes: the length of the text, and where it is.
        lengths = np.frombuffer(array.buffers()[1], "<i4")[::4][array.offset : array.offset + n]
        return pa.array(lengths.astype(np.int64) + OFFSET_BYTES)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pc.add(pc.fill_null(pc.binary_length(array).cast(pa.int64()), 0), OFFSET_BYTES)
    if is_any_list(kind):
        largest = int(pc.max(value_sizes(array.values)).as_py() or 1) if len(array.values) else 1
        return pc.add(pc.multiply(pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0), largest), OFFSET_BYTES)
    if pa.types.is_struct(kind):
        fields = [value_sizes(array.field(number)) for number in range(kind.num_fields)]
        return functools.reduce(pc.add, fields, pa.array(np.ones(n, np.int64)))
    inner = array.storage if isinstance(array, pa.ExtensionArray) else array.dictionary if pa.types.is_dictionary(kind) else None
    if inner is not None:
        return pa.array(np.full(n, int(pc.max(value_sizes(inner)).as_py() or 1)))
    return pa.array(np.full(n, max(1, int(array.nbytes) // max(1, n))))


def is_any_list(kind: pa.DataType) -> bool:
    """Return whether a type is a list of any layout."""
    is_view = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
    return is_view or pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def checked_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema whose names and types are valid text, which Arrow checks only when they are used.

    Raises:
        UnicodeDecodeError: a name is not UTF-8.
    """
    for field in schema:
        str(field.name), str(field.type)
    return schema
