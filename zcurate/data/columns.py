"""Convert the values of one column in memory, of any library, to an Arrow array; values of mixed types become text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.data.layouts import plain_column, plain_layout
from zcurate.errors import UsageError

UNREADABLE = (pa.ArrowException, OverflowError, ValueError, TypeError, NotImplementedError)
"""What Arrow raises for values that it has no common type for."""
ARROW_TIMES = ("D", "s", "ms", "us", "ns")
"""Units of NumPy times that Arrow has."""


def column_array(values: Any, location: str) -> pa.Array:
    """Convert the values of one column.

    Args:
        values: (N) Arrow, pandas, polars or NumPy array, or any sequence.
        location: names the column in messages.

    Returns:
        (N); NaN and the libraries' own missing values are null, except in Arrow data.

    Raises:
        UsageError: no sequence of values.
    """
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return one_array(values)
    if hasattr(values, "isna") and hasattr(values, "dtype"):
        return pandas_array(values)
    if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        try:
            return one_array(pa.chunked_array(values) if hasattr(values, "__arrow_c_stream__") else pa.array(values))
        except UNREADABLE:
            return sequence_array(list(values))
    if isinstance(values, (str, bytes, Mapping, set, frozenset)) or not (isinstance(values, Iterable) or hasattr(values, "__array__")):
        raise UsageError(f"scan: {location} is of type {type(values).__name__} — expected a list or an array of values")
    if isinstance(values, (list, tuple)) or not hasattr(values, "__array__"):
        return sequence_array(list(values))
    return numpy_array(values if isinstance(values, np.ndarray) else np.asarray(values), location)


def one_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Combine the chunks of an Arrow column, in a plain layout."""
    if isinstance(values, pa.Array):
        return plain_layout(values)
    values = plain_column(values)
    if values.num_chunks == 1:
        return values.chunk(0)
    combined = values.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def pandas_array(values: Any) -> pa.Array:
    """Convert a pandas series, index or array of any data type."""
    kind = type(values.dtype).__name__
    if kind == "SparseDtype":
        values = values.sparse.to_dense() if hasattr(values, "sparse") else values.to_dense()
    if kind == "PeriodDtype":
        values = values.dt.to_timestamp() if hasattr(values, "dt") else values.to_timestamp()
    try:
        array = one_array(pa.array(values, from_pandas=True))
    except UNREADABLE:
        array = None
    # Arrow has pandas' intervals, and categories that are intervals, only as structures.
    is_interval = kind == "IntervalDtype" or type(getattr(getattr(values.dtype, "categories", None), "dtype", None)).__name__ == "IntervalDtype"
    return text_array(list(values)) if array is None or is_interval else array


def numpy_array(values: np.ndarray, location: str) -> pa.Array:
    """Convert a NumPy array; the rows of one with more dimensions become lists.

    Raises:
        UsageError: a structured array, or one without dimensions.
    """
    if values.dtype.names or values.ndim == 0:
        raise UsageError(f"scan: {location} is an array of {values.dtype} of {values.ndim} dimensions — expected one value for each row")
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    values = np.asarray(values)
    if values.ndim > 1:
        return sequence_array(list(values.reshape(len(values), -1)))
    kind = values.dtype.kind
    if kind == "S":
        values = np.array([text.decode("utf-8", "replace") for text in values.tolist()], object)
    elif kind == "f" and values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    elif kind == "M" and np.datetime_data(values.dtype)[0] not in ARROW_TIMES:
        values = values.astype("datetime64[s]")
    elif kind == "m" and np.datetime_data(values.dtype)[0] not in ARROW_TIMES[1:]:
        values = values.astype("timedelta64[s]")
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    try:
        return pa.array(values, mask=mask, from_pandas=True)
    except UNREADABLE:
        return text_array([None if mask is not None and mask[row] else value for row, value in enumerate(values.tolist())])


def sequence_array(values: list[Any]) -> pa.Array:
    """Convert a list of Python or NumPy values."""
    try:
        return pa.array(values, from_pandas=True)
    except UNREADABLE:
        pass
    plain = [value.item() if getattr(value, "shape", None) == () else value for value in values]
    try:
        return pa.array(plain, from_pandas=True)
    except UNREADABLE:
        return text_array(plain)


def text_array(values: list[Any]) -> pa.Array:
    """Write values of mixed types as text; missing ones are null."""
    # Half of a pair of surrogates is no character that can be written.
    texts = [None if is_missing(value) else str(value).encode("utf-8", "backslashreplace").decode() for value in values]
    return pa.array(texts, pa.string())


def is_missing(value: Any) -> bool:
    """Whether a single value stands for a missing one: None, NaN, or pandas' NA and NaT."""
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
