"""The exit codes, in one place."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    """Done, whatever was found."""
    GATE = 1
    """A gate failed (`check` only)."""
    USAGE = 2
    """Usage, configuration, missing or unreadable input."""
    UNJUDGED = 3
    """Could not judge: no skill above chance, or too few rows; the report is written."""
    PARTIAL = 4
    """Time limit, or unreadable rows above `--max-bad`; the report is written."""
    BUG = 70
    """Our bug."""
    INTERRUPTED = 130
    """Ctrl-C."""
