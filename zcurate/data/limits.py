"""What reading an input may take: memory, and how far a compressed file may expand."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from zcurate.config.units import format_size, parse_size
from zcurate.errors import InputError
from zcurate.runtime import environment, memory

MAX_EXPANSION = 200
"""Times its compressed size to which a file may expand: text takes a tenth to a fiftieth of its size at the most, what is made to fill the memory far less."""
FREE_BYTES = 256 << 20
"""Bytes that any input may take: less than the libraries that read it."""
MAX_COLUMNS = 100_000
"""Columns of a table; more are a file that is no table, or would take hours."""


@dataclass(frozen=True)
class MemoryLimit:
    """Memory that reading an input may take."""

    n_bytes: int
    """Its size."""
    words: str
    """Where it comes from, for messages."""

    @classmethod
    def of(cls, wanted: str | None) -> MemoryLimit:
        """Return the limit of `--memory`; for None, this process's share of what the machine has."""
        limit = parse_size(wanted)
        if limit is not None:
            return cls(limit, f"--memory {wanted}")
        limit = memory.available_bytes() // environment.local_world_size()
        return cls(limit, f"the {format_size(limit)} of this machine")

    @property
    def allowed(self) -> int:
        """Bytes that may be read in any case."""
        return max(self.n_bytes, FREE_BYTES)

    def check(self, n_bytes: float, location: str, what: str, advice: str = "raise --memory, or read fewer rows or columns") -> None:
        """Refuse what takes more.

        Args:
            n_bytes: that it takes in memory.
            location: the file, for the message.
            what: what takes them, a plural.
            advice: end of the message.

        Raises:
            InputError: it does.
        """
        if n_bytes > self.allowed:
            raise InputError(f"{location}: {what} take {format_size(n_bytes)} of memory or more — expected at most {self.words} — {advice}")


def check_expansion(n_bytes: int, n_stored: int, location: str) -> None:
    """Refuse a compressed file that expands out of proportion.

    Args:
        n_bytes: decompressed so far, or declared.
        n_stored: compressed size [bytes].
        location: the file, for the message.

    Raises:
        InputError: a decompression bomb, as far as one can tell.
    """
    if n_bytes > max(FREE_BYTES, MAX_EXPANSION * n_stored):
        found = f"{location}: {format_size(n_stored)} that expand to {format_size(n_bytes)} or more"
        raise InputError(f"{found} — expected at most {MAX_EXPANSION} times as much — is it a decompression bomb? if not, unpack it and scan what is inside")


def check_columns(n_columns: int, location: str) -> None:
    """Refuse a table with more columns than can be used.

    Raises:
        InputError: it has more than `MAX_COLUMNS`.
    """
    if n_columns > MAX_COLUMNS:
        raise InputError(f"{location}: {n_columns} columns — expected at most {MAX_COLUMNS} — is it a table with one row per example?")


class ExpandingStream(io.RawIOBase):
    """A decompressed stream that ends with an error where it expands out of proportion."""

    def __init__(self, stream: Any, n_stored: int | None, location: str) -> None:
        """Wrap a stream.

        Args:
            stream: decompresses what it reads.
            n_stored: compressed size [bytes]; None where it is not known.
            location: the file, for the message.
        """
        self.stream, self.n_stored, self.location, self.n_read = stream, n_stored, location, 0

    def read(self, n_bytes: int = -1) -> bytes:
        """Read the next bytes; all that are left for -1.

        Raises:
            InputError: the file expands out of proportion.
        """
        if n_bytes < 0:
            return self.readall()
        content: bytes = self.stream.read(n_bytes)
        self.n_read += len(content)
        if self.n_stored is not None:
            check_expansion(self.n_read, self.n_stored, self.location)
        return content

    def readable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the stream."""
        self.stream.close()
        super().close()
