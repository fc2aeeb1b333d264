"""Conversion of text columns to numbers, times, booleans or vectors, decided by nearly all values; those that do not fit become missing.

One rule for all formats and for tables that are read batch by batch: the conversion is inferred from a sample and applied to every row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.dates import DurationFormat, infer_date_format
from zcurate.data.numerals import infer_number_format, looks_grouped
from zcurate.data.values import ArrowFormat, as_numbers, as_times
from zcurate.data.vectors import infer_vector_format

NEARLY_ALL = 0.9
"""Share of a column's values that must fit for the others to be exceptions; by taste."""
FEW_VALUES = 10
"""A column of at least this many values may hold one exception, whatever its share."""
GROUPED_OR_PLAIN = r"^[+-]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d{1,3})$"
"""Regular expression of whole numbers with points between thousands, or of up to three digits."""
HEAD_VALUES = 64
"""Leading values that rule out most conversions."""
INFERENCE_ROWS = 5_000
"""Rows from which a conversion is inferred."""
MARKERS = (
    "?", "??", "-", "--", "---", ".", "..", "...", "*", "**", "–", "—", "_", "none", "nil", "#n/a", "#na", "#n/a n/a", "<na>", "\\n", "n.a.", "n.a",
    "n.d.", "nd", "n/d", "(null)", "(blank)", "(empty)", "[null]", "missing", "unknown", "unk", "undefined", "not available", "not applicable",
    "-nan", "+nan", "#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "nat", "tbd", "k.a.",
    "s/o", "na.", "no data", "none.", "empty", "blank", "error", "0000-00-00", "0000-00-00 00:00:00", "00.00.0000", "00/00/0000", "$ -", "$-", "- $",
    "€ -", "- €", "£ -", "<lod", "<loq", "bdl", "refused",
)  # fmt: skip
"""Spellings of missing values among numbers and dates, in lower case; in a column of categories they are categories."""

Kind = Literal["number", "time", "boolean", "vector"]


class TextFormat(Protocol):
    """How the values of one column are written."""

    def parse(self, text: pa.Array) -> pa.Array:
        """Convert (n) string; null where a value does not fit."""

    def describe(self) -> str:
        """Say in words what is unusual; empty if nothing is."""


@dataclass(frozen=True)
class Conversion:
    """How a text column becomes numbers, times, booleans or vectors."""

    kind: Kind
    """What it becomes."""
    form: TextFormat
    """How its values are written."""

    def apply(self, text: pa.Array) -> pa.Array:
        """Convert (n) string without missing words; null where a value is missing or does not fit."""
        return self.form.parse(text)


@dataclass(frozen=True)
class BooleanFormat:
    """`true` and `false` in any case."""

    def parse(self, text: pa.Array) -> pa.Array:
        """Convert (n) string; other words become null."""
        words = pc.utf8_lower(text)
        return pc.if_else(pc.is_in(words, value_set=pa.array(["true", "false"])), pc.equal(words, "true"), pa.scalar(None, pa.bool_()))

    def describe(self) -> str:
        """Return the empty string."""
        return ""


def strict_conversion(text: pa.Array) -> tuple[Conversion, pa.Array] | None:
    """Convert a column whose values all fit a plain type, or return None.

    Args:
        text: (n) string without missing words.

    Returns:
        The conversion, and the converted column.
    """
    converters: tuple[tuple[Kind, Callable[[pa.Array], pa.Array | None]], ...] = (("number", as_numbers), ("time", as_times))
    for kind, convert in converters:
        if (converted := convert(text)) is not None:
            return Conversion(kind, ArrowFormat(converted.type)), converted
    form = BooleanFormat()
    if form.parse(text.drop_null().slice(0, HEAD_VALUES)).null_count:
        return None
    converted = form.parse(text)
    fits = converted.null_count == text.null_count and len(pc.unique(converted.drop_null())) == 2
    return (Conversion("boolean", form), converted) if fits else None


