"""Where the bytes of an input are, and how to open them: file, folder, glob or standard input, plain or compressed.

Leaves: `Source`. Enters: the path the user typed. Knows names and endings, not what is inside.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from zcurate.dataset import Origin
from zcurate.errors import InputError, UsageError, did_you_mean
from zcurate.pictures import SUFFIXES as PICTURE_SUFFIXES

FORMAT_OF = {
    ".csv": "csv", ".txt": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
    ".feather": "feather", ".arrow": "feather", ".ipc": "feather", ".arrows": "feather",
    ".npz": "npz",
}  # fmt: skip
"""Ending -> reader."""
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

    @property
    def stem(self) -> str:
        """`a` for a.csv.gz and folder a/, `stdin` for standard input: the report is named after it."""
        return stem_of(self.path)

    def open(self, file: str | None = None) -> Any:
        """A binary stream of one file, decompressed.

        Args:
            file: one of `files`; the only one when None.

        Raises:
            InputError: it cannot be opened.
        """
        name = file or (self.files[0] if self.files else None)
        if self.content is not None:
            raw = pa.BufferReader(self.content)
            kind = sniffed_compression(self.content[:4])
            return pa.CompressedInputStream(raw, kind) if kind else raw
        if name is None:
            raise InputError(f"{self.path}: no file to read — expected a file — check the path")
        try:
            return pa.input_stream(name, compression=COMPRESSIONS.get(os.path.splitext(name)[1].lower()))
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"{name}: cannot be opened ({error}) — check the path and its permissions") from error

    def origin(self) -> Origin:
        """Path, size and hash for the run card."""
        if self.content is not None:
            return Origin(self.path, self.format, len(self.content), hashlib.blake2b(self.content, digest_size=16).hexdigest())
        if os.path.isdir(self.path) and self.format == "folder":
            return Origin(self.path, self.format, *folder_digest(self.path))
        digest, size = hashlib.blake2b(digest_size=16), 0
        for name in self.files:
            with open(name, "rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
        return Origin(self.path, self.format, size, digest.hexdigest())


def stem_of(path: str) -> str:
    """The name without folders and known endings; `stdin` for `-`, the folder's name for a folder or a glob in it."""
    if path == "-":
        return "stdin"
    if any(mark in path for mark in "*?["):
        path = os.path.dirname(path) or "data"
    name = os.path.basename(os.path.abspath(path))
    base, ending = os.path.splitext(name)
    if ending.lower() in COMPRESSIONS:
        base, ending = os.path.splitext(base)
    known = ending.lower() in FORMAT_OF
    return (base if known and not os.path.isdir(path) else name if not ending or os.path.isdir(path) else base) or "data"


def sniffed_compression(head: bytes) -> str | None:
    """gzip or zstd by the first bytes."""
    return "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head[:4] == b"\x28\xb5\x2f\xfd" else None


def folder_digest(path: str) -> tuple[int, str]:
    """Bytes in a folder and the hash of its files' names, sizes and times: its pictures are not read twice for it."""
    digest, size = hashlib.blake2b(digest_size=16), 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            status = os.stat(os.path.join(folder, name))
            size += status.st_size
            digest.update(f"{os.path.relpath(os.path.join(folder, name), path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return size, digest.hexdigest()


def format_of(name: str) -> str | None:
    """The reader that a file's name asks for, or None."""
    base, ending = os.path.splitext(name.lower())
    if ending in COMPRESSIONS:
        base, ending = os.path.splitext(base)
    if "idx3-ubyte" in os.path.basename(name) or "images-idx3" in os.path.basename(name):
        return "idx"
    return FORMAT_OF.get(ending)


def locate(path: str, wanted: str | None) -> Source:
    """Find the input and decide its reader, without reading it.

    Args:
        path: file, folder, glob or `-`.
        wanted: `--input-format`, or None.

    Raises:
        InputError: nothing there, or nothing that can be read.
        UsageError: standard input without `--input-format`.
    """
    if path == "-":
        if wanted is None:
            raise UsageError("-: standard input has no name to tell its format by — expected --input-format — try --input-format csv")
        if wanted in ("folder", "idx"):
            raise UsageError(f"-: --input-format {wanted} cannot come from standard input — expected a table — pass a path")
        content = sys.stdin.buffer.read()
        if not content:
            raise InputError("-: standard input is empty — expected a table — is the pipe right?")
        return Source(path, (), wanted, content)
    if os.path.isdir(path):
        return folder_source(path, wanted)
    if any(mark in path for mark in "*?[") and not os.path.exists(path):
        return many_source(path, tuple(sorted(glob.glob(path, recursive=True))), wanted)
    if not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        around = os.listdir(folder) if os.path.isdir(folder) else []
        hint = did_you_mean(os.path.basename(path), around) or " — check the path"
        raise InputError(f"{path}: no such file — expected a table, a folder of pictures, or - for standard input{hint}")
    if os.path.getsize(path) == 0:
        raise InputError(f"{path}: the file is empty — expected a header and data — is this the right file?")
    kind = wanted or format_of(path)
    if kind is None:
        raise InputError(f"{path}: what format is this? — known endings: {' '.join(sorted(FORMAT_OF))} — name it with --input-format")
    return Source(path, (path,), kind)


def many_source(path: str, files: tuple[str, ...], wanted: str | None) -> Source:
    """Several files of one format, read one after another."""
    if not files:
        raise InputError(f"{path}: matches no file — expected one or more tables — check the pattern")
    kinds = {wanted or format_of(name) for name in files}
    kind = next(iter(kinds))
    if len(kinds) > 1 or kind is None:
        raise InputError(f"{path}: files of different or unknown formats — expected one format — narrow the pattern")
    return Source(path, files, kind)


def folder_source(path: str, wanted: str | None) -> Source:
    """A folder of table parts, or of pictures."""
    names = sorted(os.listdir(path))
    parts = tuple(os.path.join(path, name) for name in names if format_of(name) == (wanted or "parquet") and not name.startswith(("_", ".")))
    if parts and wanted != "folder":
        return Source(path, parts, wanted or "parquet")
    if wanted not in (None, "folder"):
        raise InputError(f"{path}: no {wanted} files in this folder — it holds {len(names)} entries — check the path")
    tables = sorted({str(format_of(name)) for name in names if format_of(name) not in (None, "npz", "idx")})
    if tables:
        raise InputError(f"{path}: a folder of {' and '.join(tables)} files — expected one kind, named — try --input-format {tables[0]}")
    for folder, folders, found in os.walk(path):
        folders.sort()
        if any(name.lower().endswith(PICTURE_SUFFIXES) for name in found):
            if os.path.abspath(folder) == os.path.abspath(path):
                continue
            return Source(path, (), "folder")
    raise InputError(f"{path}: no pictures in sub-folders and no Parquet parts — expected a sub-folder per class, or a manifest — try the manifest file itself")
