"""Standard input and pipes. They cannot be read twice, so their contents are read into memory first."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO

from zcurate.data.file_names import printable
from zcurate.data.limits import MemoryLimit
from zcurate.data.local_files import local_errors
from zcurate.data.source import CHUNK_BYTES, Source
from zcurate.errors import InputError, UsageError
from zcurate.plugins import READERS


def is_pipe(path: str) -> bool:
    """Return whether a path is a named pipe, or one of the shell's, as in `zcurate scan <(command)`."""
    with suppress(OSError, ValueError):
        return stat.S_ISFIFO(os.stat(path).st_mode)
    return False


def check_regular(names: Iterable[str]) -> None:
    """Refuse parts that are pipes or devices, which would be waited for without end.

    Args:
        names: of local files.

    Raises:
        InputError: names the first one.
    """
    for name in names:
        with suppress(OSError, ValueError):
            if not stat.S_ISREG(os.stat(name).st_mode):
                raise InputError(f"{printable(name)}: a pipe or device among the parts — expected files — remove it, or name the files")


def piped_source(path: str, wanted: str | None, memory: str | None) -> Source:
    """Read standard input or a pipe.

    Args:
        path: `-`, or of the pipe.
        wanted: name of the reader; None where it is not known.
        memory: `--memory`, or None.

    Raises:
        InputError: nothing comes out, or more than fits into memory.
        UsageError: no `--input-format`, or one that needs a path.
    """
    what = "standard input" if path == "-" else "a pipe"
    if wanted is None:
        raise UsageError(f"{path}: {what} has no file name that shows its format — expected --input-format — try --input-format csv")
    if READERS[wanted].needs_path:
        raise UsageError(f"{path}: --input-format {wanted} cannot come from {what} — expected a table — pass a path")
    limit = MemoryLimit.of(memory)
    if path == "-":
        content = read_all(sys.stdin.buffer, path, limit)
    else:
        # Without a writer the system would wait for one; then it has nothing to read instead.
        with local_errors(path):
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            os.set_blocking(descriptor, True)
            with os.fdopen(descriptor, "rb") as stream:
                content = read_all(stream, path, limit)
    if not content:
        raise InputError(f"{path}: {what} is empty — expected a table — check the command that writes to it")
    return Source(path, (), wanted, content)


def read_all(stream: BinaryIO, location: str, limit: MemoryLimit) -> bytes:
    """Read a stream to its end, but no more than fits into memory.

    Raises:
        InputError: it holds more.
    """
    content = bytearray()
    while chunk := stream.read(CHUNK_BYTES):
        content += chunk
        limit.check(2 * len(content), location, "its contents")
    return bytes(content)
