"""Locks on files and folders. The system gives them back when their process ends, however it ends: what is not locked belongs to nobody."""

from __future__ import annotations

import os
import time

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows
    fcntl = None  # type: ignore[assignment]

POLL_SECONDS = 0.05
"""Between two tries."""
NOT_A_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Open neither where a link leads, nor a pipe that has no writer yet."""


def lock_file(path: str, patience: float = 0.0) -> int | None:
    """Lock a file, which is created where it is missing; an existing one may be left over from a process that was killed.

    Args:
        path: of the file.
        patience: seconds to wait for another process.

    Returns:
        The file descriptor; closing it ends the lock. None where another process holds the lock.

    Raises:
        OSError: the file cannot be opened.
    """
    return lock(path, os.O_RDWR | os.O_CREAT, patience)


def lock_folder(path: str) -> int | None:
    """Lock an existing folder; result and errors as for `lock_file`."""
    return lock(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0), 0.0)


def lock(path: str, flags: int, patience: float) -> int | None:
    """Open and lock; arguments, result and errors as for `lock_file`.

    Args:
        path: of the file or folder.
        flags: to open it with.
        patience: seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        handle = os.open(path, flags | NOT_A_LINK, 0o600)
        is_locked = try_lock(handle)
        if is_locked and is_at(handle, path):
            return handle
        os.close(handle)
        # A file that was renamed or deleted between opening and locking it is tried again, which is quick.
        if not is_locked and time.monotonic() >= deadline:
            return None
        time.sleep(POLL_SECONDS)


def try_lock(handle: int) -> bool:
    """Lock an open file; return whether no other process holds it. A file system without locks locks nothing."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_at(handle: int, path: str) -> bool:
    """Return whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
