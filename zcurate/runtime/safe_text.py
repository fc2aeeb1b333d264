"""Text from data, files and addresses, made safe to show on a terminal and to keep in a report.

A label or a file name may hold characters that a terminal obeys, and an address a password. What is shown passes through `visible`, what is kept through
`redact`; the values in the report's columns and in machine formats stay as they are.
"""

from __future__ import annotations

import os
import re
from typing import Any

OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Matches control characters (C0, DEL, C1), marks that turn the direction of writing, line separators, and bytes that are not UTF-8."""
USER = re.compile(r"(?<=://)[^/\s@'\"]*@")
"""Matches user and password in an address."""
QUERY = re.compile(r"(?<![\w+.\-])(https?://[^\s?#'\"<>]*)[?#][^\s'\"<>]*", re.IGNORECASE)
"""Matches a web address with a query or a fragment, which may hold a signature."""


def visible(text: str) -> str:
    """Write characters that a terminal would obey as Python writes them, `\\x1b`; other text stays."""
    return text if text.isprintable() else OBEYED.sub(escape, text)


def escape(found: re.Match[str]) -> str:
    """Write one matched character as `\\n`, `\\x1b` or `\\u202e`."""
    character = found[0]
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode() if character < "\ud800" or character > "\udfff" else f"\\u{ord(character):04x}"


def visible_values(value: Any) -> Any:
    """Apply `visible` to every text in nested dictionaries and lists, keys included."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible_values(key): visible_values(one) for key, one in value.items()}
    return [visible_values(one) for one in value] if isinstance(value, (list, tuple)) else value


def without_secrets(text: str) -> str:
    """Remove user, password, query and fragment from the addresses in a text."""
    return QUERY.sub(r"\1", USER.sub("", text)) if "://" in text else text


def shown(text: str) -> str:
    """Make a message fit for a terminal and for a log: visible, and without the secrets of addresses."""
    return visible(without_secrets(text))


def redact(text: str) -> str:
    """Make a text fit to be kept where others read it: addresses without secrets, the home folder as `~`, bytes that are not UTF-8 as `\\xe9`.

    Args:
        text: such as a command line, a path or a warning.
    """
    home = home_folder()
    text = without_secrets(text)
    if home is not None and home in text:
        text = re.sub(re.escape(home) + r"(?![^/\s'\":,;)\]])", "~", text)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def redact_values(value: Any) -> Any:
    """Apply `redact` to every text in nested dictionaries and lists, but not to their keys."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_values(one) for key, one in value.items()}
    return [redact_values(one) for one in value] if isinstance(value, (list, tuple)) else value


def home_folder() -> str | None:
    """Return the user's home folder; None where there is none, or where it is the root of all folders."""
    home = os.path.expanduser("~").rstrip("/")
    return home if os.path.isabs(home) else None
