"""Arrays that lie in files instead of memory, in a folder of their own that is gone when the work is done.

Leaves: numpy arrays. Enters: shapes. The system keeps of them in memory what it has room for; `release` hands it all back, so that what a process
holds stays flat however large they are. No torch.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from zcurate.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


def shared_zeros(shape: tuple[int, ...]) -> Tensor:
    """(shape) float32 in memory that copies of this process see and write too."""
    import torch

    if 0 in shape:
        return torch.zeros(shape)
    return torch.frombuffer(mmap.mmap(-1, 4 * prod(shape)), dtype=torch.float32).view(shape)


PAGE_BYTES, MAX_TOUCHED_BYTES = 1 << 16, 1 << 28
"""Bytes that one look at a file may map, and bytes after which they are given back."""


class MemoryMappedStore:
    """Arrays in one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.held: list[np.memmap[Any, Any]] = []
        self.n_touched = 0

    def zeros(self, shape: tuple[int, ...], kind: Any) -> np.ndarray:
        """A new array of zeros in a file; one without elements lies in memory.

        Args:
            shape: of the array.
            kind: numpy type.

        Raises:
            UsageError: the disk is full.
        """
        if 0 in shape:
            return np.zeros(shape, kind)
        # A copy of the process makes files of its own.
        path = os.path.join(self.folder, f"{os.getpid()}-{len(self.held):04d}")
        n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        free = shutil.disk_usage(self.folder).free
        if n_bytes > free:
            what = f"{n_bytes / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free"
            raise UsageError(f"{self.folder}: {what} — expected room for the rows — name a larger folder with TMPDIR, or scan with more --memory")
        self.held.append(np.memmap(path, kind, "w+", shape=shape))
        return self.held[-1]

    def copy(self, values: np.ndarray, kind: Any = None, change: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """A new array with the same values.

        Args:
            values: (N, ...), in memory or in files.
            kind: numpy type, None for the same.
            change: what becomes of some rows on the way; None for nothing.
        """
        out = self.zeros(values.shape, kind or values.dtype)
        for at in range(0, len(out), 1 << 20):
            some = values[at : at + (1 << 20)]
            out[at : at + (1 << 20)] = some if change is None else change(some)
            self.release()
        return out

    @contextmanager
    def pen(self, array: np.ndarray) -> Iterator[Callable[[int, np.ndarray], None]]:
        """Writes rows at a place of an array of these without mapping it; for many places, of each of which the system would map far more.

        Args:
            array: one of `zeros`, itself and no part of it.
        """
        if not isinstance(array, np.memmap):
            yield lambda at, values: array.__setitem__(slice(at, at + len(values)), values)
            return
        a_row = array.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
        with open(str(array.filename), "r+b") as file:

            def put(at: int, values: np.ndarray) -> None:
                file.seek(at * a_row)
                file.write(np.ascontiguousarray(values, array.dtype).data)

            yield put

    def touch(self, n_rows: int, row_bytes: int) -> None:
        """Some rows were looked at: from time to time the memory that such looks took is given back.

        Args:
            n_rows: that were looked at.
            row_bytes: of each.
        """
        # The system maps neighbouring pages with the one that is asked for.
        self.n_touched += n_rows * max(row_bytes, PAGE_BYTES)
        if self.n_touched > MAX_TOUCHED_BYTES:
            self.release()

    def release(self) -> None:
        """Give back the memory that the arrays take at the moment; their values stay."""
        self.n_touched = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            for one in self.held:
                one._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


@contextmanager
def temporary_store(beside: str | None = None) -> Iterator[MemoryMappedStore]:
    """A cellar in the folder for temporary files, or in `beside`; taken away at the end, whatever the end is.

    Args:
        beside: an existing folder; None for the system's.

    Raises:
        UsageError: the folder cannot be written to.
    """
    try:
        folder = tempfile.mkdtemp(prefix="zcurate-rows-", dir=beside)
    except OSError as error:
        raise UsageError(f"{beside or tempfile.gettempdir()}: cannot be written ({error.strerror}) — expected room for the rows — set TMPDIR") from error
    try:
        yield MemoryMappedStore(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
