"""Columns of the input that an option names. No torch."""

from __future__ import annotations

import fnmatch

from zcurate import plugins
from zcurate.config.array_source import column_named
from zcurate.errors import UsageError, did_you_mean, listed


def named_columns(names: list[str], wanted: str | None, flag: str, location: str) -> list[str]:
    """Return the columns of the input that an option names by name or glob.

    Args:
        names: all columns.
        wanted: value of the option.
        flag: for messages.
        location: the input, for messages.

    Raises:
        UsageError: there is no such column.
    """
    pattern = column_named(wanted)
    if pattern is None:
        return []
    found = [name for name in names if name == pattern] or [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if not found:
        known = [*names, *(plugins.BACKBONES if flag == "--features" else ())]
        hint = did_you_mean(pattern, known, flag + " {}")
        raise UsageError(f"{location}: {flag} {pattern} is no column and no .npy or .parquet file — columns: {listed(names)}{hint}")
    return found
