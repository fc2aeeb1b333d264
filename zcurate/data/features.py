"""Feature columns: their kind, decided by nearly all values, and their final type. No torch.

One rule for all formats, so that the same data get the same kinds as CSV, JSON or Parquet.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.sample import HEAD_ROWS, sample
from zcurate.data.conversions import HEAD_VALUES, NEARLY_ALL, Conversion, convert_text, misfits
from zcurate.data.dataset import ColumnKind
from zcurate.data.numerals import NumberFormat
from zcurate.data.values import ArrowFormat, decode_column, in_calendar, without_missing_words
from zcurate.data.vectors import common_length, fixed_size_lists, is_list, is_vector
from zcurate.errors import UsageError, did_you_mean, listed

UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""Characters of scripts without spaces between words."""
MAX_SENTENCES = 1000
"""Distinct multi-word strings above which a column is text, however often values repeat; by taste."""
MIN_IDENTIFIERS = 20
"""Fewer values are no identifiers, even if all differ."""
SHAPE_ROWS = 2_000
"""Strings from which the shape of identifiers is inferred."""
ID_NAME = re.compile(r"(?i)(^|[^a-z])(id|ids|uuid|guid|key|idx|index|nr|no|code|number)$|[a-z]I[dD]$|^unnamed: ?\d+$|^row_?names?$")
"""Matches names of columns of identifiers."""
TIME_NAME = re.compile(r"(?i)time|date|stamp|epoch|(^|_)ts$|_at$")
"""Matches names of columns of times, whose numbers are no keys."""
EIGHT_DIGITS = (15_000_101, 29_991_231)
"""Numbers that are days written as year, month and day."""
HASH = re.compile(r"(?i)\{?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?|(0x)?[0-9a-f]{16,}")
"""Matches UUIDs and hexadecimal hashes."""
MAX_NAMED = 4
"""Columns that one warning names."""
FORCED_CONVERSION = {"number": "number", "date": "time", "vector": "vector"}
"""Value of `--kind` -> kind of conversion."""
QUIET_REASONS = ("constant", "all missing", "excluded", "identifier")
"""Reasons for leaving a column out that need no warning."""


@dataclass(frozen=True)
class FeatureColumn:
    """A column of the input as it is used."""

    name: str
    """Its name in the input."""
    array: pa.Array
    """(N) in its final type."""
    kind: ColumnKind | None
    """Its kind; None if it is left out."""
    why: str = ""
    """Why it is left out."""
    conversion: Conversion | None = None
    """How text was converted."""
    n_misfits: int = 0
    """Values that do not fit its kind, and are missing therefore."""
    example: str = ""
    """One of them."""


def forced_kinds(names: list[str], options: tuple[str, ...], location: str) -> dict[str, str]:
    """Resolve `--kind COL=KIND`; later ones win.

    Args:
        names: all columns.
        options: each `COL=KIND`, where COL may be a glob.
        location: the input, for messages.

    Raises:
        UsageError: a pattern matches no column.
    """
    kinds: dict[str, str] = {}
    for option in options:
        pattern, _, kind = option.rpartition("=")
        matches = [name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)]
        if not matches:
            raise UsageError(f"{location}: --kind {option} matches no column — columns: {listed(names)}{did_you_mean(pattern, names, '--kind {}=' + kind)}")
        kinds |= dict.fromkeys(matches, kind)
    return kinds


