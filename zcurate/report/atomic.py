"""Write files atomically, and never over the input."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from zcurate.config.units import local_path
from zcurate.data import discovery, partitions, remote
from zcurate.errors import InputError, UsageError
from zcurate.report.schema import ENDING


@contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Yield the path of a temporary file to fill, and move it to `path` at the end.

    A local file is written in the same folder and renamed; a remote one is written to the local temporary folder and uploaded.

    Raises:
        UsageError: `path` cannot be written to; after a failed upload the temporary file stays.
    """
    path = local_path(path)
    is_remote = remote.is_remote(path)
    handle, temporary = tempfile.mkstemp(prefix="zcurate-", suffix=os.path.splitext(path)[1]) if is_remote else temporary_next_to(path)
    os.close(handle)
    try:
        yield temporary
        if not is_remote:
            os.chmod(temporary, 0o666 & ~current_umask())
            os.replace(temporary, path)
            return
    except BaseException:
        os.unlink(temporary)
        raise
    try:
        remote.put(temporary, path)
    except InputError as error:
        raise UsageError(f"{error} — the file that was to be uploaded is kept in {temporary}") from error
    os.unlink(temporary)


def guard(path: str, protected: list[str]) -> None:
    """Refuse to write over a file that must not change.

    Args:
        path: file to write.
        protected: the input, the report: files, folders of parts, globs, addresses.

    Raises:
        UsageError: `path` is one of them, or a part of one.
    """
    for other in protected:
        if is_same(local_path(path), local_path(other)):
            kind = "report" if other.rstrip("/").endswith(ENDING) else "input"
            raise UsageError(f"{path}: is the {kind} itself, or a part of it — expected another file to write — name one with -o")


def is_same(path: str, other: str) -> bool:
    """Tell whether writing `path` would change `other`; a report in a folder of data is not part of the data."""
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
    """List the tables in a folder that a scan of it would read; none for a folder of pictures."""
    files, others = partitions.below(folder, discovery.local_entries)
    formats = {discovery.format_of(name) for name in files} - {None}
    wanted = {"parquet"} if "parquet" in formats else set() if others else formats
    return [name for name in files if discovery.format_of(name) in wanted]


def current_umask() -> int:
    """Read the process's umask, which is possible only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def temporary_next_to(path: str) -> tuple[int, str]:
    """Open a temporary file in the folder of `path`; return its handle and its path.

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
    """Name the report of an input, in the current folder."""
    return f"{stem}{ENDING}"
