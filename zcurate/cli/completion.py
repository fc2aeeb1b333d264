"""Words and files that the shell offers when the user presses Tab. Imports nothing heavy, as it runs at every key press."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable

from zcurate.config.options import Values
from zcurate.data.partitions import REPORT_ENDING
from zcurate.plugins import READERS

COMPRESSED = (".gz", ".zst", ".bz2")
"""Endings after that of the format."""


def complete_values(values: Values, is_list: bool) -> Callable[[str], list[str]]:
    """Make a function that completes a value.

    Args:
        values: the words, or a function that returns them.
        is_list: the value is a list of words by comma, of which the last one is completed.
    """

    def complete(incomplete: str) -> list[str]:
        words = values() if callable(values) else values
        begin, comma, last = incomplete.rpartition(",") if is_list else ("", "", incomplete)
        return [begin + comma + word for word in words if word.startswith(last) and word not in begin.split(",")]

    return complete


def complete_data(incomplete: str) -> list[str]:
    """Complete the path of an input: folders, and files that have a reader."""
    return complete_paths(incomplete, is_readable)


def complete_report(incomplete: str) -> list[str]:
    """Complete the path of a report: reports and folders."""
    return complete_paths(incomplete, lambda name: name.endswith(REPORT_ENDING))


def complete_data_or_report(incomplete: str) -> list[str]:
    """Complete the path of an input or a report."""
    return complete_paths(incomplete, lambda name: is_readable(name) or name.endswith(REPORT_ENDING))


def is_readable(name: str) -> bool:
    """Whether a file's name shows that it has a reader, and that it is no report."""
    name = name.lower()
    base = next((name.removesuffix(ending) for ending in COMPRESSED if name.endswith(ending)), name)
    is_known = any(base.endswith(reader.endings) or any(part in base for part in reader.name_parts) for reader in READERS.values())
    return is_known and not name.endswith(REPORT_ENDING)


def complete_paths(incomplete: str, is_wanted: Callable[[str], bool]) -> list[str]:
    """Complete a path to folders and wanted files.

    Args:
        incomplete: what was typed.
        is_wanted: whether to offer a file, by its name.

    Returns:
        Paths, folders with a final slash; empty where a name would have to be quoted, so that the shell completes it in its own way.
    """
    folder, begin = os.path.split(incomplete)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    found = []
    for entry in entries:
        is_hidden = entry.name.startswith(".") and not begin.startswith(".")
        is_folder = entry.is_dir() and not entry.name.endswith(REPORT_ENDING)
        if entry.name.startswith(begin) and not is_hidden and (is_folder or is_wanted(entry.name)):
            found.append(os.path.join(folder, entry.name) + "/" * is_folder)
    if any(shlex.quote(path) != path for path in found):
        return []
    if len(found) == 1 and found[0].endswith("/"):
        # The shell would end a single word with a blank; with the content of the folder it goes on to complete it.
        return [*found, *complete_paths(found[0], is_wanted)]
    return found
