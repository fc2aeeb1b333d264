"""Exceptions that zcurate raises for its user. Only the command line catches and prints them and chooses the exit code.

ZcurateError                  first line: location: what was found - what was expected - what to do
+-- UsageError        exit 2  an option, a column, a model spec or an output path is not usable
+-- InputError        exit 2  a file is missing, empty or not what it claims to be
+-- ReportError       exit 2  a report is missing, is no report, or belongs to other data
+-- ProcessError      exit 128 + signal  another process that the scan needs has ended
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZcurateError(Exception):
    """Any error that the user can act on; `str(error)` is the whole message."""


class UsageError(ZcurateError):
    """An option, a column, a model spec or an output path is not usable."""


class InputError(ZcurateError):
    """A file is missing, empty, truncated or not what it claims to be."""


class ReportError(ZcurateError):
    """A report is missing, is no report, or belongs to other data."""


class ProcessError(ZcurateError):
    """Another process that the scan needs has ended."""

    def __init__(self, text: str, number: int = 9) -> None:
        """An error that ends the program as if it had got the signal itself.

        Args:
            text: the message.
            number: of the signal that ended the other process; that of a kill where it is not known.
        """
        super().__init__(text)
        self.exit_code = 128 + number


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word closest to `word`, or None when none is similar."""
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    match = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[match[0]] if match else None


def listed(names: Iterable[str], most: int = 12) -> str:
    """Format names for a message as `a, b, c ... (21)`, cut after `most` of them."""
    names = list(names)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} ... ({len(names)})"


def did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str:
    """Return ` - did you mean X?` for the end of a message, or the empty string."""
    match = nearest(word, known)
    return f" — did you mean {form.format(match)}?" if match else ""
