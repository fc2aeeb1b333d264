"""Where the bytes of an input are, and how to open them: file, folder, glob or standard input, here or far, plain or compressed.

Leaves: `Source`. Enters: the path the user typed. Knows names and endings, not what is inside.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from zcurate.data import partitions, remote
from zcurate.data import remote as remote_module
from zcurate.data.dataset import Origin
from zcurate.data.images import SUFFIXES as PICTURE_SUFFIXES
from zcurate.data.remote import Remote
from zcurate.errors import InputError, UsageError, did_you_mean
from zcurate.runtime.store import Cellar

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
    base: str = ""
    """The folder below which `name=value` folders are partition columns; empty where there are none to look for."""
    remote: Remote | None = field(default=None, repr=False)
    """Where the files are; None for this machine."""
    room: Cellar | None = field(default=None, repr=False, compare=False)
    """Where decoded pictures are kept; None for memory."""
    original: Source | None = field(default=None, repr=False, compare=False)
    """The input that the files are a copy of, in another format; None where they are the input."""
    passed: dict[str, tuple[int, bytes]] = field(default_factory=dict, repr=False, compare=False)
    """Size and hash of each remote file whose bytes have passed through; filled by `open`."""

    @property
    def stem(self) -> str:
        """`a` for a.csv.gz and folder a/, `stdin` for standard input: the report is named after it."""
        return stem_of(self.path)

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
        with opening(name):
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
        with opening(name):
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
        with opening(name):
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

    def origin(self) -> Origin:
        """Path, size and hash for the run card."""
        if self.original is not None:
            return self.original.origin()
        if self.content is not None:
            return Origin(self.path, self.format, len(self.content), hashlib.blake2b(self.content, digest_size=16).hexdigest())
        if os.path.isdir(self.path) and self.format == "folder":
            return Origin(self.path, self.format, *folder_digest(self.path))
        if self.remote is not None:
            return Origin(self.path, self.format, *self.remote_digest(self.remote))
        digest, size = hashlib.blake2b(digest_size=16), 0
        for name in self.files:
            if settings := self.partition(name):
                digest.update(repr(settings).encode())
            with opening(name), open(name, "rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
        return Origin(self.path, self.format, size, digest.hexdigest())

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
def opening(name: str) -> Iterator[None]:
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


def stem_of(path: str) -> str:
    """The name without folders and known endings; `stdin` for `-`, the folder's name for a folder or a glob in it."""
    if path == "-":
        return "stdin"
    far = remote.is_remote(path)
    is_folder = has_pattern(path) or (path.endswith("/") if far else os.path.isdir(path))
    inner = remote.bare(path) if far else path
    if has_pattern(path):
        inner = before_pattern(inner) or "data"
    name = partitions.basename(inner if far else os.path.abspath(inner))
    base, ending = os.path.splitext(name)
    if ending.lower() in COMPRESSIONS:
        base, ending = os.path.splitext(base)
    known = ending.lower() in FORMAT_OF
    return (base if known and not is_folder else name if not ending or is_folder or far else base) or "data"


def has_pattern(path: str) -> bool:
    """Whether a path holds marks of a glob; `?` begins a query in a web address."""
    return "*" in remote.bare(path) if remote.is_web(path) else any(mark in path for mark in "*?[")


def before_pattern(path: str) -> str:
    """The folder in which a glob's first mark stands."""
    at = min(path.index(mark) for mark in "*?[" if mark in path)
    return os.path.dirname(path[:at])


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


def format_of(name: str) -> str | None:
    """The reader that a file's name asks for, or None."""
    name = remote.bare(name) if remote.is_remote(name) else name
    base, ending = os.path.splitext(name.lower())
    if ending in COMPRESSIONS:
        base, ending = os.path.splitext(base)
    if "idx3-ubyte" in os.path.basename(name) or "images-idx3" in os.path.basename(name):
        return "idx"
    return FORMAT_OF.get(ending)


