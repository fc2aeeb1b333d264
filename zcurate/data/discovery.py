"""Find the files of an input: paths, folders, globs, addresses."""

from __future__ import annotations

import dataclasses
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from zcurate.data import partitions, remote
from zcurate.data.images import ENDINGS as PICTURE_SUFFIXES
from zcurate.data.source import COMPRESSIONS, Source, first_bytes
from zcurate.errors import InputError, UsageError, did_you_mean
from zcurate.plugins import READERS


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
    known = format_of_ending(ending.lower()) is not None
    return (base if known and not is_folder else name if not ending or is_folder or far else base) or "data"


def has_pattern(path: str) -> bool:
    """Whether a path holds marks of a glob; `?` begins a query in a web address."""
    return "*" in remote.bare(path) if remote.is_web(path) else any(mark in path for mark in "*?[")


def before_pattern(path: str) -> str:
    """The folder in which a glob's first mark stands."""
    at = min(path.index(mark) for mark in "*?[" if mark in path)
    return os.path.dirname(path[:at])


def format_of(name: str) -> str | None:
    """Return the reader that a file name selects, or None."""
    name = remote.bare(name) if remote.is_remote(name) else name
    base, ending = os.path.splitext(name.lower())
    if ending in COMPRESSIONS:
        base, ending = os.path.splitext(base)
    base = os.path.basename(name)
    by_name = next((kind for kind, reader in READERS.items() if any(part in base for part in reader.name_parts)), None)
    return by_name or format_of_ending(ending)


def format_of_ending(ending: str) -> str | None:
    """Return the reader that a lower-case file name ending selects, or None."""
    return next((kind for kind, reader in READERS.items() if ending in reader.endings), None)


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
        if READERS[wanted].needs_path:
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
        return source_of_files(path, expand_pattern(glob.glob(path, recursive=True)), wanted)
    if not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        around = os.listdir(folder) if os.path.isdir(folder) else []
        hint = did_you_mean(os.path.basename(path), around) or " — check the path"
        raise InputError(f"{path}: no such file — expected a table, a folder of pictures, or - for standard input{hint}")
    if os.path.getsize(path) == 0:
        raise InputError(f"{path}: the file is empty — expected a header and data — is this the right file?")
    kind = wanted or format_of(path)
    return Source(path, (path,), check_format(path, kind))


def check_format(path: str, kind: str | None) -> str:
    """The format, where there is one.

    Raises:
        InputError: there is none.
    """
    if kind is None:
        endings = " ".join(sorted(ending for reader in READERS.values() for ending in reader.endings))
        raise InputError(f"{path}: unknown format — known endings: {endings} — name it with --input-format")
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
            return dataclasses.replace(source_of_files(path, names, wanted), base=base, remote=where)
        detail = {"type": "directory"} if path.endswith("/") else system.info(inner)
        if detail["type"] != "directory":
            names, where = remote.facts(system, [detail])
            if detail.get("size") == 0:
                raise InputError(f"{path}: the file is empty — expected a header and data — is this the right file?")
            return remote_table(Source(path, names, check_format(path, wanted or format_of(path)), remote=where))
        files, others = partitions.below(inner, entries)
        names, where = remote.facts(system, [listed[name] for name in files])
        if not listed:
            raise InputError(f"{path}: no such file, or an empty folder — expected a table, or a folder of parts — check the address")
        fitting = tuple(name for name in names if format_of(name) == (wanted or "parquet"))
        if not fitting:
            raise InputError(no_parts_error(path, [*names, *others], wanted))
        return remote_table(Source(path, fitting, wanted or "parquet", base=str(system.unstrip_protocol(inner)), remote=where.only(names, fitting)))


def remote_table(source: Source) -> Source:
    """The source, where its format can be read from afar.

    Raises:
        InputError: pictures in files of their own.
    """
    if READERS[source.format].needs_path:
        raise InputError(f"{source.path}: {source.format} is not read from afar — expected a table, or pictures in a column of bytes — copy it here first")
    return source


def no_parts_error(path: str, names: list[str], wanted: str | None) -> str:
    """Why a folder holds no parts of the format asked for."""
    tables = sorted(table_formats(names))
    if wanted is not None or not tables:
        return f"{path}: no {wanted or 'Parquet'} files in this folder — it holds {len(names)} entries — check the path"
    return f"{path}: a folder of {' and '.join(tables)} files — expected one kind, named — try --input-format {tables[0]}"


def table_formats(names: Iterable[str]) -> set[str]:
    """Return the formats of tables among the files of a folder."""
    return {kind for kind in map(format_of, names) if kind is not None and READERS[kind].is_tabular}


def local_entries(folder: str) -> Iterator[tuple[str, bool]]:
    """Everything directly in a local folder: path, is a folder.

    Raises:
        InputError: it is gone, or may not be listed.
    """
    with first_bytes(folder), os.scandir(folder) as found:
        for entry in found:
            yield f"{folder.rstrip('/')}/{entry.name}", entry.is_dir()


def expand_pattern(paths: list[str]) -> tuple[str, ...]:
    """The data files among what a glob matched, and the parts in the folders among it, in natural order."""
    files = [path for path in paths if not os.path.isdir(path) and partitions.is_data(path)]
    for folder in paths:
        files += partitions.below(folder, local_entries)[0] if os.path.isdir(folder) else []
    return partitions.in_order(dict.fromkeys(files))


def source_of_files(path: str, files: tuple[str, ...], wanted: str | None) -> Source:
    """Several files of one format, read one after another."""
    if not files:
        raise InputError(f"{path}: matches no file — expected one or more tables — check the pattern")
    kinds = {wanted or format_of(name) for name in files}
    kind = next(iter(kinds))
    if len(kinds) > 1 or kind is None:
        raise InputError(f"{path}: files of different or unknown formats — expected one format — narrow the pattern")
    return remote_table(Source(path, files, kind)) if remote.is_remote(path) else Source(path, files, kind, base=before_pattern(path) or ".")


def folder_source(path: str, wanted: str | None) -> Source:
    """A folder of table parts, or of pictures."""
    files, others = partitions.below(path, local_entries)
    fitting = partitions.in_order(name for name in files if format_of(name) == (wanted or "parquet"))
    if fitting and wanted != "folder":
        return Source(path, fitting, wanted or "parquet", base=path)
    tables = table_formats(files)
    if wanted not in (None, "folder") or (tables and wanted is None):
        raise InputError(no_parts_error(path, [*files, *others], wanted))
    for folder, folders, found in os.walk(path):
        folders.sort()
        if any(name.lower().endswith(PICTURE_SUFFIXES) for name in found):
            if os.path.abspath(folder) == os.path.abspath(path):
                continue
            return Source(path, (), "folder")
    if deep := [name for folder in others for name in partitions.below(folder, local_entries)[0] if format_of(name) == "parquet"]:
        pattern = f"{path.rstrip('/')}/**/*.parquet"
        raise InputError(f"{path}: {len(deep)} Parquet parts in plain sub-folders — expected them in the folder, or in ones like year=2020 — try '{pattern}'")
    raise InputError(f"{path}: no pictures in sub-folders and no Parquet parts — expected a sub-folder per class, or a manifest — try the manifest file itself")
