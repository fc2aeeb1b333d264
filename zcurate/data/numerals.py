"""Numbers as people write them in text: thousands separators, decimal commas, currency and percent signs, units, accounting negatives."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

CURRENCY = (
    r"[$€£¥₹₽₩₺₫฿₴₦₱₡₸#]|[A-Z]{0,2}\$|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SGD|HKD|MXN|BRL|ZAR|SEK|NOK|DKK|PLN|CZK|HUF|RUB|TRY|zł|kr\.?|Kč|Rs\.?|Fr\.?|Rp\.?"
)
"""Currency signs and codes, and number signs, before or after a number."""
SPACES, APOSTROPHES = "[ \u00a0\u202f]", "['\u2019]"
"""Spaces and apostrophes that separate thousands."""
AFFIXES = re.compile(rf"[+-]?(?P<before>{CURRENCY})?\s*[+-]?[0-9.,'\u2019 \u00a0\u202f]*[0-9][.,]?(?:[eE][+-]?[0-9]+)?\s*(?P<after>[^0-9]*)")
"""Matches currency and unit around a number."""
GROUPED = {",": r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}", ".": r"[1-9]\d{0,2}(?:\.\d{3})+"}
"""Separator -> regular expression of whole numbers that it groups."""
HALF = 0.5
"""A unit must stand behind at least this share of a column's numbers; by taste."""


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of one column are written."""

    decimal: str = "."
    """Decimal mark."""
    thousands: str = ""
    """Thousands separator: `,`, `.`, `'`, a space, or empty for none."""
    unit: str = ""
    """Unit, currency or percent sign that may stand beside each number; empty for none."""

    def parse(self, text: pa.Array) -> pa.Array:
        """Convert text to numbers.

        Args:
            text: (n) string.

        Returns:
            (n) float64; null where the text is missing or no number of this format. `<0.01` becomes its limit, 0.01.
        """
        bare = bare_numerals(text, self.unit)
        separator = {" ": SPACES, "'": APOSTROPHES}.get(self.thousands, re.escape(self.thousands))
        # Indian numbers group by two digits: 12,34,567.
        digits = r"\d{2,3}" if self.thousands == "," else r"\d{3}"
        whole = rf"\d{{1,3}}(?:{separator}{digits})*{separator}\d{{3}}|\d+" if self.thousands else r"\d+"
        decimal = re.escape(self.decimal)
        fits = pc.match_substring_regex(bare, rf"^[+-]?(?:(?:{whole})(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?$")
        bare = pc.if_else(fits, bare, pa.scalar(None, pa.string()))
        if self.thousands:
            bare = pc.replace_substring_regex(bare, separator, "")
        if self.decimal != ".":
            bare = pc.replace_substring(bare, self.decimal, ".")
        return bare.cast(pa.float64())

    def describe(self) -> str:
        """Say in words what is unusual about the format; empty for plain numbers."""
        parts = [f"decimal mark '{self.decimal}'"] if self.decimal != "." else []
        parts += [f"thousands separator '{self.thousands}'"] if self.thousands else []
        parts += [f"unit '{self.unit}'"] if self.unit else []
        return ", ".join(parts)


def bare_numerals(text: pa.Array, unit: str) -> pa.Array:
    """Remove what may stand around a numeral: limits, parentheses of accounting negatives, trailing signs, the unit.

    Args:
        text: (n) string.
        unit: as in `NumberFormat`.
    """
    bare = pc.utf8_trim_whitespace(text)
    if pc.any(pc.invert(pc.string_is_ascii(bare))).as_py():
        # Full-width digits, Unicode minus signs; other forms, such as superscripts, are no digits.
        is_wide = pc.fill_null(pc.match_substring_regex(bare, "[\uff0b-\uff19]"), False)
        bare = pc.if_else(is_wide, pc.utf8_normalize(bare, form="NFKC"), bare)
        bare = pc.replace_substring_regex(bare, "[\u2212\u2012\u2013\ufe63\uff0d]", "-")
    # ="1.5" is how spreadsheets are made to keep text.
    bare = pc.replace_substring_regex(bare, r'^="?([^"]*)"?$', r"\1")
    bare = pc.replace_substring_regex(bare, r"(\d),-{1,2}$", r"\1")
    bare = pc.replace_substring_regex(bare, r"^[<>≤≥~≈]=? ?", "")
    bare = pc.replace_substring_regex(bare, r"^\((.*\d.*)\)$", r"-\1")
    if unit:
        escaped = re.escape(unit)
        bare = pc.replace_substring_regex(bare, rf"^([+-]?) ?{escaped} ?([+-]?[\d.,])", r"\1\2")
        bare = pc.replace_substring_regex(bare, rf"(\d[.,]?)\s*{escaped}\.?$", r"\1")
    bare = pc.replace_substring_regex(bare, r"^([\d.,' ]*\d)-$", r"-\1")
    return pc.replace_substring_regex(bare, r"^([+-]) +", r"\1")


def infer_number_format(values: list[str], decimal_comma: bool = False) -> NumberFormat:
    """Infer the format that most values of a column have.

    Args:
        values: a sample of the column, without missing values.
        decimal_comma: the file has decimal commas, so that points separate thousands.
    """
    unit = common_unit(values)
    numerals = [numeral for numeral in bare_numerals(pa.array(values, pa.string()), unit).to_pylist() if numeral and numeral[-1].isdigit()]
    return NumberFormat(*separators([numeral.lstrip("+-") for numeral in numerals], decimal_comma), unit)


def common_unit(values: list[str]) -> str:
    """Return the unit or currency of most values; empty if there is none."""
    found = [AFFIXES.fullmatch(value.strip().strip("()").lstrip("<>≤≥~≈= ")) for value in values]
    affixes = Counter((match["before"] or match["after"].strip().rstrip(".")) for match in found if match)
    unit, n = affixes.most_common(1)[0] if affixes else ("", 0)
    if not unit and len(affixes) > 1:
        unit, n = affixes.most_common(2)[1]
    is_unit = len(unit) <= 12 and (unit[-1:] not in ".,'-" or re.fullmatch(CURRENCY, unit) is not None) and n >= HALF * affixes.total()
    return unit if is_unit else ""


def separators(numerals: list[str], decimal_comma: bool) -> tuple[str, str]:
    """Infer decimal mark and thousands separator; one rule for the whole column.

    Args:
        numerals: unsigned digits with separators.
        decimal_comma: as for `infer_number_format`.
    """
    both = Counter(max(",.", key=numeral.rfind) for numeral in numerals if "," in numeral and "." in numeral)
    if both:
        decimal = both.most_common(1)[0][0]
        return decimal, "," if decimal == "." else "."
    grouped = {mark: sum(bool(re.fullmatch(form, numeral)) for numeral in numerals) for mark, form in GROUPED.items()}
    n_with = {mark: sum(mark in numeral for numeral in numerals) for mark in ",."}
    plain = [re.sub(SPACES, " ", re.sub(APOSTROPHES, "'", numeral)) for numeral in numerals]
    spaced = next((mark for mark in ("'", " ") if any(mark in numeral for numeral in plain)), "")
    if n_with[","]:
        # 1,234 is thousands unless the file has decimal commas, or some value has other than three digits behind the comma.
        is_thousands = grouped[","] == n_with[","] and not (decimal_comma or spaced)
        return (".", ",") if is_thousands else (",", spaced or ("." if n_with["."] else ""))
    repeated = any(numeral.count(".") > 1 for numeral in numerals)
    if n_with["."] and grouped["."] == n_with["."] and (decimal_comma or repeated or looks_grouped(numerals)):
        return ",", "."
    return "," if decimal_comma and not n_with["."] else ".", spaced


def looks_grouped(numerals: list[str]) -> bool:
    """Return whether points separate thousands in a column like 1.120, 908, 23.450.

    Three digits stand behind every point, some of them end in 0, which a program would not write behind a decimal point beside whole numbers, and
    no number of four digits stands without a point.

    Args:
        numerals: unsigned; all with a point match `1.234`.
    """
    plain = [numeral for numeral in numerals if "." not in numeral]
    return bool(plain) and max(map(len, plain)) <= 3 and any("." in numeral and numeral.endswith("0") for numeral in numerals)
