"""The standard streams of the program: closed ones are the null device, stderr never fails, and a reader of stdout may leave at any time."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class ForgivingText(io.TextIOWrapper):
    """Text stream that drops what cannot be written, as after `2> >(head -1)`: no message is worth a lost scan."""

    def write(self, text: str) -> int:
        """Write text, or drop it; return its length."""
        try:
            return super().write(text)
        except (OSError, ValueError):
            discard(self.fileno())
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left."""
        try:
            super().flush()
        except (OSError, ValueError):
            discard(self.fileno())


class Stdout(io.BufferedIOBase):
    """Standard output as a binary stream that stays open when a library closes it; after the first error what is written is dropped."""

    def __init__(self) -> None:
        self.stream, self.has_failed = sys.stdout.buffer, False

    def writable(self) -> bool:
        """Whether bytes can be written: always."""
        return True

    def write(self, content: Any) -> int:
        """Write bytes; return their number.

        Raises:
            OSError: at the first failure.
        """
        n_bytes = memoryview(content).nbytes
        if not self.has_failed:
            with self.failing_once():
                self.stream.write(content)
        return n_bytes

    def flush(self) -> None:
        """Write what is left; errors as for `write`."""
        if not self.has_failed:
            with self.failing_once():
                self.stream.flush()

    @contextmanager
    def failing_once(self) -> Iterator[None]:
        """Note an error of the block, and raise it."""
        try:
            yield
        except OSError:
            self.has_failed = True
            raise


def prepare() -> None:
    """Make the standard streams usable whatever the program was started with: closed, read-only, or unable to show a text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            discard(number)
    sys.stdin = sys.stdin or reopened(0, "r")
    sys.stdout = sys.stdout or reopened(1, "w")
    sys.stderr = sys.stderr or reopened(2, "w")
    if isinstance(sys.stderr, io.TextIOWrapper):
        encoding = sys.stderr.encoding
        sys.stderr = ForgivingText(sys.stderr.detach(), encoding, "backslashreplace", line_buffering=True)


def reopened(number: int, mode: str) -> io.TextIOWrapper:
    """Make a text stream of a file descriptor, which stays open when the stream is closed."""
    return io.TextIOWrapper(os.fdopen(number, f"{mode}b", closefd=False), "utf-8")


def discard(number: int) -> None:
    """Point a file descriptor to the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End the block quietly where the reader of stdout has left, as in `| head -1`; what else is written there is dropped."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        discard(1)


def flush() -> OSError | None:
    """Write what is left for stdout and stderr; return the error where stdout cannot be written, None for a reader that has left."""
    found = None
    try:
        with reader_may_leave():
            pass
    except OSError as error:
        discard(1)
        found = error
    sys.stderr.flush()
    return found
