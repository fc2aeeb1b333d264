"""Columns as basic Arrow types; missing values; text that holds only plain numbers or times. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.layouts import plain_layout
from zcurate.errors import InputError

MISSING_WORDS = ("", "na", "n/a", "null", "nan")
"""Spellings of missing values (DESIGN section 3), in any case; `none` is not among them, as it may be a class."""
CALENDAR = (-62_135_596_800, 253_402_214_400)
"""First second of the year 1, and that of the last day of 9999, since 1970."""
UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Unit of a timestamp -> how many of them are a second."""
DICTIONARY_ROWS = 10_000
"""Rows from which repeated strings are processed once per distinct value."""


def decode_column(column: pa.ChunkedArray) -> pa.Array:
    """Combine a column into one array of a basic type: dictionaries and runs decoded, views as plain arrays, decimals as float64, and so on."""
    # `combine_chunks` copies even a single chunk.
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        if array.num_chunks > 1:
            raise InputError("a column holds more values than fit into one array — expected less than 2 GB of text — read fewer rows")
        array = array.chunk(0) if array.num_chunks else pa.array([], column.type)
    array = plain_layout(array)
    while pa.types.is_dictionary(array.type):
        array = plain_layout(array.dictionary.take(array.indices))
    if pa.types.is_large_string(array.type):
        array = array.cast(pa.string())
    if pa.types.is_decimal(array.type) or pa.types.is_float16(array.type):
        array = array.cast(pa.float64())
    if pa.types.is_duration(array.type):
        array = array.cast(pa.int64())
    return array


def in_calendar(array: pa.Array) -> pa.Array:
    """Replace the times before the year 1 and after 9999, which neither Python nor people can write, by null; the same object where there are none.

    Args:
        array: (n) dates or timestamps; other types are returned as they are.
    """
    kind = array.type
    if not (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
        return array
    number, per_second = (
        (pa.int32(), 1 / 86400) if pa.types.is_date32(kind) else (pa.int64(), UNITS_PER_SECOND["ms" if pa.types.is_date64(kind) else kind.unit])
    )
    numbers = array.cast(number)
    low, high = (pa.scalar(min(max(round(second * per_second), -(2**63)), 2**63 - 1)).cast(number) for second in CALENDAR)
    extremes = pc.min_max(numbers)
    if not extremes["min"].is_valid or (extremes["min"].as_py() >= low.as_py() and extremes["max"].as_py() <= high.as_py()):
        return array
    fits = pc.and_(pc.greater_equal(numbers, low), pc.less_equal(numbers, high))
    return pc.if_else(fits, array, pa.scalar(None, kind))


def without_missing_words(array: pa.Array, words: tuple[str, ...] = MISSING_WORDS) -> pa.Array:
    """Strip a string array and replace the spellings of missing values by null.

    Args:
        array: (n) string.
        words: the spellings, in lower case.
    """
    if len(array) > DICTIONARY_ROWS:
        encoded = array.dictionary_encode()
        if len(encoded.dictionary) < len(array) / 4:
            return without_missing_words(encoded.dictionary, words).take(encoded.indices)
    trimmed = pc.utf8_trim_whitespace(array)
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(words, pa.string()))
    return pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)


def as_numbers(array: pa.Array) -> pa.Array | None:
    """Convert a string array to float64 if every non-null value is a number, else return None."""
    head = array.drop_null().slice(0, 64)
    for part in (head, array):
        try:
            numbers = pc.cast(part, pa.float64())
        except pa.ArrowInvalid:
            return None
    return numbers


def as_times(array: pa.Array) -> pa.Array | None:
    """Convert a string array to timestamps or times if every non-null value is an ISO date or time, else return None."""
    if not array.drop_null().slice(0, 1).to_pylist():
        return None
    head = array.drop_null().slice(0, 64)
    for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC"), pa.time64("us")):
        try:
            pc.cast(head, kind)
            return pc.cast(array, kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return None


def as_written(array: pa.Array) -> pa.Array:
    """Convert labels to strings as the input writes them: text unchanged, `true`/`false`, the digits of integers.

    Raises:
        InputError: a type that cannot be a label.
    """
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_boolean(kind):
        return pc.if_else(array, "true", "false")
    if pa.types.is_floating(kind):
        return pa.array([None if v is None or v != v else repr(v) for v in array.to_pylist()], pa.string())
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind) or pa.types.is_null(kind):
        try:
            return array.cast(pa.string())
        except pa.ArrowException as error:
            raise InputError(
                f"the label column is of type {str(kind)[:60]}, which cannot be written as text — expected text or numbers — convert it"
            ) from error
    raise InputError(f"the label column is of type {str(kind)[:60]} — expected text, numbers or booleans — convert it first")


def key_text(array: pa.Array, flag: str, location: str) -> pa.Array:
    """Write the values of a column that tells rows apart as text.

    Args:
        array: (n) from `decode_column`.
        flag: option and column, for the message.
        location: the input, for the message.

    Raises:
        InputError: values that cannot be written as text, such as lists and bytes.
    """
    try:
        return array.cast(pa.string())
    except pa.ArrowException as error:
        found = f"{location}: {flag} is of type {str(array.type)[:60]}, which cannot be written as text"
        raise InputError(f"{found} — expected text, numbers or dates — name another column") from error


@dataclass(frozen=True)
class ArrowFormat:
    """Text that Arrow casts itself: plain numbers, ISO dates and times."""

    kind: pa.DataType
    """Type to cast to."""

    def parse(self, text: pa.Array) -> pa.Array:
        """Cast (n) string; values that do not fit become null."""
        try:
            return pc.cast(text, self.kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            encoded = text.dictionary_encode()
            return pa.concat_arrays([cast_or_null(encoded.dictionary[at : at + 1], self.kind) for at in range(len(encoded.dictionary))]).take(encoded.indices)

    def describe(self) -> str:
        """Return the empty string."""
        return ""


def cast_or_null(value: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast one value, or return null if it does not fit."""
    try:
        return pc.cast(value, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(1, kind)