def read_column(name: str, column: pa.ChunkedArray, forced: str | None, decimal_comma: bool, missing: tuple[str, ...], location: str) -> FeatureColumn:
    """Convert a column to its final type and infer its kind.

    Args:
        name: of the column.
        column: (N) as read.
        forced: value of `--kind` for it; None to infer its kind.
        decimal_comma: the file has decimal commas.
        missing: words, in lower case, that mean a missing value.
        location: the input, for messages.

    Raises:
        UsageError: no value fits the forced kind.
    """
    if forced == "id":
        return FeatureColumn(name, pa.nulls(len(column)), None, "identifier, as asked for by --kind")
    raw = decode_column(column)
    array, conversion, n_misfits, example = raw, None, 0, ""
    if pa.types.is_string(raw.type):
        raw = array = without_missing_words(raw, missing)
        if forced not in ("category", "text"):
            array, conversion = convert_text(raw, decimal_comma, FORCED_CONVERSION.get(forced or ""))  # type: ignore[arg-type]
        if conversion is not None:
            n_misfits, example = misfits(raw, array)
    elif is_list(raw.type):
        array, n_misfits, example = regular_vectors(raw)
    elif pa.types.is_temporal(raw.type):
        array = in_calendar(raw)
        n_misfits, example = misfits(raw.cast(pa.string()), array) if array is not raw else (0, "")
    if forced is None:
        # What carries a unit is no running number.
        has_unit = conversion is not None and isinstance(conversion.form, NumberFormat) and conversion.form.unit != ""
        kind, why = ("number", "") if has_unit and array.null_count < len(array) else column_kind(array, name)
        return FeatureColumn(name, array, kind, why, conversion, n_misfits, example)
    return force_kind(FeatureColumn(name, array, None, "", conversion, n_misfits, example), forced, location)


