"""Parse durations, sizes, shares and counts, and check choices."""

from __future__ import annotations

import re
from collections.abc import Mapping

from zcurate.errors import UsageError, did_you_mean, listed

UNIT_WORDS = {1: "s sec secs second seconds", 60: "m min mins minute minutes", 3600: "h hr hrs hour hours"}
"""Seconds -> words for that unit of time."""
SECONDS_OF = {word: seconds for seconds, words in UNIT_WORDS.items() for word in words.split()}
DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
"""A number and a unit, as in `10min`."""


def parse_duration(text: str | float | None, name: str = "--time-limit") -> float | None:
    """Parse `90`, `90s`, `10m`, `10min`, `2 hours` or `1h30m` as seconds.

    Raises:
        UsageError: not a duration.
    """
    if text is None:
        return None
    words = str(text).strip().lower()
    seconds = 0.0
    if re.fullmatch(r"\d+(\.\d+)?", words):
        seconds, words = float(words), ""
    while (match := DURATION_PART.match(words)) and match[2] in SECONDS_OF:
        seconds, words = seconds + float(match[1]) * SECONDS_OF[match[2]], words[match.end() :]
    if words or seconds <= 0:
        raise UsageError(f"{name}: '{text}' is not a duration — expected a number with s, m or h — try {name} 10m")
    return seconds


def parse_size(text: str | int | None, name: str = "--memory") -> int | None:
    """Parse `500MB`, `4g` or `2GiB` as bytes; a bare number is bytes.

    Raises:
        UsageError: not a size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d[\d_]{0,17}(?:\.\d{1,9})?)\s*([kmgt]i?b?|b)?\s*", str(text).lower())
    if not match or float(match[1]) <= 0:
        raise UsageError(f"{name}: '{text}' is not a size — expected a number with KB, MB, GB or GiB — try {name} 4GB")
    unit = (match[2] or "b").removesuffix("b")
    base = 1024 if unit.endswith("i") else 1000
    return int(float(match[1]) * base ** " kmgt".index(unit[:1] or " "))


def format_size(n_bytes: float) -> str:
    """Format bytes as `640 MB` or `3.2 GB`."""
    return f"{n_bytes / 1e6:.0f} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:.1f} GB"


def parse_fraction(text: str | float, name: str) -> float:
    """Parse `95%` or `0.95` as 0.95, without a check of the range.

    Raises:
        UsageError: not a number.
    """
    words = str(text).strip()
    try:
        value = float(words[:-1]) / 100 if words.endswith("%") else float(words)
    except ValueError:
        value = float("nan")
    if value != value:
        point = f" — try {name} {words.replace(',', '.')}" if re.fullmatch(r"\d+,\d+\s*%?", words) else f" — try {name} 5%"
        raise UsageError(f"{name}: '{text}' is not a share — expected 0 to 1, or a percentage{point}")
    return value


def parse_share(text: str | float, name: str) -> float:
    """Parse `5%` or `0.05` as 0.05.

    Raises:
        UsageError: not between 0 and 1.
    """
    value = parse_fraction(text, name)
    if not 0 <= value <= 1:
        raise UsageError(f"{name}: '{text}' is not a share — expected 0 to 1, or a percentage — try {name} {meant_share(text)}")
    return value


def meant_share(text: str | float, example: str = "5%") -> str:
    """Write the percentage that was meant by a number above 1; the example where none can be meant."""
    words = f"{text:g}" if isinstance(text, float) else str(text).strip()
    return f"{words}%" if re.fullmatch(r"\d+(\.\d+)?", words) and 1 < float(words) < 100 else example


def parse_count(text: str | float, name: str) -> int:
    """Parse `1000`, `1_000`, `1,000` or `1e3` as 1000, without a check of the range.

    Raises:
        UsageError: not a whole number.
    """
    words = str(text).strip()
    grouped = re.fullmatch(r"[+-]?\d{1,3}([,_ ]\d{3})+", words)
    try:
        value = float(re.sub("[,_ ]", "", words) if grouped else words)
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")) or value != int(value):
        raise UsageError(f"{name}: '{text}' is not a whole number — expected digits — try {name} 100")
    return int(value)


def local_path(path: str, name: str = "") -> str:
    """Turn a `file://` address into a path; other paths and addresses stay, chains of them too."""
    return path[7:] if path[:7].lower() == "file://" and "::" not in path else path


def match_choice(text: str, known: tuple[str, ...], synonyms: Mapping[str, str] | None = None) -> str:
    """Find the known word that was meant, in any case, with blanks, hyphens or a synonym; unchanged where there is none.

    Args:
        text: as typed.
        known: the words.
        synonyms: lower-case word -> known word.
    """
    word = text.strip().lower()
    by_letters = {name.replace("_", ""): name for name in known}
    return (synonyms or {}).get(word) or by_letters.get(re.sub("[-_ ]", "", word)) or text


def check_choice(value: str, known: tuple[str, ...], name: str, advice: Mapping[str, str] | None = None) -> None:
    """Refuse a value that is not in `known`; the message names the nearest.

    Args:
        value: as typed.
        known: the words.
        name: of the option.
        advice: lower-case word -> what to do instead, where that is not the nearest known word.

    Raises:
        UsageError: not in `known`.
    """
    if value not in known:
        told = (advice or {}).get(value.strip().lower())
        hint = f" — {told}" if told else did_you_mean(value, known, name + " {}")
        raise UsageError(f"{name}: '{value}' is not known — expected one of {listed(known)}{hint}")
