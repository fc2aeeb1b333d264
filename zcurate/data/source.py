"""Open the files of an input: local or remote, or standard input, compressed or not. Knows file names, not their contents."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from zcurate.data import folder_tree, partitions, remote
from zcurate.data import remote as remote_module
from zcurate.data.dataset import FileNotes, InputInfo
from zcurate.data.file_names import printable
from zcurate.data.limits import ExpandingStream, MemoryLimit
from zcurate.data.local_files import local_errors
from zcurate.data.remote import Remote
from zcurate.errors import InputError
from zcurate.runtime.store import MemoryMappedStore

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
"""File name extension -> Arrow's name of the compression."""
CHUNK_BYTES = 1 << 22
"""Bytes read at a time."""


@dataclass(frozen=True)
class Source:
    """One input: its files, format and location."""

    path: str
    """As the user typed it; `-` for standard input."""
    files: tuple[str, ...]
    """Its files, in order; empty for standard input and image folders."""
    format: str
    """Name of the reader."""
    content: bytes | None = field(default=None, repr=False)
    """Standard input's bytes; None for files."""
    verbatim: bool = False
    """Read every column of delimited text as text, as written."""
    encoding: str | None = None
    """Encoding of delimited text; None to detect it."""
    missing: str | None = None
    """Words that mean a missing value in delimited text, by comma; None for the usual ones."""
    base: str = ""
    """The folder below which `name=value` folders are partition columns; empty if there are none."""
    remote: Remote | None = field(default=None, repr=False)
    """The remote file system; None for local files."""
    store: MemoryMappedStore | None = field(default=None, repr=False, compare=False)
    """Memory-mapped store for decoded images; None for memory."""
    memory: str | None = None
    """`--memory`; None for what the machine has."""
    is_manifest: bool = False
    """The files are manifests inside the folder of pictures at `path`: their file names are relative to themselves."""
    original: Source | None = field(default=None, repr=False, compare=False)
    """The input of which the files are a copy in another format; None if they are the input itself."""
    digests: dict[str, tuple[int, bytes]] = field(default_factory=dict, repr=False, compare=False)
    """Size and hash of each remote file that has been read in full; filled by `open`."""
    notes: dict[str | None, FileNotes] = field(default_factory=dict, repr=False, compare=False)
    """What was found in each file besides its rows; filled when the types of delimited text are inferred for batch-wise reading."""

    @property
    def is_delimited(self) -> bool:
        """Whether the input is delimited text, where every value is written as text."""
        return self.format in ("csv", "tsv")

    def partition(self, file: str | None) -> dict[str, str | None]:
        """Return the partition columns of one of `files`, from its folder names."""
        return partitions.partition(printable(file).replace(os.sep, "/"), printable(self.base)) if file and self.base else {}

    def file_name(self, file: str | None) -> str | None:
        """Return a file as given, else the first of `files`; None if there is none."""
        return file or (self.files[0] if self.files else None)

    def open(self, file: str | None = None) -> Any:
        """Open a file as a decompressed binary stream.

        Args:
            file: one of `files`; None for the only one.

        Raises:
            InputError: it cannot be opened.
        """
        name = self.file_name(file)
        if self.content is not None:
            return decompressed(pa.BufferReader(self.content), sniff_compression(self.content[:4]), self.path)
        if name is None:
            raise InputError(f"{self.path}: no file to read — expected a file — check the path")
        if self.remote is not None:
            content = self.remote.content(name)
            self.digests[name] = len(content), hashlib.blake2b(content, digest_size=16).digest()
            return decompressed(pa.BufferReader(content), compression_of(name), name)
        with local_errors(name):
            return decompressed(pa.OSFile(os.fsencode(name)), compression_of(name), name)

    def read(self, file: str | None = None, copies: float = 1) -> bytes:
        """Read a whole file, decompressed.

        Args:
            file: one of `files`; None for the only one.
            copies: times its size that the memory for what is made of it takes.

        Raises:
            InputError: it cannot be opened or decompressed, or takes more memory than there is.
        """
        location = self.file_name(file) or self.path
        limit, parts, total = MemoryLimit.of(self.memory), [], 0
        with self.open(file) as stream:
            try:
                if stream.seekable():
                    limit.check(stream.size() * copies, location, "its contents")
                    return bytes(stream.read())
                while chunk := stream.read(CHUNK_BYTES):
                    parts.append(chunk)
                    total += len(chunk)
                    limit.check(total * copies, location, "its contents")
            except (OSError, EOFError, pa.ArrowInvalid) as error:
                reason = printable(str(error)).partition("\n")[0][:100]
                raise InputError(f"{location}: cannot be read or decompressed ({reason}) — expected a complete file — is the download complete?") from error
        return b"".join(parts)

    def open_seekable(self, file: str | None = None) -> Any:
        """Open a file for random access, if possible without a copy in memory; it is read block by block.

        A local file is not memory-mapped: the process would be killed where another one truncates it.

        Args:
            file: one of `files`; None for the only one.

        Raises:
            InputError: it cannot be opened.
        """
        name = self.file_name(file)
        if self.content is not None or name is None or compression_of(name):
            raw = self.open(name)
            return raw if raw.seekable() else pa.BufferReader(self.read(name))
        if self.remote is not None:
            file_object = self.remote.open(name)
            return pa.PythonFile(file_object, "r") if file_object.seekable() else pa.BufferReader(self.remote.content(name))
        return self.open(name)

    def open_whole(self, file: str | None = None) -> Any:
        """Open a file to read all of it: like `open_seekable`, but a remote file is fetched in one request instead of many.

        Args:
            file: one of `files`; None for the only one.

        Raises:
            InputError: it cannot be opened.
        """
        raw = self.open_seekable(file) if self.remote is None else self.open(file)
        return raw if raw.seekable() else pa.BufferReader(self.read(file))

    def open_stream(self, file: str | None = None) -> Any:
        """Open a file for one sequential read, decompressed, without a copy in memory.

        Args:
            file: one of `files`; None for the only one.

        Raises:
            InputError: it cannot be opened.
        """
        name = self.file_name(file)
        if self.remote is None or name is None:
            return self.open(name)
        size = self.remote.sizes[self.files.index(name)] if name in self.files else None
        return decompressed(pa.PythonFile(self.remote.open(name), "r"), compression_of(name), name, size)

    def remote_errors(self, file: str | None) -> AbstractContextManager[None]:
        """Return a context in which exceptions of the remote file system become errors that name the file; for batch-wise reading."""
        return nullcontext() if self.remote is None else remote_module.remote_errors(file or self.path)

    def state(self) -> tuple[tuple[int, int], ...]:
        """Return size and time of each local file, which tell whether another program has changed it.

        Raises:
            InputError: a file is gone.
        """
        found = []
        for name in self.files if self.remote is None else ():
            with local_errors(name):
                status = os.stat(name)
            found.append((status.st_size, status.st_mtime_ns))
        return tuple(found)

    @contextmanager
    def unchanged(self, before: tuple[tuple[int, int], ...]) -> Iterator[None]:
        """Refuse, at the end of the block, an input that another program has changed: its rows may be of two versions.

        Args:
            before: its `state` before it was first read.

        Raises:
            InputError: names the first file that has changed, or is gone.
        """
        try:
            yield
        except Exception:
            # What a reader says of a file that is being rewritten leads nowhere.
            self.check_state(before)
            raise
        self.check_state(before)

    def check_state(self, before: tuple[tuple[int, int], ...]) -> None:
        """Refuse an input that has changed; argument and error as for `unchanged`."""
        for name, old, new in zip(self.files, before, self.state(), strict=False):
            if old != new:
                raise InputError(f"{printable(name)}: changed while it was read — expected an input that stays as it is — scan it when nothing writes to it")

    def origin(self) -> InputInfo:
        """Return path, format, size and hash of the input, for the run card."""
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
            if columns := self.partition(name):
                digest.update(repr(columns).encode())
            with local_errors(name), open(name, "rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
        return InputInfo(self.path, self.format, size, digest.hexdigest())

    def remote_digest(self, files: Remote) -> tuple[int, str]:
        """Return the total size and the hash of names, sizes and stamps; a file without a stamp is read and hashed."""
        digest, total = hashlib.blake2b(digest_size=16), 0
        for name, size, stamp in zip(self.files, files.sizes, files.stamps, strict=True):
            if stamp is None:
                if name not in self.digests:
                    self.open(name)
                size, content_digest = self.digests[name]
                stamp = content_digest.hex()
            total += size or 0
            digest.update(f"{name}\0{size}\0{stamp}\n".encode())
        return total, digest.hexdigest()


def compression_of(name: str) -> str | None:
    """Return Arrow's name of the compression that the file name's extension implies, or None."""
    return COMPRESSIONS.get(os.path.splitext(remote.bare(name) if remote.is_remote(name) else name)[1].lower())


def decompressed(raw: Any, kind: str | None, location: str, n_stored: int | None = None) -> Any:
    """Wrap a stream in a decompressor that ends with an error where the file expands out of proportion; return it unchanged for `kind` None.

    Args:
        raw: the file.
        kind: Arrow's name of the compression.
        location: name of the file, for messages.
        n_stored: its size [bytes]; None to ask the stream.
    """
    if kind is None:
        return raw
    n_stored = raw.size() if n_stored is None and raw.seekable() else n_stored
    return ExpandingStream(pa.CompressedInputStream(raw, kind), n_stored, printable(location))


def sniff_compression(head: bytes) -> str | None:
    """Recognize gzip or zstd by the first bytes."""
    return "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head[:4] == b"\x28\xb5\x2f\xfd" else None


def folder_digest(path: str) -> tuple[int, str]:
    """Return the size of a folder and the hash of its files' names, sizes and times, which spares reading the images twice.

    Folders and files of other programs are left out; of a link that leads nowhere its own size and time count.
    """
    digest, size = hashlib.blake2b(digest_size=16), 0
    for file in folder_tree.walk(path).all_files():
        if file.name.endswith(partitions.OWN_ENDINGS):
            continue
        name = os.path.join(path, file.path)
        status = os.stat(name, follow_symlinks=os.path.exists(name))
        size += status.st_size
        digest.update(os.fsencode(file.path) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return size, digest.hexdigest()
