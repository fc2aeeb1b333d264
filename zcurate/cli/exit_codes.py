"""The exit codes of all commands."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit code of a command."""

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
    """A bug in zcurate."""
    INTERRUPTED = 130
    """Ctrl-C."""