def infer_conversion(text: pa.Array, decimal_comma: bool = False, forced: Kind | None = None) -> Conversion | None:
    """Infer how nearly all values of a column are written; None for text.

    Args:
        text: (n) string without missing words: all rows, or a sample of them.
        decimal_comma: the file has decimal commas.
        forced: the only kind to try, and however few values fit.
    """
    values = sample_values(text)
    if not values:
        return None
    enough = 0.0 if forced else min(NEARLY_ALL, 1 - 1 / len(values) if len(values) >= FEW_VALUES else 1.0)
    # Most columns of words are told by their first values.
    found = with_digits(values[:HEAD_VALUES])
    found = with_digits(values) if found >= 0.5 else found
    candidates: list[tuple[Kind, TextFormat | None]] = []
    if forced is not None or found >= enough:
        candidates += [("number", infer_number_format(values, decimal_comma)), ("time", infer_date_format(values, enough)), ("number", DurationFormat())]
        candidates.append(("vector", infer_vector_format(values, NEARLY_ALL)))
    candidates.append(("boolean", BooleanFormat()))
    best: tuple[float, Conversion | None] = (0.0, None)
    for kind, form in candidates:
        if form is None or (forced is not None and kind != forced):
            continue
        share = 1 - form.parse(pa.array(values, pa.string())).null_count / len(values)
        # A boolean column holds both words.
        if share > best[0] and share >= enough and (kind != "boolean" or len({value.lower() for value in values}) > 1):
            best = share, Conversion(kind, form)
    return best[1]


def sample_values(text: pa.Array) -> list[str]:
    """Return evenly spaced known values without markers of missing ones, at most `INFERENCE_ROWS`."""
    step = -(-len(text) // INFERENCE_ROWS) or 1
    some = text.take(pa.array(range(0, len(text), step), pa.int64())) if step > 1 else text
    return without_markers(some).drop_null().to_pylist()


def without_markers(text: pa.Array) -> pa.Array:
    """Replace markers of missing values among numbers and dates by null."""
    return pc.if_else(pc.is_in(pc.utf8_lower(text), value_set=pa.array(MARKERS)), pa.scalar(None, pa.string()), text)


def with_digits(values: list[str]) -> float:
    """Return the share of values that hold a digit."""
    return sum(any(character.isdigit() for character in value) for value in values) / len(values)


def convert_text(text: pa.Array, decimal_comma: bool = False, forced: Kind | None = None) -> tuple[pa.Array, Conversion | None]:
    """Convert a text column to the type that nearly all of its values have; unchanged if they have none.

    Args:
        text: (n) string without missing words.
        decimal_comma: the file has decimal commas.
        forced: kind to convert to, however few values fit.

    Returns:
        The column, and how it was converted.
    """
    if text.null_count == len(text):
        return text, None
    has_other_form = (decimal_comma and pc.any(pc.match_substring(text, ".")).as_py()) or is_grouped(text)
    plain = None if has_other_form else strict_conversion(text)
    if plain is not None and (forced is None or plain[0].kind == forced):
        return plain[1], plain[0]
    conversion = infer_conversion(text, decimal_comma, forced)
    return (text, None) if conversion is None else (conversion.apply(text), conversion)


def is_grouped(text: pa.Array) -> bool:
    """Return whether points separate thousands in a column, as in 1.120, 908, 23.450.

    Args:
        text: (n) string without missing words.
    """
    head = text.drop_null().slice(0, HEAD_VALUES)
    if not len(head) or not pc.all(pc.match_substring_regex(head, GROUPED_OR_PLAIN)).as_py():
        return False
    values = [value.lstrip("+-") for value in sample_values(text)]
    return any("." in value for value in values) and all(re.fullmatch(GROUPED_OR_PLAIN, value) for value in values) and looks_grouped(values)


def misfits(text: pa.Array, converted: pa.Array) -> tuple[int, str]:
    """Count the values that did not fit a conversion, and return one of them.

    Args:
        text: (n) string without missing words, before the conversion.
        converted: (n) after it.
    """
    lost = pc.and_(converted.is_null(), text.is_valid())
    n = pc.sum(lost.cast(pa.int64())).as_py() or 0
    return n, text.filter(lost)[0].as_py() if n else ""
