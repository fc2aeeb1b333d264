"""Where the bytes of an input are, and how to open them: file, folder, glob or standard input, here or far, plain or compressed.

Leaves: `Source`. Enters: the path the user typed. Knows names and endings, not what is inside.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from zcurate.data import partitions, remote
from zcurate.data import remote as remote_module
from zcurate.data.dataset import InputInfo
from zcurate.data.remote import Remote
from zcurate.errors import InputError
from zcurate.runtime.store import MemoryMappedStore

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
CHUNK = 1 << 22


@dataclass(frozen=True)
class Source:
    """One input."""

    path: str
    """As typed; `-` for standard input."""
    files: tuple[str, ...]
    """The files it is made of, in order; empty for standard input and picture folders."""
    format: str
    """Reader."""
    content: bytes | None = field(default=None, repr=False)
    """Standard input's bytes; None for files."""
    verbatim: bool = False
    """Delimited text is wanted as written, no column turned into numbers."""
    base: str = ""
    """The folder below which `name=value` folders are partition columns; empty where there are none to look for."""
    remote: Remote | None = field(default=None, repr=False)
    """Where the files are; None for this machine."""
    room: MemoryMappedStore | None = field(default=None, repr=False, compare=False)
    """Where decoded pictures are kept; None for memory."""
    original: Source | None = field(default=None, repr=False, compare=False)
    """The input that the files are a copy of, in another format; None where they are the input."""
    passed: dict[str, tuple[int, bytes]] = field(default_factory=dict, repr=False, compare=False)
    """Size and hash of each remote file whose bytes have passed through; filled by `open`."""

    def partition(self, file: str | None) -> dict[str, str | None]:
        """The partition columns of one of `files`, from the names of its folders."""
        return partitions.partition(file.replace(os.sep, "/"), self.base) if file and self.base else {}

    def open(self, file: str | None = None) -> Any:
        """A binary stream of one file, decompressed.

        Args:
            file: one of `files`; the only one when None.

        Raises:
            InputError: it cannot be opened.
        """
        name = file or (self.files[0] if self.files else None)
        if self.content is not None:
            return plain_stream(pa.BufferReader(self.content), sniffed_compression(self.content[:4]))
        if name is None:
            raise InputError(f"{self.path}: no file to read — expected a file — check the path")
        if self.remote is not None:
            content = self.remote.content(name)
            self.passed[name] = len(content), hashlib.blake2b(content, digest_size=16).digest()
            return plain_stream(pa.BufferReader(content), compression_of(name))
        with first_bytes(name):
            return pa.input_stream(name, compression=compression_of(name))

    def mapped(self, file: str | None = None) -> Any:
        """One file for reading at any place, without a copy of it in memory where that can be: memory-mapped here, piece by piece from afar.

        Args:
            file: one of `files`; the only one when None.

        Raises:
            InputError: it cannot be opened.
        """
        name = file or (self.files[0] if self.files else None)
        if self.content is not None or name is None or compression_of(name):
            raw = self.open(name)
            return raw if raw.seekable() else pa.BufferReader(raw.read())
        if self.remote is not None:
            far = self.remote.open(name)
            return pa.PythonFile(far, "r") if far.seekable() else pa.BufferReader(self.remote.content(name))
        with first_bytes(name):
            return pa.memory_map(name) if os.path.getsize(name) else pa.BufferReader(b"")

    def passing(self, file: str | None = None) -> Any:
        """One file for reading at any place where nothing of it is to stay in memory: as `mapped`, but not mapped.

        Args:
            file: one of `files`; the only one when None.

        Raises:
            InputError: it cannot be opened.
        """
        name = file or (self.files[0] if self.files else None)
        if self.content is not None or name is None or compression_of(name) or self.remote is not None:
            return self.mapped(file)
        with first_bytes(name):
            return pa.OSFile(name)

    def fetched(self, file: str | None = None) -> Any:
        """One file for reading all of it: as `mapped`, but from afar at once, which takes one request instead of many.

        Args:
            file: one of `files`; the only one when None.

        Raises:
            InputError: it cannot be opened.
        """
        raw = self.mapped(file) if self.remote is None else self.open(file)
        return raw if raw.seekable() else pa.BufferReader(raw.read())

    def stream(self, file: str | None = None) -> Any:
        """One file for reading once from its beginning, decompressed, without a copy of it in memory.

        Args:
            file: one of `files`; the only one when None.

        Raises:
            InputError: it cannot be opened.
        """
        name = file or (self.files[0] if self.files else None)
        if self.remote is None or name is None:
            return self.open(name)
        return plain_stream(pa.PythonFile(self.remote.open(name), "r"), compression_of(name))

    def reaching(self, file: str | None) -> AbstractContextManager[None]:
        """Around the reading of a file piece by piece: what a file system raises on the way becomes an error that names it."""
        return nullcontext() if self.remote is None else remote_module.reaching(file or self.path)

    def origin(self) -> InputInfo:
        """Path, size and hash for the run card."""
        if self.original is not None:
            return self.original.origin()
        if self.content is not None:
            return InputInfo(self.path, self.format, len(self.content), hashlib.blake2b(self.content, digest_size=16).hexdigest())
        if os.path.isdir(self.path) and self.format == "folder":
            return InputInfo(self.path, self.format, *folder_digest(self.path))
        if self.remote is not None:
            return InputInfo(self.path, self.format, *self.remote_digest(self.remote))
        digest, size = hashlib.blake2b(digest_size=16), 0
        for name in self.files:
            if settings := self.partition(name):
                digest.update(repr(settings).encode())
            with first_bytes(name), open(name, "rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
        return InputInfo(self.path, self.format, size, digest.hexdigest())

    def remote_digest(self, where: Remote) -> tuple[int, str]:
        """Bytes, and the hash of names, sizes and what each file is stamped with: its checksum or time, else the hash of its bytes."""
        digest, total = hashlib.blake2b(digest_size=16), 0
        for name, size, stamp in zip(self.files, where.sizes, where.stamps, strict=True):
            if stamp is None:
                if name not in self.passed:
                    self.open(name)
                size, hashed = self.passed[name]
                stamp = hashed.hex()
            total += size or 0
            digest.update(f"{name}\0{size}\0{stamp}\n".encode())
        return total, digest.hexdigest()


@contextmanager
def first_bytes(name: str) -> Iterator[None]:
    """Turns what the system says of a local file into an error that names it.

    Raises:
        InputError: it is gone, or cannot be opened.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{name}: was listed and is gone — expected it to stay until it is read — is something else writing there? run again") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{name}: cannot be opened ({error}) — check the path and its permissions") from error


def compression_of(name: str) -> str | None:
    """Arrow's word for the compression that a name's ending tells."""
    return COMPRESSIONS.get(os.path.splitext(remote.bare(name) if remote.is_remote(name) else name)[1].lower())


def plain_stream(raw: Any, kind: str | None) -> Any:
    """A stream decompressed, or as it is."""
    return pa.CompressedInputStream(raw, kind) if kind else raw


def sniffed_compression(head: bytes) -> str | None:
    """gzip or zstd by the first bytes."""
    return "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head[:4] == b"\x28\xb5\x2f\xfd" else None


def folder_digest(path: str) -> tuple[int, str]:
    """Bytes in a folder and the hash of its files' names, sizes and times: its pictures are not read twice for it."""
    digest, size = hashlib.blake2b(digest_size=16), 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(name for name in names if not name.endswith(partitions.REPORT_ENDING)):
            status = os.stat(os.path.join(folder, name))
            size += status.st_size
            digest.update(f"{os.path.relpath(os.path.join(folder, name), path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return size, digest.hexdigest()