def locate(path: str, wanted: str | None) -> Source:
    """Find the input and decide its reader, without reading it.

    Args:
        path: file, folder, glob, the same with a protocol, or `-`.
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
    if remote.is_remote(path):
        return remote_source(path, wanted)
    if os.path.isdir(path):
        return folder_source(path, wanted)
    if has_pattern(path) and not os.path.exists(path):
        return many_source(path, matched(glob.glob(path, recursive=True)), wanted)
    if not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        around = os.listdir(folder) if os.path.isdir(folder) else []
        hint = did_you_mean(os.path.basename(path), around) or " — check the path"
        raise InputError(f"{path}: no such file — expected a table, a folder of pictures, or - for standard input{hint}")
    if os.path.getsize(path) == 0:
        raise InputError(f"{path}: the file is empty — expected a header and data — is this the right file?")
    kind = wanted or format_of(path)
    return Source(path, (path,), known_format(path, kind))


def known_format(path: str, kind: str | None) -> str:
    """The format, where there is one.

    Raises:
        InputError: there is none.
    """
    if kind is None:
        raise InputError(f"{path}: what format is this? — known endings: {' '.join(sorted(FORMAT_OF))} — name it with --input-format")
    return kind


def remote_source(path: str, wanted: str | None) -> Source:
    """The files of an address: one, all that a pattern matches, or the parts in a folder.

    Raises:
        InputError: nothing there, nothing that can be read, or pictures.
        UsageError: the package behind the protocol is not installed.
    """
    system, inner = remote.connect(path)
    listed: dict[str, dict[str, Any]] = {}

    def entries(folder: str) -> Iterator[tuple[str, bool]]:
        for detail in system.ls(folder, detail=True):
            name = str(detail["name"]).rstrip("/")
            if name != folder.rstrip("/"):
                listed[name] = detail
                yield name, detail["type"] == "directory"

    with remote.reaching(path):
        if has_pattern(path) and ("*" in path or not system.exists(inner)):
            found = system.glob(inner, detail=True)
            files = [name for name, detail in found.items() if detail["type"] != "directory" and partitions.is_data(name)]
            listed |= found
            for name in [name for name, detail in found.items() if detail["type"] == "directory"]:
                files += partitions.below(name, entries)[0]
            names, where = remote.facts(system, [listed[name] for name in dict.fromkeys(files)])
            base = str(system.unstrip_protocol(before_pattern(inner)))
            return dataclasses.replace(many_source(path, names, wanted), base=base, remote=where)
        detail = {"type": "directory"} if path.endswith("/") else system.info(inner)
        if detail["type"] != "directory":
            names, where = remote.facts(system, [detail])
            if detail.get("size") == 0:
                raise InputError(f"{path}: the file is empty — expected a header and data — is this the right file?")
            return far_table(Source(path, names, known_format(path, wanted or format_of(path)), remote=where))
        files, others = partitions.below(inner, entries)
        names, where = remote.facts(system, [listed[name] for name in files])
        if not listed:
            raise InputError(f"{path}: no such file, or an empty folder — expected a table, or a folder of parts — check the address")
        fitting = tuple(name for name in names if format_of(name) == (wanted or "parquet"))
        if not fitting:
            raise InputError(no_parts(path, [*names, *others], wanted))
        return far_table(Source(path, fitting, wanted or "parquet", base=str(system.unstrip_protocol(inner)), remote=where.only(names, fitting)))


def far_table(source: Source) -> Source:
    """The source, where its format can be read from afar.

    Raises:
        InputError: pictures in files of their own.
    """
    if source.format in ("folder", "idx"):
        raise InputError(f"{source.path}: {source.format} is not read from afar — expected a table, or pictures in a column of bytes — copy it here first")
    return source


def no_parts(path: str, names: list[str], wanted: str | None) -> str:
    """Why a folder holds no parts of the format asked for."""
    tables = sorted({str(format_of(name)) for name in names if format_of(name) not in (None, "npz", "idx")})
    if wanted is not None or not tables:
        return f"{path}: no {wanted or 'Parquet'} files in this folder — it holds {len(names)} entries — check the path"
    return f"{path}: a folder of {' and '.join(tables)} files — expected one kind, named — try --input-format {tables[0]}"


def entries_here(folder: str) -> Iterator[tuple[str, bool]]:
    """Everything directly in a local folder: path, is a folder.

    Raises:
        InputError: it is gone, or may not be listed.
    """
    with opening(folder), os.scandir(folder) as found:
        for entry in found:
            yield f"{folder.rstrip('/')}/{entry.name}", entry.is_dir()


def matched(paths: list[str]) -> tuple[str, ...]:
    """The data files among what a glob matched, and the parts in the folders among it, in natural order."""
    files = [path for path in paths if not os.path.isdir(path) and partitions.is_data(path)]
    for folder in paths:
        files += partitions.below(folder, entries_here)[0] if os.path.isdir(folder) else []
    return partitions.in_order(dict.fromkeys(files))


def many_source(path: str, files: tuple[str, ...], wanted: str | None) -> Source:
    """Several files of one format, read one after another."""
    if not files:
        raise InputError(f"{path}: matches no file — expected one or more tables — check the pattern")
    kinds = {wanted or format_of(name) for name in files}
    kind = next(iter(kinds))
    if len(kinds) > 1 or kind is None:
        raise InputError(f"{path}: files of different or unknown formats — expected one format — narrow the pattern")
    return far_table(Source(path, files, kind)) if remote.is_remote(path) else Source(path, files, kind, base=before_pattern(path) or ".")


def folder_source(path: str, wanted: str | None) -> Source:
    """A folder of table parts, or of pictures."""
    files, others = partitions.below(path, entries_here)
    fitting = partitions.in_order(name for name in files if format_of(name) == (wanted or "parquet"))
    if fitting and wanted != "folder":
        return Source(path, fitting, wanted or "parquet", base=path)
    tables = {format_of(name) for name in files} - {None, "npz", "idx"}
    if wanted not in (None, "folder") or (tables and wanted is None):
        raise InputError(no_parts(path, [*files, *others], wanted))
    for folder, folders, found in os.walk(path):
        folders.sort()
        if any(name.lower().endswith(PICTURE_SUFFIXES) for name in found):
            if os.path.abspath(folder) == os.path.abspath(path):
                continue
            return Source(path, (), "folder")
    if deep := [name for folder in others for name in partitions.below(folder, entries_here)[0] if format_of(name) == "parquet"]:
        pattern = f"{path.rstrip('/')}/**/*.parquet"
        raise InputError(f"{path}: {len(deep)} Parquet parts in plain sub-folders — expected them in the folder, or in ones like year=2020 — try '{pattern}'")
    raise InputError(f"{path}: no pictures in sub-folders and no Parquet parts — expected a sub-folder per class, or a manifest — try the manifest file itself")
