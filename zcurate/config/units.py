"""Parse durations, sizes and shares, and check choices."""

from __future__ import annotations

import re

from zcurate.errors import UsageError, did_you_mean, listed


def parse_duration(text: str | float | None, name: str = "--time-limit") -> float | None:
    """Parse `90`, `90s`, `10m` or `2h` as seconds.

    Raises:
        UsageError: not a duration.
    """
    if text is None:
        return None
    text = str(text)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not match or float(match[1]) <= 0:
        raise UsageError(f"{name}: '{text}' is not a duration — expected a number with s, m or h — try {name} 10m")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def parse_size(text: str | int | None, name: str = "--memory") -> int | None:
    """Parse `500MB`, `4GB` or `2GiB` as bytes; a bare number is bytes.

    Raises:
        UsageError: not a size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?b?|b)?\s*", str(text).lower())
    if not match or float(match[1]) <= 0:
        raise UsageError(f"{name}: '{text}' is not a size — expected a number with KB, MB, GB or GiB — try {name} 4GB")
    unit = (match[2] or "b").removesuffix("b")
    base = 1024 if unit.endswith("i") else 1000
    return int(float(match[1]) * base ** " kmgt".index(unit[:1] or " "))


def parse_share(text: str | float, name: str) -> float:
    """Parse `5%` or `0.05` as 0.05.

    Raises:
        UsageError: not between 0 and 1.
    """
    try:
        value = float(text[:-1]) / 100 if isinstance(text, str) and text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{name}: '{text}' is not a share — expected 0 to 1, or a percentage — try {name} 5%")
    return value


def check_choice(value: str, known: tuple[str, ...], name: str) -> None:
    """Refuse a value that is not in `known`; the message names the nearest.

    Raises:
        UsageError: not in `known`.
    """
    if value not in known:
        hint = did_you_mean(value, known, name + " {}")
        raise UsageError(f"{name}: '{value}' is not known — expected one of {listed(known)}{hint}")