def force_kind(column: FeatureColumn, forced: str, location: str) -> FeatureColumn:
    """Give a column the kind of `--kind`.

    Args:
        column: converted if it can be.
        forced: one of `KINDS` but `id`.
        location: the input, for messages.

    Raises:
        UsageError: no value fits.
    """
    array = column.array
    if array.null_count == len(array) and not column.n_misfits:
        return FeatureColumn(column.name, array, None, "all missing")
    if forced in ("category", "text"):
        if not (is_basic_type(array.type) or pa.types.is_boolean(array.type)):
            raise misfit_error(column, forced, location)
        return FeatureColumn(column.name, array.cast(pa.string()), forced)  # type: ignore[arg-type]
    kind: ColumnKind = "time" if forced == "date" else forced  # type: ignore[assignment]
    if forced == "date" and (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        array = times_of_numbers(array)
    fits = {
        "number": pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_boolean(array.type),
        "time": pa.types.is_temporal(array.type),
        "vector": is_list(array.type),
    }
    if not fits[kind] or array.null_count == len(array):
        raise misfit_error(column, forced, location)
    return FeatureColumn(column.name, array, kind, "", column.conversion, column.n_misfits, column.example)


def times_of_numbers(array: pa.Array) -> pa.Array:
    """Convert numbers to times: days as 20200131, else seconds, milliseconds, microseconds or nanoseconds since 1970.

    Args:
        array: (N) integers or floats.
    """
    whole = array.cast(pa.float64(), safe=False).cast(pa.int64(), safe=False)
    largest = pc.max(pc.abs(whole)).as_py() or 0
    if EIGHT_DIGITS[0] <= (pc.min(whole).as_py() or 0) and largest <= EIGHT_DIGITS[1]:
        return pc.strptime(whole.cast(pa.string()), format="%Y%m%d", unit="us", error_is_null=True)
    unit = "s" if largest < 1e11 else "ms" if largest < 1e14 else "us" if largest < 1e17 else "ns"
    return whole.cast(pa.timestamp(unit)).cast(pa.timestamp("us"), safe=False)


def misfit_error(column: FeatureColumn, forced: str, location: str) -> UsageError:
    """Create the error for a column of which no value fits the forced kind."""
    example = column.example or str(column.array.drop_null()[0] if column.array.null_count < len(column.array) else "")[:40]
    return UsageError(f"{location}: --kind {column.name}={forced}, but it holds '{example}' — expected values that can be read as {forced} — leave --kind out")


def regular_vectors(array: pa.Array) -> tuple[pa.Array, int, str]:
    """Convert lists of numbers, nearly all of one length, to vectors.

    Args:
        array: (N) lists.

    Returns:
        (N) fixed-size lists, the number of lists of another length, which become null, and one of them in words; the array itself where no length
        is that common.
    """
    length = common_length(array, NEARLY_ALL) if is_vector(array.type) else 0
    if not length:
        return array, 0, ""
    lengths = pc.list_value_length(array)
    other = lengths.filter(pc.fill_null(pc.not_equal(lengths, length), False))
    return fixed_size_lists(array, length), len(other), f"a list of {other[0]} numbers, not {length}" if len(other) else ""


def like_sample(array: pa.Array, kind: pa.DataType, conversion: Conversion | None, missing: tuple[str, ...]) -> pa.Array:
    """Convert some rows of a feature column as its sample was converted; a value that does not fit becomes null.

    Args:
        array: (n) column of a basic type.
        kind: type of the sample.
        conversion: of text; None where the sample was not converted.
        missing: words, in lower case, that mean a missing value.
    """
    if pa.types.is_string(array.type):
        array = without_missing_words(array, missing)
        if conversion is not None:
            array = conversion.apply(array)
    if array.type == kind:
        return in_calendar(array)
    if pa.types.is_fixed_size_list(kind):
        return fixed_size_lists(array, kind.list_size)
    return ArrowFormat(kind).parse(array) if pa.types.is_string(array.type) else in_calendar(array).cast(kind, safe=False)


def column_kind(array: pa.Array, name: str = "") -> tuple[ColumnKind | None, str]:
    """Infer a feature column's kind, or return None and the reason for leaving it out.

    Args:
        array: (N) a column in its final type.
        name: of the column.
    """
    kind = array.type
    values = array.drop_null() if array.null_count else array
    if pa.types.is_floating(kind) and pc.any(pc.is_nan(values)).as_py():
        values = values.filter(pc.invert(pc.is_nan(values)))
    if len(values) == 0:
        return None, "all missing"
    if is_list(kind):
        return vector_kind(values)
    if not (is_basic_type(kind) or pa.types.is_boolean(kind)):
        return None, f"values of type {kind} are not read"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        extremes = pc.min_max(values)
        if extremes["min"] == extremes["max"] and array.null_count == 0:
            return None, "constant"
        return (None, "identifier: whole numbers that hardly repeat") if is_numeric_identifier(values, name) else ("number", "")
    n_values = len(pc.unique(values))
    if n_values == 1 and array.null_count == 0:
        return None, "constant"
    if pa.types.is_boolean(kind):
        return "number", ""
    if pa.types.is_temporal(kind):
        return "time", ""
    return text_kind(values, n_values, name)


def is_numeric_identifier(values: pa.Array, name: str) -> bool:
    """Return whether numbers are a running number or a key: whole, hardly ever repeated, and in order, without gaps, of one length, or named so.

    Args:
        values: (n) without missing values.
        name: of the column.
    """
    if len(values) < MIN_IDENTIFIERS or not (all_integers(values) and hardly_repeats(values)):
        return False
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
    steps = np.diff(numbers)
    is_sorted = (steps >= 0).mean() > 0.99 or (steps <= 0).mean() > 0.99
    is_dense = np.ptp(numbers) < 2 * len(numbers)
    n_digits = np.floor(np.log10(np.maximum(np.abs(numbers), 1.0)))
    is_code = n_digits.min() == n_digits.max() and n_digits.max() >= 8 and not TIME_NAME.search(name)
    return bool(is_sorted or is_dense or is_code or ID_NAME.search(name))


def all_integers(values: pa.Array) -> bool:
    """Return whether every number is an integer; the leading rows settle it for most columns."""
    return pa.types.is_integer(values.type) or all(pc.all(pc.equal(part, pc.floor(part))).as_py() for part in (values.slice(0, HEAD_ROWS), values))


def hardly_repeats(values: pa.Array) -> bool:
    """Return whether nearly all values differ; the leading rows settle it for most columns."""
    return all(len(pc.unique(part)) >= NEARLY_ALL * len(part) for part in (values.slice(0, HEAD_ROWS), values))


def is_basic_type(kind: pa.DataType) -> bool:
    """Return whether Arrow can count, compare and cast a type: numbers, text, dates and times."""
    is_temporal = pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind)
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_string(kind) or is_temporal


def vector_kind(values: pa.Array) -> tuple[ColumnKind | None, str]:
    """Classify a list column: a vector if all lists have the same length and hold numbers."""
    if not is_vector(values.type):
        return None, f"lists of {values.type.value_type} are not read"
    return ("vector", "") if pa.types.is_fixed_size_list(values.type) and values.type.list_size else (None, "lists of differing lengths")


