"""Write files so that no half of one is ever seen, and never over the input."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from zcurate.data import discovery, partitions, remote
from zcurate.errors import InputError, UsageError
from zcurate.report.schema import ENDING


@contextmanager
def whole_file(path: str) -> Iterator[str]:
    """A temporary file to fill, that becomes `path` at the end: beside it and renamed, or here and copied where `path` has a protocol.

    Raises:
        UsageError: the place cannot be written to.
    """
    far = remote.is_remote(path)
    handle, temporary = tempfile.mkstemp(prefix="zcurate-", suffix=os.path.splitext(path)[1]) if far else temporary_next_to(path)
    os.close(handle)
    try:
        yield temporary
        if not far:
            os.chmod(temporary, 0o666 & ~current_umask())
            os.replace(temporary, path)
            return
    except BaseException:
        os.unlink(temporary)
        raise
    try:
        remote.put(temporary, path)
    except InputError as error:
        raise UsageError(f"{error} — what was to be written there is kept in {temporary}") from error
    os.unlink(temporary)


def guard(path: str, others: list[str]) -> None:
    """Refuse to write over a file that must stay as it is.

    Args:
        path: file to write.
        others: the input, the report: files, folders of parts, globs, addresses.

    Raises:
        UsageError: `path` is one of them, or a part of one.
    """
    for other in others:
        if is_same(local_path(path), local_path(other)):
            what = "report" if other.rstrip("/").endswith(ENDING) else "input"
            raise UsageError(f"{path}: is the {what} itself, or a part of it — expected another file to write — name one with -o")


def local_path(path: str) -> str:
    """A `file://` address as a path."""
    return remote.bare(path) if remote.is_remote(path) and remote.protocol_of(path) in ("file", "local") else path


def is_same(path: str, other: str) -> bool:
    """Whether writing `path` would change `other`; a report in a folder of data is no part of the data."""
    if remote.is_remote(path) or remote.is_remote(other):
        inside = path.startswith(other.rstrip("/") + "/") and partitions.is_data(path) and discovery.format_of(path) == "parquet"
        return path == other.rstrip("/") or inside
    if not os.path.exists(path):
        return False
    if os.path.isdir(other):
        return any(os.path.samefile(path, part) for part in parts_in(other))
    matches = glob.glob(other, recursive=True) if discovery.has_pattern(other) else []
    return any(os.path.samefile(path, one) for one in [other, *matches] if os.path.exists(one))


def parts_in(folder: str) -> list[str]:
    """The tables in a folder that a scan of it would read; of a folder of pictures none."""
    files, others = partitions.below(folder, discovery.local_entries)
    kinds = {discovery.format_of(name) for name in files} - {None}
    wanted = {"parquet"} if "parquet" in kinds else set() if others else kinds
    return [name for name in files if discovery.format_of(name) in wanted]


def current_umask() -> int:
    """The process's umask; reading it means setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def temporary_next_to(path: str) -> tuple[int, str]:
    """An open temporary file in the folder of `path`.

    Raises:
        UsageError: the folder is missing or cannot be written to.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"{path}: no folder {folder} — expected an existing folder — create it or name another with -o")
    if os.path.isdir(path):
        raise UsageError(f"{path}: is a folder — expected a file to write — try -o {os.path.join(path, 'report' + ENDING)}")
    try:
        return tempfile.mkstemp(prefix=".zcurate-", suffix=".part", dir=folder)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}) — expected a folder that you may write to — name another with -o") from error


def default_path(stem: str) -> str:
    """Where the report of an input goes: the current folder."""
    return f"{stem}{ENDING}"


def absolute_path(path: str) -> str:
    """The absolute path; `-`, `memory` and addresses stay as they are."""
    return path if path in ("-", "memory") or remote.is_remote(path) else os.path.abspath(path)
