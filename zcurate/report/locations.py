"""Where a report's input lies: how the run card names it, and when a command may open it again.

A report may come from anybody, so its run card never makes a command open an address or a file elsewhere: what lies neither in the report's folder nor in
the current one, and every address, the user names with `--data`.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

from zcurate.config.units import local_path
from zcurate.data import discovery, remote
from zcurate.errors import ReportError
from zcurate.report.report import Report
from zcurate.runtime.safe_text import home_folder, redact

UNNAMED = {"-": "standard input", "memory": "a table in memory"}
"""What the run card says of an input without a path."""


def recorded_path(path: str) -> str:
    """Write an input's path as the run card does: absolute, the home folder as `~`; an address without user, password and query.

    Args:
        path: as the user typed it; `-` and `memory` stay.
    """
    path = local_path(path)
    if path in UNNAMED or remote.is_remote(path):
        return path if path in UNNAMED else redact(path)
    # Where the locale is not UTF-8 Python decodes names of files otherwise.
    return redact(os.fsencode(os.path.abspath(path)).decode("utf-8", "surrogateescape"))


def expanded(path: str) -> str:
    """Turn a path of a run card into one of this machine."""
    path, home = os.fsdecode(path.encode("utf-8", "surrogateescape")), home_folder()
    return home + path[1:] if home is not None and (path == "~" or path.startswith("~/")) else path


def root_of(card: dict[str, Any]) -> str | None:
    """Return the folder that the pictures' paths are relative to; None for data without picture files."""
    root = card["input"].get("root")
    return None if root is None else expanded(root)


def may_open(path: str, report: Report) -> bool:
    """Tell whether a path that a run card names may be opened unasked: it is no address, and below the report's folder or the current one.

    Args:
        path: as the card has it, expanded.
        report: whose path is known.
    """
    if remote.is_remote(path) or "\0" in path or path in UNNAMED:
        return False
    return any(is_below(path, folder) for folder in (os.getcwd(), os.path.dirname(os.path.abspath(local_path(report.path or "")))))


def is_below(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or below it, by the names and, as far as it exists, by where links lead."""
    start = discovery.before_pattern(path) if discovery.has_pattern(path) and not os.path.lexists(path) else path
    pairs = ((os.path.abspath(start), folder), (os.path.realpath(start), os.path.realpath(folder)))
    return all(os.path.commonpath((one, other)) == other for one, other in pairs)


def input_of(report: Report, data: str | None, location: str) -> str:
    """Return the path to read a report's input from.

    Args:
        report: a scan's result.
        data: `--data`, or None: what the run card names.
        location: what error messages begin with.

    Raises:
        ReportError: the scan read standard input or a table in memory, or what it read may not be opened unasked.
    """
    recorded = report.card["input"]["path"]
    if data is not None:
        return data
    if recorded in UNNAMED:
        raise ReportError(f"{location}: the scan read {UNNAMED[recorded]} — expected a file, which can be read again — name a copy with --data FILE")
    path = expanded(recorded)
    if may_open(path, report):
        return path
    where = "is an address" if remote.is_remote(path) else "lies neither in the report's folder nor in this one"
    raise ReportError(f"{location}: {recorded} {where} — reports open nothing else unasked — name it: --data {shlex.quote(path)}")


def known_inputs(report: Report, data: str | None) -> list[str]:
    """List the paths of a report's input, over which nothing may be written.

    Args:
        report: a scan's result.
        data: `--data`.
    """
    path = expanded(report.card["input"]["path"])
    # A pattern elsewhere is not expanded: it may match anything.
    recorded = [path] if may_open(path, report) or not discovery.has_pattern(path) else []
    return recorded + ([] if data is None else [data])
