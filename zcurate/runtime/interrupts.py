"""Signals that end the program: it tidies up as after an error, and is ended all the same where that takes too long.

Only the command line installs this; a user's own program keeps its handlers. A signal that the program was started to ignore (`nohup`) stays ignored.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from zcurate.runtime import locks

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end the program: Ctrl-C, `kill`, a closed terminal."""
SIGNALLED = 128
"""Added to a signal's number it is the exit code of a program that the signal ended, as a shell gives it."""
GRACE_SECONDS = 5.0
"""Time for tidying up. Python's handlers wait for calls into libraries, such as one for a message of another process that may never come."""
leftovers: dict[str, int | None] = {}
"""Files and folders to delete where the program is ended before it could tidy up -> descriptor of the locked file, None where nothing is locked."""


class Interrupted(BaseException):
    """Raised in the main thread when a signal ends the program."""

    def __init__(self, number: int) -> None:
        """The message says which signal it was.

        Args:
            number: of the signal.
        """
        name = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
        super().__init__(f"interrupted{name} — nothing half-written was left — if there is a checkpoint, --resume continues from it")
        self.exit_code = SIGNALLED + number


def install() -> None:
    """Raise `Interrupted` in the main thread at the first of the signals `ENDING`; further ones are ignored while the program tidies up."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # The system's handler writes the number there at once, even while the main thread is inside a library's call.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=end_after_grace, args=(reader,), daemon=True).start()


def interrupt(number: int, _: FrameType | None) -> None:
    """Raise `Interrupted`; Python's handler of the signals.

    Raises:
        Interrupted: always.
    """
    for other in ENDING:
        if signal.getsignal(other) is interrupt:
            # Children that are started while tidying up must not inherit SIG_IGN.
            signal.signal(other, lambda *_: None)
    raise Interrupted(number)


def end_after_grace(reader: int) -> None:
    """Wait for one of the signals and end the process if it has not ended itself after `GRACE_SECONDS`.

    Args:
        reader: file descriptor of the pipe that receives the signals' numbers.
    """
    while (number := os.read(reader, 1)[0]) not in ENDING:
        continue
    time.sleep(GRACE_SECONDS)
    delete_leftovers()
    with suppress(OSError):
        os.write(2, f"{Interrupted(number)}\n".encode())
    os._exit(SIGNALLED + number)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold the signals back while the process is forked, until both processes know what to do with them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_parent() -> None:
    """Undo `install` in a forked copy of the process: Ctrl-C is its parent's affair, and other signals end it as they end any process.

    Signals that were `held_back` arrive now.
    """
    for number in ENDING:
        if signal.getsignal(number) is interrupt:
            signal.set_wakeup_fd(-1)
            signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def delete_leftovers() -> None:
    """Delete what should have been deleted by now: a signal may arrive just while that is done."""
    for path, handle in tuple(leftovers.items()):
        delete_own(path, handle)


def delete(path: str) -> None:
    """Delete a file, or a folder with everything in it; nothing happens where that is not possible."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        os.unlink(path)


def delete_own(path: str, handle: int | None) -> None:
    """Delete a file or folder; where it is locked, only if the locked one is still at its path: after it was moved another process may have made its own.

    Args:
        path: of the file or folder.
        handle: descriptor of the locked file or folder; None where it is not locked.
    """
    if handle is None or locks.is_at(handle, path):
        delete(path)


@contextmanager
def deleted_at_the_end(path: str, handle: int | None = None) -> Iterator[None]:
    """Delete a temporary file or folder when the block ends, whatever the end is; one that is gone by then is fine.

    Args:
        path: of the file or folder.
        handle: descriptor of the locked file or folder, which is closed at the end; None where it is not locked.
    """
    leftovers[path] = handle
    try:
        yield
    finally:
        delete_own(path, handle)
        leftovers.pop(path, None)
        if handle is not None:
            os.close(handle)
