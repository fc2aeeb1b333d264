"""Write files atomically, one process at a time, and never over the input.

A file is written beside its place under a name that follows from its own, `.zcurate-<hash>.part`, and then renamed. The temporary file is locked from the
moment a command means to write: a second command is told, and what a killed one left is taken over by the next one that writes the same file.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from zcurate.config.units import local_path
from zcurate.data import discovery, image_formats, partitions, picture_manifest, remote
from zcurate.errors import InputError, UsageError
from zcurate.report.schema import ENDING
from zcurate.runtime import interrupts, locks
from zcurate.runtime.temporary_folder import reason, temporary_folder

CLAIM_SECONDS, WRITE_SECONDS = 2.0, 60.0
"""Wait for another process that writes the same file: one that was just killed, whose copies the system still ends; a command that does nothing else."""


@dataclass(frozen=True)
class OutputFile:
    """A file that this process alone may write."""

    path: str
    """As the user typed it."""
    target: str
    """What is replaced: the file that a link leads to, or an address."""
    temporary: str
    """What is filled; `target` itself for a device or a pipe."""

    @contextmanager
    def writing(self) -> Iterator[str]:
        """Yield the path of the file to fill, and put it in its place at the end.

        Raises:
            UsageError: the disk is full, or the folder cannot be written to any more.
        """
        try:
            yield self.temporary
            self.publish()
        except OSError as error:
            found = f"{self.path}: cannot be written ({reason(error)})"
            raise UsageError(f"{found} — expected room in a folder that exists — free some space, or name another with -o") from error

    def publish(self) -> None:
        """Move the finished file to its place, with the mode of the file that was there.

        Raises:
            UsageError: it cannot be uploaded; it is kept then.
        """
        if self.temporary == self.target:
            return
        if not remote.is_remote(self.target):
            exists = os.path.exists(self.target)
            os.chmod(self.temporary, stat.S_IMODE(os.stat(self.target).st_mode) if exists else 0o666 & ~current_umask())
            os.replace(self.temporary, self.target)
            return
        try:
            remote.put(self.temporary, self.target)
        except InputError as error:
            handle, kept = tempfile.mkstemp(prefix="zcurate-", suffix=os.path.splitext(self.temporary)[1])
            os.close(handle)
            shutil.move(self.temporary, kept)
            raise UsageError(f"{error} — the file that was to be uploaded is kept in {kept}") from error


@contextmanager
def claimed(path: str, patience: float = CLAIM_SECONDS) -> Iterator[OutputFile]:
    """Keep other processes from writing a file, from before it is known what to write; what was not written is deleted.

    Args:
        path: of the file, or an address, which is not locked.
        patience: seconds to wait for another process.

    Raises:
        UsageError: it cannot be written to, or another process is about to write it.
    """
    path = local_path(path)
    if remote.is_remote(path):
        with temporary_folder() as folder:
            yield OutputFile(path, path, os.path.join(folder, f"upload{os.path.splitext(path)[1]}"))
        return
    check_place(path)
    # A link stays: the file that it leads to is replaced.
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        yield OutputFile(path, target, target)
        return
    temporary = temporary_name(target, ".part")
    with interrupts.deleted_at_the_end(temporary, lock(path, temporary, patience)):
        yield OutputFile(path, target, temporary)


def lock(path: str, temporary: str, patience: float) -> int:
    """Make and lock an empty temporary file; return its descriptor.

    Args:
        path: of the file that it will become, for messages.
        temporary: its path.
        patience: seconds to wait for another process.

    Raises:
        UsageError: the folder cannot be written to, or another process holds the file.
    """
    try:
        handle = locks.lock_file(temporary, patience)
        if handle is not None:
            os.truncate(handle, 0)
            return handle
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({reason(error)}) — expected a folder that you may write to — name another with -o") from error
    raise UsageError(f"{path}: another zcurate process is about to write it — expected one at a time — wait for it, or name another with -o")


@contextmanager
def whole_file(path: str, claim: OutputFile | None = None) -> Iterator[str]:
    """Yield the path of a temporary file to fill, and move it to `path` at the end.

    A local file is written in the same folder and renamed; a remote one is written to the local temporary folder and uploaded.

    Args:
        path: of the file, or an address.
        claim: on it; None to wait for one.

    Raises:
        UsageError: `path` cannot be written to; after a failed upload the temporary file stays.
    """
    with nullcontext(claim) if claim is not None else claimed(path, WRITE_SECONDS) as output, output.writing() as temporary:
        yield temporary


@contextmanager
def new_folder(path: str) -> Iterator[str]:
    """Yield a temporary folder to fill, and move it to `path` at the end; whatever goes wrong, nothing is left.

    Args:
        path: of the folder, which does not exist yet.

    Raises:
        UsageError: it exists, or cannot be written.
    """
    if remote.is_remote(path):
        raise UsageError(f"{path}: an address — expected a folder on this machine — name another with -o")
    path = path.rstrip(os.sep)
    parent = os.path.dirname(os.path.abspath(path))
    if os.path.lexists(path):
        raise UsageError(f"{path}: exists — expected a folder that does not exist yet — name another with -o")
    if not os.path.isdir(parent):
        raise UsageError(f"{path}: no folder {parent} — expected an existing folder — create it or name another with -o")
    temporary = None
    try:
        temporary = tempfile.mkdtemp(prefix=".zcurate-", dir=parent)
        folder = os.path.join(temporary, os.path.basename(path))
        os.mkdir(folder)
        yield folder
        os.rename(folder, path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({reason(error)}) — expected room in a folder that you may write to — name another with -o") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def guard(path: str, protected: list[str], flag: str = "-o") -> None:
    """Refuse to write over a file that must not change.

    Args:
        path: file to write.
        protected: the input, the report: files, folders of parts, globs, addresses.
        flag: option that names the file.

    Raises:
        UsageError: `path` is one of them, or a part of one.
    """
    for other in protected:
        if is_same(local_path(path), local_path(other)):
            kind = "report" if other.rstrip("/").endswith(ENDING) else "decisions file" if ".decisions." in other else "input"
            raise UsageError(f"{path}: is the {kind} itself, or a part of it — expected another file to write — name one with {flag}")


def refuse_inside(path: str, folders: list[str]) -> None:
    """Refuse an output below a folder that must not change.

    Args:
        path: file or folder to write.
        folders: of data; others than folders are passed over.

    Raises:
        UsageError: it is below one of them.
    """
    parent = os.path.dirname(os.path.abspath(path))
    for folder in folders:
        if os.path.isdir(folder) and (os.path.realpath(parent) + os.sep).startswith(os.path.join(os.path.realpath(folder), "")):
            raise UsageError(f"{path}: lies in {folder}, the input, which would change — expected a place outside of it — name another with -o")


def is_same(path: str, other: str) -> bool:
    """Tell whether writing `path` would change `other`; a report in a folder of data is not part of the data."""
    if remote.is_remote(path) or remote.is_remote(other):
        inside = path.startswith(other.rstrip("/") + "/") and partitions.is_data(path) and discovery.format_of(path) == "parquet"
        return path == other.rstrip("/") or inside
    if not os.path.exists(path):
        return False
    if other == "-":
        return is_standard_input(path)
    if os.path.isdir(other):
        is_picture = image_formats.is_image_name(path) or os.path.basename(path).lower() in picture_manifest.FORMATS
        return (is_picture and is_below(path, other)) or any(os.path.samefile(path, part) for part in parts_in(other))
    matches = glob.glob(other, recursive=True) if discovery.has_pattern(other) else []
    return any(os.path.samefile(path, one) for one in [other, *matches] if os.path.exists(one))


def is_standard_input(path: str) -> bool:
    """Return whether a file is what standard input reads."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(0))
    except OSError:
        return False


def is_below(path: str, folder: str) -> bool:
    """Return whether an existing file is in a folder or its sub-folders, wherever links lead."""
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))


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


def check_place(path: str) -> None:
    """Refuse a path where no file can be.

    Raises:
        UsageError: the folder is missing, or the path is a folder.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"{path}: no folder {folder} — expected an existing folder — create it or name another with -o")
    if os.path.isdir(path):
        raise UsageError(f"{path}: is a folder — expected a file to write — try -o {os.path.join(path, 'report' + ENDING)}")


def temporary_name(target: str, ending: str) -> str:
    """Name the temporary file beside a file, always the same one: a name of any length is possible, and what was left is found again.

    Args:
        target: path of the file.
        ending: of the temporary name.
    """
    folder, name = os.path.split(target)
    return os.path.join(folder, f".zcurate-{hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()}{ending}")


def default_path(stem: str) -> str:
    """Name the report of an input, in the current folder."""
    return f"{stem}{ENDING}"
