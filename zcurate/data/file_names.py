"""File names that are not UTF-8, as text that can be printed, stored and turned back.

Python carries the bytes of such a name as lone surrogates, which neither Arrow nor a terminal takes. Here they are written `\\xe9`.
"""

from __future__ import annotations

import os
import re

ESCAPED = re.compile(rb"\\(\\|x([0-9a-f]{2}))")
"""A byte, or a backslash, as `printable` writes it."""


def is_printable(name: str) -> bool:
    """Return whether a name has no bytes that are not UTF-8."""
    return name.isascii() or not any("\udc80" <= character <= "\udcff" for character in name)


def printable(name: str) -> str:
    """Write a file name as valid text: bytes that are not UTF-8 as `\\xe9`, and in such a name a backslash twice; other names stay.

    Args:
        name: as Python got it from the system.
    """
    if is_printable(name):
        return name
    return os.fsencode(name).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def existing(text: str, folder: str = "") -> str:
    """Return the path of the file that `printable` wrote as `text`: the text itself where such a file exists, else the name with the bytes.

    Args:
        text: path.
        folder: that it is relative to, as the system spells it.
    """
    path = os.path.join(folder, text)
    if "\\" not in text or os.path.lexists(path):
        return path
    original = ESCAPED.sub(lambda found: b"\\" if found[2] is None else bytes([int(found[2], 16)]), os.fsencode(text))
    unescaped = os.path.join(folder, os.fsdecode(original))
    return unescaped if os.path.lexists(unescaped) else path
