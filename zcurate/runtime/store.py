"""Stores for the arrays of N rows: in memory, in memory shared with forked copies of the process, or in memory-mapped files. No torch.

The system caches pages of a memory-mapped array as long as there is memory; `release` returns them, so that the memory of a process does not grow
with the number of rows.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from zcurate.errors import UsageError
from zcurate.runtime.temporary_folder import FULL, folder_errors, temporary_folder, unusable_folder

PAGE_BYTES, MAX_TOUCHED_BYTES = 1 << 16, 1 << 28
"""Bytes that one access to a file may map, and bytes after which they are handed back."""
COPY_ROWS = 1 << 20
"""Rows copied at a time."""
ZEROS_BYTES = 1 << 24
"""Zeros written at a time where the system cannot reserve space."""

RowWriter = Callable[[int, np.ndarray], None]
"""Writes rows at a position of one array."""


@dataclass(frozen=True)
class BlockSizes:
    """How much is worked on at a time."""

    judge_rows: int = 131_072
    """Rows judged as one block."""
    report_rows: int = 65_536
    """Rows of a report built and written as one chunk."""
    min_chunked_rows: int = 262_144
    """Rows from which a report of resident rows is built and written chunk by chunk."""
    bucket_rows: int = 131_072
    """Rows shuffled in memory at a time."""
    gather_bytes: int = 1 << 27
    """Bytes of an array up to which all of it may be mapped while scattered rows of it are read."""
    window_rows: int = 1_048_576
    """Rows of an array filled at a time where they come in any order."""
    max_windows: int = 16
    """Windows at most, as each reads all positions."""
    segment_rows: int = 524_288
    """Rows visited as one segment of an epoch, at most."""
    segment_bytes: int = 64_000_000
    """Bytes of inputs in one segment, at most."""
    segment_block_rows: int = 16_384
    """Neighboring rows drawn together into a segment."""
    move_rows: int = 2048
    """Pictures moved at a time."""


class ArrayStore(Protocol):
    """Makes arrays and hands their memory back."""

    resident: bool
    """All rows may be read at once, and are in the input's order."""
    sizes: BlockSizes
    """How much is worked on at a time where rows are not resident."""

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """A new array of zeros."""

    def copy(self, values: np.ndarray, dtype: DTypeLike | None = None, change: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """A new array with the same values, or with what `change` makes of them."""

    def row_writer(self, array: np.ndarray) -> AbstractContextManager[RowWriter]:
        """Writes rows at positions of an array made by `zeros`."""

    def touch(self, n_rows: int, row_bytes: int) -> None:
        """Note that scattered rows were read."""

    def release(self) -> None:
        """Hand cached pages back; values stay."""


class InMemoryStore:
    """Arrays in this process's memory; there is nothing to hand back."""

    resident = True

    def __init__(self, sizes: BlockSizes | None = None) -> None:
        """A store without arrays.

        Args:
            sizes: how much is worked on at a time; None for the default sizes.
        """
        self.sizes = sizes or BlockSizes()

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """A new array of zeros."""
        return np.zeros(shape, dtype)

    def copy(self, values: np.ndarray, dtype: DTypeLike | None = None, change: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """A new array with the same values, or with what `change` makes of them.

        Args:
            values: (N, ...).
            dtype: of the new array; None for that of `values`.
            change: applied to the values; None for the identity.
        """
        changed = values if change is None else change(values)
        return changed.astype(dtype or values.dtype)

    @contextmanager
    def row_writer(self, array: np.ndarray) -> Iterator[RowWriter]:
        """Writes rows at positions of an array."""
        yield lambda at, values: array.__setitem__(slice(at, at + len(values)), values)

    def touch(self, n_rows: int, row_bytes: int) -> None:
        """Nothing to note."""

    def release(self) -> None:
        """Nothing to hand back."""


class SharedStore(InMemoryStore):
    """Arrays in anonymous maps, which forked copies of this process read and write too."""

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """A new array of zeros; one without elements is private."""
        if 0 in shape:
            return np.zeros(shape, dtype)
        return np.frombuffer(mmap.mmap(-1, np.dtype(dtype).itemsize * prod(shape)), dtype).reshape(shape)


class MemoryMappedStore:
    """Arrays in files of one folder."""

    resident = False

    def __init__(self, folder: str, sizes: BlockSizes | None = None) -> None:
        """An empty store.

        Args:
            folder: where the files go.
            sizes: how much is worked on at a time; None for the default sizes.
        """
        self.folder, self.sizes = folder, sizes or BlockSizes()
        self.arrays: list[np.memmap[Any, Any]] = []
        self.n_touched = 0

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """A new array of zeros in a file; one without elements is in memory.

        Raises:
            UsageError: the disk is full, or the folder is gone.
        """
        if 0 in shape:
            return np.zeros(shape, dtype)
        # A forked copy of the process makes files of its own.
        path = os.path.join(self.folder, f"{os.getpid()}-{len(self.arrays):04d}")
        with folder_errors(self.folder):
            reserve(path, prod(shape) * np.dtype(dtype).itemsize)
            self.arrays.append(np.memmap(path, dtype, "r+", shape=shape))
        return self.arrays[-1]

    def copy(self, values: np.ndarray, dtype: DTypeLike | None = None, change: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """A new array with the same values, or with what `change` makes of them, chunk by chunk.

        Args:
            values: (N, ...), in memory or in files.
            dtype: of the new array; None for that of `values`.
            change: applied to each chunk of rows; None for the identity.
        """
        out = self.zeros(values.shape, dtype or values.dtype)
        for at in range(0, len(out), COPY_ROWS):
            some = values[at : at + COPY_ROWS]
            out[at : at + COPY_ROWS] = some if change is None else change(some)
            self.release()
        return out

    @contextmanager
    def row_writer(self, array: np.ndarray) -> Iterator[RowWriter]:
        """Writes rows through the file instead of the mapping, so that scattered writes do not fault in whole pages.

        Args:
            array: made by `zeros`, itself and no part of it.
        """
        if not isinstance(array, np.memmap):
            yield lambda at, values: array.__setitem__(slice(at, at + len(values)), values)
            return
        row_bytes = array.itemsize * prod(array.shape[1:])
        with folder_errors(self.folder), open(str(array.filename), "r+b") as file:

            def write(at: int, values: np.ndarray) -> None:
                file.seek(at * row_bytes)
                file.write(np.ascontiguousarray(values, array.dtype).data)

            yield write

    def touch(self, n_rows: int, row_bytes: int) -> None:
        """Note that scattered rows were read; from time to time the pages that were mapped for them are handed back.

        Args:
            n_rows: that were read.
            row_bytes: of each.
        """
        # The system maps neighboring pages with the one that is requested.
        self.n_touched += n_rows * max(row_bytes, PAGE_BYTES)
        if self.n_touched > MAX_TOUCHED_BYTES:
            self.release()

    def release(self) -> None:
        """Hand cached pages back; values stay."""
        self.n_touched = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            for one in self.arrays:
                one._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def reserve(path: str, n_bytes: int) -> None:
    """Make a file of zeros that has its space on the disk: writing to a mapping without it ends the process where the disk is full.

    Args:
        path: of the file.
        n_bytes: its size, at least 1.

    Raises:
        OSError: there is not enough space.
    """
    with open(path, "wb", buffering=0) as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, n_bytes)
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
        zeros = bytes(min(n_bytes, ZEROS_BYTES))
        while (left := n_bytes - file.tell()) > 0:
            file.write(zeros[:left])


@contextmanager
def temporary_store(parent: str | None = None, sizes: BlockSizes | None = None) -> Iterator[MemoryMappedStore]:
    """A temporary memory-mapped store, deleted on exit.

    Args:
        parent: as for `temporary_folder`.
        sizes: how much is worked on at a time.

    Raises:
        UsageError: the folder cannot be written to, or the disk is full.
    """
    with temporary_folder(parent) as folder:
        try:
            yield MemoryMappedStore(folder, sizes)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise UsageError(unusable_folder(folder, error)) from error
