"""Dates, times of day and durations as people write them in text."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

DAY_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y", "%d-%m-%y")
MONTH_FIRST = tuple(order.replace("%d", "%#").replace("%m", "%d").replace("%#", "%m") for order in DAY_FIRST)
NAMED = (
    "%d %b %Y",
    "%d-%b-%Y",
    "%d %b %y",
    "%d-%b-%y",
    "%d/%b/%Y",
    "%d. %b %Y",
    "%b %d %Y",
    "%b-%d-%Y",
    "%d%b%Y",
    "%d%b%y",
    "%Y%m%d",
    "%b %Y",
    "%b-%Y",
    "%b-%y",
)
YEAR_FIRST = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m", "%Y/%m", "%m/%Y", "%Y-%b-%d", "%Y %b %d")
"""Formats of dates for `strptime`; `%b` also matches whole names of months."""
TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p")
"""What may follow a date."""
ZONE = r"\s*(?:Z|UTC|GMT)?(?:(?P<sign>[+-])(?P<hours>\d{1,2}):?(?P<minutes>\d{2})?)?$"
"""Regular expression of an offset from UTC behind a time."""
CLOCK = r"(?P<hours>\d+):(?P<minutes>\d{2})(?::(?P<seconds>\d{2}(?:\.\d+)?))?\s?(?P<half>[AaPp])?\.?(?:[Mm]\.?)?"
DURATION = rf"^(?:(?P<days>-?\d+) days?,? ?)?(?P<minus>-)?\+?{CLOCK}$"
"""Regular expression of a time of day or a duration: 9:05, 9:05 PM, 36:00:00, 2 days 03:04:05."""
ISO_DURATION = r"^P(?:(?P<days>\d+(?:\.\d+)?)D)?(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?$"
"""Regular expression of a duration of ISO 8601: P1DT2H30M."""
MONTHS = {
    "Jan": "enero|ene|janvier|janv|januar|jänner|gennaio|gen|janeiro|januari",
    "Feb": "febrero|février|févr|fév|februar|febbraio|fevereiro|fev|februari",
    "Mar": "marzo|mars|märz|mrz|mär|março|maart|mrt",
    "Apr": "abril|abr|avril|avr|aprile",
    "May": "mayo|mai|maggio|mag|maio|mei",
    "Jun": "junio|juin|juni|giugno|giu|junho",
    "Jul": "julio|juillet|juil|juli|luglio|lug|julho",
    "Aug": "agosto|ago|août|augustus",
    "Sep": "septiembre|sept|set|septembre|settembre|setembro",
    "Oct": "octubre|octobre|oktober|okt|ottobre|ott|outubro|out",
    "Nov": "noviembre|novembre|novembro",
    "Dec": "diciembre|dic|décembre|déc|dezember|dez|dicembre|dezembro|december",
}
"""English month -> its names in Spanish, French, German, Italian, Portuguese and Dutch."""
DATE_LIKE = r"^\D{0,24}\d{1,4}(?:st|nd|rd|th)?(?:[-/., ]+\d{1,2}|[-/., ]*(?:Q|\p{L}{3})|[年月]|\d{4}$)"
"""Regular expression of text worth trying as a date."""
WIDTHS = {"%Y": r"\d{4}", "%y": r"\d{2}", "%m": r"\d{1,2}", "%d": r"\d{1,2}", "%b": "[[:alpha:]]{3,9}", ".": r"\."}
"""Part of a format -> regular expression; `strptime` alone reads 20 as a year of four digits."""
HEAD_VALUES = 64
"""Values on which every format is tried."""
SECONDS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
"""Unit of a duration -> seconds."""


@dataclass(frozen=True)
class DateFormat:
    """How the dates of one column are written."""

    date: str
    """Format of the date for `strptime`; times of day and offsets may follow it."""
    ambiguous: str = ""
    """Another format that fits all values as well, as 03/04/2020 in either order; empty if there is none."""

    def parse(self, text: pa.Array) -> pa.Array:
        """Convert text to times.

        Args:
            text: (n) string.

        Returns:
            (n) timestamp[us], in UTC where offsets are given; null where the text is missing or no date of this format.
        """
        clean, offset = without_offset(tidy_dates(text))
        return pc.subtract(self.parse_tidy(clean), pc.cast(offset, pa.duration("us")))

    def parse_tidy(self, clean: pa.Array) -> pa.Array:
        """Convert text from `tidy_dates` without offsets, (n) timestamp[us]; null where it has another format."""
        pattern = re.sub("%.|[.]", lambda part: WIDTHS[part[0]], self.date)
        clean = pc.if_else(pc.match_substring_regex(clean, f"^{pattern}(?: |$)"), clean, pa.scalar(None, pa.string()))
        return pc.coalesce(*(pc.strptime(clean, format=self.date + time, unit="us", error_is_null=True) for time in TIMES))

    def describe(self) -> str:
        """Say in words what may mislead; empty if nothing does."""
        words = {"%d": "day", "%m": "month"}
        return f"dates with the {words[self.date[:2]]} first, though the {words[self.ambiguous[:2]]} could be" if self.ambiguous else ""


def tidy_dates(text: pa.Array) -> pa.Array:
    """Remove weekdays, ordinals, commas and fractions of seconds; write quarters as months and one space before the time."""
    clean = pc.utf8_trim_whitespace(text)
    if pc.any(pc.match_substring_regex(clean, rf"(?i)\b(?:{'|'.join(MONTHS.values())})\b")).as_py():
        for month, names in MONTHS.items():
            clean = pc.replace_substring_regex(clean, rf"(?i)\b(?:{names})\b\.?", month)
    clean = pc.replace_substring_regex(clean, r"^(\d{4})年(\d{1,2})月(\d{1,2})日", r"\1-\2-\3")
    clean = pc.replace_substring_regex(clean, r"^(\d{1,4})\. ?(\d{1,2})\. ?(\d{1,4})\.?", r"\1.\2.\3")
    clean = pc.replace_substring_regex(clean, r"^(\d{1,2}[-/ ]?[A-Za-z]{3}[-/ ]?\d{2,4}):(\d{2}:)", r"\1 \2")
    clean = pc.replace_substring_regex(
        clean, r"^(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2} +\d{1,2}) (\d{2}:\d{2}:\d{2})(?: ([+-]\d{4}|[A-Z]{3}))? (\d{4})$", r"\1 \4 \2\3"
    )
    clean = pc.replace_substring_regex(clean, r"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*\.?,? +", "")
    clean = pc.replace_substring_regex(clean, r"([[:alpha:]]{3})\.", r"\1")
    clean = pc.replace_substring_regex(clean, r"^(\d{1,2})(?:st|nd|rd|th)\b", r"\1")
    clean = pc.replace_substring_regex(clean, r"([[:alpha:]]) (\d{1,2})(?:st|nd|rd|th)?, ", r"\1 \2 ")
    clean = pc.replace_substring_regex(clean, r"^(\d{1,2})\.? ([A-Za-z]{3,9}),? (\d)", r"\1 \2 \3")
    clean = pc.replace_substring_regex(clean, r"(:\d{2})[.,]\d+", r"\1")
    clean = pc.replace_substring_regex(clean, r"^(.*\d)(?:T|, ?|\s+)(\d{1,2}:\d{2})", r"\1 \2")
    clean = pc.replace_substring_regex(clean, r"(\d)\s*([AaPp])\.?[Mm]\.?$", r"\1 \2M")
    for quarter, month in enumerate(("01", "04", "07", "10"), 1):
        clean = pc.replace_substring_regex(clean, rf"^(\d{{4}})[- ]?Q{quarter}$", rf"\1-{month}")
    return clean


def without_offset(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Split the offset from UTC off.

    Args:
        text: (n) string.

    Returns:
        (n) string without offsets; (n) int64 offsets [us], 0 where there is none.
    """
    has_time = pc.match_substring_regex(text, r"\d:\d{2}.*(?:Z|UTC|GMT|[+-]\d{1,2}:?(?:\d{2})?)$")
    if not pc.any(has_time).as_py():
        return text, pa.array([0] * len(text), pa.int64())
    found = pc.extract_regex(text, ZONE)
    minutes = pc.add(pc.multiply(whole(found, "hours"), 60), whole(found, "minutes"))
    minutes = pc.if_else(pc.fill_null(pc.equal(pc.struct_field(found, "sign"), "-"), False), pc.negate(minutes), minutes)
    offset = pc.if_else(pc.fill_null(has_time, False), pc.multiply(minutes, 60_000_000), 0)
    return pc.if_else(has_time, pc.replace_substring_regex(text, ZONE, ""), text), offset


