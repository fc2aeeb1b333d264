"""A folder for temporary files that nobody else uses and that does not outlive its process by more than one scan."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from zcurate.errors import UsageError
from zcurate.runtime import interrupts, locks

PREFIX = "zcurate-rows-"
"""Beginning of the names of temporary folders."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk that holds no more, or of a user who may not store more."""


def reason(error: OSError) -> str:
    """Say in the system's words why something failed; libraries add their own to them."""
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def folder_errors(folder: str) -> Iterator[None]:
    """Convert the system's errors into errors that name the folder for temporary files.

    Raises:
        UsageError: it is full, gone, or cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(unusable_folder(folder, error)) from error


def unusable_folder(folder: str, error: OSError) -> str:
    """Write the message for a folder for temporary files that cannot take the rows."""
    if error.errno not in FULL:
        return f"{folder}: cannot be written ({reason(error)}) — expected a folder for temporary files — name another with TMPDIR"
    free = ""
    with suppress(OSError):
        free = f", {shutil.disk_usage(folder).free / 1e9:.2f} GB are free"
    return f"{folder}: the disk is full{free} — expected space for the rows — name a larger folder with TMPDIR, or scan with more --memory"


@contextmanager
def temporary_folder(parent: str | None = None) -> Iterator[str]:
    """A locked temporary folder, deleted on exit; those that killed processes left are deleted first.

    Args:
        parent: an existing folder to put it in; None for the system's folder for temporary files.

    Raises:
        UsageError: the folder cannot be written to.
    """
    try:
        parent = parent or tempfile.gettempdir()
        delete_ownerless(parent)
        folder, handle = "", None
        while handle is None:
            folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
            # Another process may take the folder for left over, and delete it, before it is locked.
            with suppress(FileNotFoundError):
                handle = locks.lock_folder(folder)
    except OSError as error:
        raise UsageError(unusable_folder(parent or "TMPDIR", error)) from error
    with interrupts.deleted_at_the_end(folder, handle):
        yield folder


def delete_ownerless(parent: str | None = None) -> None:
    """Delete this user's temporary folders that no process holds.

    Args:
        parent: folder that holds them; None for the system's folder for temporary files.
    """
    with suppress(OSError), os.scandir(parent or tempfile.gettempdir()) as entries:
        for entry in entries:
            if not entry.name.startswith(PREFIX) or not entry.is_dir(follow_symlinks=False):
                continue
            if hasattr(os, "geteuid") and entry.stat(follow_symlinks=False).st_uid != os.geteuid():
                continue
            with suppress(OSError):
                handle = locks.lock_folder(entry.path)
                if handle is not None:
                    interrupts.delete(entry.path)
                    os.close(handle)
