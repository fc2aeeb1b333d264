"""The names of the parts that make up one table: their order, what is no part, `k of n`, partition columns in folder names.

Leaves: plain strings and numbers. Enters: paths. Opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

REPORT_ENDING = ".zcurate.parquet"
"""A report in a folder of data is no part of the data."""
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
NUMBERED = re.compile(r"-(\d+)-of-(\d+)\.")
SETTING = re.compile(r"([^=/.][^=/]*)=([^/]*)")

Entries = Callable[[str], Iterable[tuple[str, bool]]]
"""Folder -> (path, is a folder) of everything directly in it."""


def natural(path: str) -> list[list[str | int]]:
    """Sort key: folder by folder, runs of digits by their number, so that part-9 comes before part-10.

    Args:
        path: with `/` between folders.
    """
    return [[int(bit) if at % 2 else bit for at, bit in enumerate(re.split(r"([0-9]+)", name))] for name in path.split("/")]


def in_order(paths: Iterable[str]) -> tuple[str, ...]:
    """Paths in their natural order; names that differ only in leading zeros by their letters."""
    return tuple(sorted(paths, key=lambda path: (natural(path), path)))


def basename(path: str) -> str:
    """What stands after the last `/`."""
    return path.rstrip("/").rpartition("/")[2]


def is_data(path: str) -> bool:
    """Whether a file may be a part: not hidden, no `_SUCCESS` or `_metadata`, no report."""
    name = basename(path)
    return not name.startswith((".", "_")) and not name.endswith(REPORT_ENDING)


def partition(path: str, base: str) -> dict[str, str | None]:
    """The partition columns that the folders between `base` and a part name, as in `year=2020/part-0.parquet`.

    Args:
        path: of the part.
        base: the folder that was asked for; empty for none.

    Returns:
        Column -> value, percent-signs decoded; None for Hive's name of a missing value.
    """
    inner = path[len(base) :] if path.startswith(base) else path
    found: dict[str, str | None] = {}
    for name in inner.split("/")[:-1]:
        if match := SETTING.fullmatch(name):
            found[unquote(match[1])] = None if match[2] == HIVE_NULL else unquote(match[2])
    return found


def below(folder: str, entries: Entries) -> tuple[list[str], list[str]]:
    """The data files in a folder and in its `name=value` sub-folders, at any depth; and its other sub-folders.

    Args:
        folder: where to begin.
        entries: lists one folder.
    """
    files, others = [], []
    for path, is_folder in entries(folder):
        if is_folder and SETTING.fullmatch(basename(path)):
            deeper, more = below(path, entries)
            files += deeper
            others += more
        elif is_folder:
            others.append(path)
        elif is_data(path):
            files.append(path)
    return files, others


def missing(paths: Iterable[str]) -> str | None:
    """What is wrong with the numbers in names like `part-00003-of-00008.parquet`, or None.

    Args:
        paths: every part that is there, at least one.

    Returns:
        In plain words, naming the first part that is missing; None where nothing is, or the names carry no numbers.
    """
    numbers: dict[int, str] = {}
    totals = set()
    for path in paths:
        match = NUMBERED.search(basename(path))
        if match is None:
            continue
        totals.add(int(match[2]))
        if int(match[1]) in numbers:
            return f"{basename(path)} and {basename(numbers[int(match[1])])} are the same part"
        numbers[int(match[1])] = path
    if len(totals) > 1:
        return f"parts of {' and of '.join(str(total) for total in sorted(totals))} stand side by side"
    for k in range(max(totals, default=0)):
        if k not in numbers:
            example = basename(next(iter(numbers.values())))
            match = NUMBERED.search(example)
            assert match is not None  # crack: narrows types only
            name = f"{example[: match.start(1)]}{k:0{len(match[1])}d}{example[match.end(1) :]}"
            return f"{name} is missing"
    return None


def part_name(k: int, n: int) -> str:
    """`part-00003-of-00008.parquet`."""
    return f"part-{k:05d}-of-{n:05d}.parquet"
