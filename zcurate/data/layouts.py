"""Layouts of columns that Arrow has few functions for, as plain ones: runs, views, extension types, times in unknown zones."""

from __future__ import annotations

import functools
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


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
