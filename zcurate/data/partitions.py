"""File names of a table's parts: natural order, `k of n` numbers, partition columns in folder names. Opens no file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

REPORT_ENDING = ".zcurate.parquet"
OWN_ENDINGS = (REPORT_ENDING, f"{REPORT_ENDING}.features")
"""Endings of what zcurate writes, which is never part of the data: reports, and the features of pictures beside them."""
"""Extension of reports; a report in a folder of data is not a part."""
REPORT_KEY = b"zcurate"
"""Key of a report's run card in the metadata of its Parquet files."""
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""Hive's folder name for a missing value."""
NUMBERED = re.compile(r"-(\d+)-of-(\d+)\.")
"""Matches part number and total in a file name."""
SETTING = re.compile(r"([^=/.][^=/]*)=([^/]*)")
"""Matches a folder name like `year=2020`."""

Entries = Callable[[str], Iterable[tuple[str, bool]]]
"""Folder -> (path, is a folder) of each of its entries."""


def natural(path: str) -> list[list[str | int]]:
    """Return a sort key that compares folder by folder and runs of digits as numbers: part-9 before part-10.

    Args:
        path: with `/` between folders.
    """
    return [[int(part) if k % 2 else part for k, part in enumerate(re.split(r"([0-9]+)", name))] for name in path.split("/")]


def in_order(paths: Iterable[str]) -> tuple[str, ...]:
    """Sort paths in natural order; paths that differ only in leading zeros are compared as strings."""
    return tuple(sorted(paths, key=lambda path: (natural(path), path)))


def basename(path: str) -> str:
    """Return the last component of a path with `/` between folders."""
    return path.rstrip("/").rpartition("/")[2]


def is_data(path: str) -> bool:
    """Return whether a file may be a part: not hidden, not `_SUCCESS` or `_metadata`, not a report."""
    name = basename(path)
    return not name.startswith((".", "_")) and not name.endswith(OWN_ENDINGS)


def partition(path: str, base: str) -> dict[str, str | None]:
    """Parse the partition columns in the folder names below `base`, as in `year=2020/part-0.parquet`.

    Args:
        path: of the part.
        base: the input folder; empty for none.

    Returns:
        Column -> value, percent-decoded; None for Hive's name of a missing value.
    """
    inner = path[len(base) :] if path.startswith(base) else path
    columns: dict[str, str | None] = {}
    for name in inner.split("/")[:-1]:
        if match := SETTING.fullmatch(name):
            columns[unquote(match[1])] = None if match[2] == HIVE_NULL else unquote(match[2])
    return columns


def below(folder: str, entries: Entries) -> tuple[list[str], list[str]]:
    """List the data files of a folder and its `name=value` sub-folders at any depth, and its other sub-folders.

    Args:
        folder: root of the search.
        entries: lists one folder.
    """
    files, others = [], []
    for path, is_folder in entries(folder):
        if is_folder and SETTING.fullmatch(basename(path)):
            nested_files, nested_others = below(path, entries)
            files += nested_files
            others += nested_others
        elif is_folder:
            others.append(path)
        elif is_data(path):
            files.append(path)
    return files, others


def missing(paths: Iterable[str]) -> str | None:
    """Check the numbers in names like `part-00003-of-00008.parquet`.

    Args:
        paths: every existing part, at least one.

    Returns:
        The problem in plain words, naming the first missing part; None if there is none, or the names have no numbers.
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
        return f"parts of {' and of '.join(str(total) for total in sorted(totals))} are in one folder"
    for k in range(max(totals, default=0)):
        if k not in numbers:
            example = basename(next(iter(numbers.values())))
            match = NUMBERED.search(example)
            assert match is not None  # crack: narrows types only
            name = f"{example[: match.start(1)]}{k:0{len(match[1])}d}{example[match.end(1) :]}"
            return f"{name} is missing"
    return None


def part_name(k: int, n: int) -> str:
    """Return a name like `part-00003-of-00008.parquet`."""
    return f"part-{k:05d}-of-{n:05d}.parquet"