def text_kind(values: pa.Array, n_values: int, name: str = "") -> tuple[ColumnKind | None, str]:
    """Classify a string column as text, category or identifier by words per value, distinct values and their shape; the thresholds are by taste.

    In scripts without spaces two characters count as a word.

    Args:
        values: (n) string, no nulls.
        n_values: number of distinct values.
        name: of the column.
    """
    n_words = pc.mean(pc.add(pc.add(pc.count_substring(values, " "), 1), pc.divide(pc.count_substring_regex(values, UNSPACED), 2))).as_py()
    if n_words < 1.5 and len(values) >= MIN_IDENTIFIERS and n_values >= NEARLY_ALL * len(values) and looks_like_keys(values, name):
        return None, "identifier: codes that hardly repeat"
    if n_values > max(20, min(MAX_SENTENCES, 0.2 * len(values))) and n_words >= 1.8:
        return "text", ""
    if n_values > 0.5 * len(values) and n_values > 50:
        return "text", ""
    return "category", ""


def looks_like_keys(values: pa.Array, name: str) -> bool:
    """Return whether unique strings are keys rather than words: numbered, hashes, or random letters and digits of one length.

    Names, addresses and sequences are none.

    Args:
        values: (n) string, no nulls.
        name: of the column.
    """
    taken = values.take(pa.array(sample(len(values), SHAPE_ROWS))).to_pylist() if len(values) > SHAPE_ROWS else values.to_pylist()
    enough = NEARLY_ALL * len(taken)
    has_digit = sum(any(character.isdigit() for character in value) for value in taken)
    if sum(HASH.fullmatch(value) is not None for value in taken) >= enough:
        return True
    # user_0001, INV-2024-17.pdf: without their digits few differ.
    stems = Counter(re.sub(r"\d+", "", value) for value in taken)
    if has_digit >= enough and len(stems) <= max(3, 0.05 * len(taken)):
        return True
    is_named = ID_NAME.search(name) is not None
    is_mixed = sum(value.isalnum() and not value.isalpha() for value in taken)
    of_one_length = len(set(map(len, taken))) == 1 and len(taken[0]) >= 6
    return (of_one_length and is_mixed >= 0.8 * len(taken)) or (is_named and has_digit >= 0.5 * len(taken))


def misfit_warnings(columns: list[FeatureColumn], n_rows: int) -> list[str]:
    """Say which values were not used: those that do not fit their column's kind, and columns that cannot be read.

    Args:
        columns: all candidates.
        n_rows: N.
    """
    words = {"number": "numbers", "time": "dates", "vector": "vectors"}
    odd = [column for column in columns if column.n_misfits and column.kind is not None]
    named = [
        f"'{column.name}' ({column.n_misfits} of {n_rows} values are no {words.get(column.kind or '', 'booleans')}, such as '{column.example[:40]}')"
        for column in odd
    ]
    out = []
    if odd:
        rest = f" and {len(odd) - MAX_NAMED} more columns" if len(odd) > MAX_NAMED else ""
        plural = "s" if len(odd) > 1 else ""
        keep = f"--kind {odd[0].name}=text or =category reads {'it' if len(odd) == 1 else 'them'} as written"
        out.append(f"column{plural} {', '.join(named[:MAX_NAMED])}{rest}: taken for missing — {keep}")
    out += [
        f"column '{column.name}': {text}"
        for column in columns
        if column.kind == "time" and column.conversion is not None and (text := column.conversion.form.describe())
    ]
    unread = [column for column in columns if column.kind is None and column.why and (not column.why.startswith(QUIET_REASONS) or looks_numeric(column))]
    if unread:
        named_columns = listed((f"{column.name} ({column.why})" for column in unread), MAX_NAMED)
        usable = next((column.name for column in unread if pa.types.is_string(column.array.type)), None)
        out.append(f"left out: {named_columns}" + (f" — --kind {usable}=text or =category uses it all the same" if usable else ""))
    return out


def looks_numeric(column: FeatureColumn) -> bool:
    """Return whether a column of text that was left out holds mostly digits under a name that is no key's: numbers or dates of an unknown form."""
    if not pa.types.is_string(column.array.type) or ID_NAME.search(column.name):
        return False
    head = column.array.drop_null().slice(0, HEAD_VALUES).to_pylist()
    characters = "".join(head)
    plain = sum(value[:1].isdigit() or value[:1] in "+-$€£¥(" for value in head)
    return plain >= NEARLY_ALL * len(head) and sum(map(str.isdigit, characters)) >= 0.5 * max(1, len(characters))