def whole(found: pa.Array, name: str) -> pa.Array:
    """Return a matched group as int64; 0 where it is missing or empty."""
    digits = pc.struct_field(found, name)
    return pc.fill_null(pc.if_else(pc.equal(digits, ""), "0", digits).cast(pa.int64()), 0)


def count_fits(text: pa.Array, forms: tuple[str, ...]) -> dict[str, int]:
    """Count the values that each format fits.

    Args:
        text: (n) string.
        forms: formats for `strptime`.
    """
    clean, _ = without_offset(tidy_dates(text))
    return {form: len(clean) - DateFormat(form).parse_tidy(clean).null_count for form in forms}


def infer_date_format(values: list[str], enough: float) -> DateFormat | None:
    """Infer the format that nearly all values of a column have.

    Args:
        values: a sample of the column, without missing values.
        enough: share of the values that must fit.
    """
    text = pa.array(values, pa.string())
    if not values or pc.mean(pc.match_substring_regex(text, DATE_LIKE).cast(pa.float64())).as_py() < enough:
        return None
    forms = (*YEAR_FIRST, *DAY_FIRST, *MONTH_FIRST, *NAMED)
    likely = {form: n for form, n in count_fits(text.take(pa.array(range(0, len(text), -(-len(text) // HEAD_VALUES)))), forms).items() if n}
    if not likely:
        return None
    fits = count_fits(text, tuple(likely))
    best = max(fits, key=lambda form: fits[form])
    if fits[best] < enough * len(values):
        return None
    other = dict(zip((*DAY_FIRST, *MONTH_FIRST), (*MONTH_FIRST, *DAY_FIRST), strict=True)).get(best, "")
    if not other or fits.get(other, 0) < fits[best]:
        return DateFormat(best)
    # Slashes are American more often than not.
    return DateFormat(other, best) if "/" in best else DateFormat(best, other)


@dataclass(frozen=True)
class DurationFormat:
    """Durations and times of day."""

    def parse(self, text: pa.Array) -> pa.Array:
        """Convert text to seconds, (n) float64; null where the text is missing or neither a duration nor a time of day."""
        trimmed = pc.utf8_trim_whitespace(text)
        found, iso = pc.extract_regex(trimmed, DURATION), pc.extract_regex(trimmed, ISO_DURATION)
        total = pc.coalesce(seconds_of(found), seconds_of(iso))
        half = pc.utf8_lower(pc.fill_null(pc.struct_field(found, "half"), ""))
        hour = pc.fill_null(number(found, "hours"), 0.0)
        afternoon, midnight = pc.and_(pc.equal(half, "p"), pc.less(hour, 12)), pc.and_(pc.equal(half, "a"), pc.equal(hour, 12))
        shift = pc.if_else(afternoon, 43200.0, pc.if_else(midnight, -43200.0, 0.0))
        total = pc.add(total, shift)
        return pc.if_else(pc.equal(pc.fill_null(pc.struct_field(found, "minus"), ""), "-"), pc.negate(total), total)

    def describe(self) -> str:
        """Return the empty string: nothing about durations misleads."""
        return ""


def number(found: pa.Array, name: str) -> pa.Array:
    """Return a matched group as float64; 0 where it is empty, null where nothing matched."""
    digits = pc.struct_field(found, name)
    return pc.if_else(pc.equal(digits, ""), "0", digits).cast(pa.float64())


def seconds_of(found: pa.Array) -> pa.Array:
    """Add up the matched days, hours, minutes and seconds [s]; null where nothing matched."""
    total = None
    for name, factor in SECONDS.items():
        part = pc.multiply(number(found, name), factor)
        total = part if total is None else pc.add(total, part)
    return total
