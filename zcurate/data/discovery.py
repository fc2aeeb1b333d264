"""Find the files of an input: a path, folder, glob or remote address."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from zcurate.config.options import ScanOptions
from zcurate.config.units import local_path
from zcurate.data import folder_tree, image_formats, partitions, picture_folder, picture_manifest, pipes, remote
from zcurate.data.file_names import printable
from zcurate.data.local_files import local_errors
from zcurate.data.source import COMPRESSIONS, Source
from zcurate.errors import InputError, did_you_mean
from zcurate.plugins import READERS

WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
"""Endings of spreadsheet programs' files, which are not read."""
STATISTICS = (
    ".dta",
    ".sav",
    ".por",
    ".sas7bdat",
    ".xpt",
    ".rds",
    ".rda",
    ".rdata",
    ".pkl",
    ".pickle",
    ".db",
    ".sqlite",
    ".html",
    ".h5",
    ".hdf5",
    ".mat",
    ".arff",
    ".orc",
    ".avro",
)
"""Endings of files of other programs, which are not read."""
NOTES = (".txt", ".json")
"""Endings of tables that are often notes about the others in the folder."""
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z", ".rar")
"""File name endings of archives."""
LABELS_IDX = re.compile(r"labels[-.]idx1|idx1-ubyte")
"""Matches the name of an IDX file of labels."""


def stem_of(path: str) -> str:
    """Return the name without folders and known extensions; `stdin` for `-`, the folder's name for a folder or a glob in it."""
    if path == "-":
        return "stdin"
    path = local_path(path)
    is_remote = remote.is_remote(path)
    is_folder = has_pattern(path) or (path.endswith("/") if is_remote else os.path.isdir(path))
    inner = remote.bare(path) if is_remote else path
    if has_pattern(path):
        inner = before_pattern(inner) or "data"
    name = partitions.basename(inner if is_remote else os.path.abspath(inner))
    base, extension = os.path.splitext(name)
    if extension.lower() in COMPRESSIONS:
        base, extension = os.path.splitext(base)
    known = format_of_ending(extension.lower()) is not None
    return printable(base if known and not is_folder else name if not extension or is_folder or is_remote else base) or "data"


def has_pattern(path: str) -> bool:
    """Return whether a path contains glob characters; in a web address `?` begins the query and is none."""
    return "*" in remote.bare(path) if remote.is_web(path) else any(character in path for character in "*?[")


def before_pattern(path: str) -> str:
    """Return the folder that contains a glob's first wildcard."""
    first = min(path.index(character) for character in "*?[" if character in path)
    return os.path.dirname(path[:first])


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


def source_of(path: str, options: ScanOptions) -> Source:
    """Find the input and choose its reader, with the options that say how to read it; errors as for `locate`."""
    source = locate(path, options.input_format, options.memory)
    if source.remote is None:
        pipes.check_regular(source.files)
    return dataclasses.replace(source, encoding=options.encoding, missing=options.missing, memory=options.memory)


def locate(path: str, wanted: str | None, memory: str | None = None) -> Source:
    """Find the input and choose its reader, without reading it, unless it is standard input or a pipe.

    Args:
        path: file, folder, glob, any of these with a protocol, or `-`.
        wanted: `--input-format`, or None.
        memory: `--memory`, or None.

    Raises:
        InputError: the path does not exist, is empty or has no reader.
        UsageError: standard input without `--input-format`.
    """
    path = local_path(path)
    if path == "-" or pipes.is_pipe(path):
        return pipes.piped_source(path, wanted or (format_of(path) if path != "-" else None), memory)
    if remote.is_remote(path):
        return remote_source(path, wanted)
    if os.path.isdir(path):
        return folder_source(path, wanted)
    if has_pattern(path) and not os.path.exists(path):
        return source_of_files(path, expand_pattern(glob.glob(path, recursive=True)), wanted)
    if not os.path.exists(path):
        name = os.path.basename(path.rstrip("/"))
        siblings = siblings_of(path, lambda other: ".zcurate" in name or not other.endswith(partitions.REPORT_ENDING))
        hint = did_you_mean(name, siblings) or " — check the path"
        raise InputError(f"{path}: no such file — expected a table, a folder of pictures, or - for standard input{hint}")
    if wanted == "folder":
        advice = unpack_advice(path) or f"name its folder, {os.path.dirname(path) or '.'}"
        raise InputError(f"{path}: a file — expected a folder with a sub-folder of pictures per class — {advice}")
    if os.path.getsize(path) == 0:
        raise InputError(f"{path}: the file is empty — expected a header and data — is this the right file?")
    kind = wanted or format_of(path)
    return Source(path, (path,), check_format(path, kind))


def siblings_of(path: str, is_wanted: Callable[[str], bool]) -> list[str]:
    """List the entries of a path's folder whose names are wanted, for a hint at what was meant.

    Args:
        path: that does not exist.
        is_wanted: whether to list a name.
    """
    folder = os.path.dirname(path.rstrip("/")) or "."
    return [name for name in os.listdir(folder) if is_wanted(name)] if os.path.isdir(folder) else []


def check_format(path: str, kind: str | None) -> str:
    """Return the format if it is known.

    Raises:
        InputError: it is None.
    """
    if kind is None and path.lower().endswith(WORKBOOKS):
        raise InputError(f"{path}: a workbook — expected a table in a format of its own — save the sheet as CSV, and scan that")
    if kind is None and (advice := unpack_advice(path)):
        raise InputError(f"{path}: an archive — expected a table or a folder of pictures — {advice}")
    if kind is None and image_formats.is_image_name(path):
        raise InputError(f"{path}: a single picture — expected a folder with a sub-folder of pictures per class, or a manifest — name the folder")
    if kind is None and LABELS_IDX.search(os.path.basename(path)):
        raise InputError(f"{path}: the labels of an IDX data set — expected the file of images, whose name holds 'images-idx3' — name that file")
    if kind is None and path.lower().endswith(STATISTICS):
        raise InputError(f"{path}: a file of another program, which is not read — expected CSV, Parquet or JSON — save it as one, with pandas for example")
    if kind is None:
        endings = " ".join(sorted(ending for reader in READERS.values() for ending in reader.endings))
        raise InputError(f"{path}: unknown format — known endings: {endings} — name it with --input-format")
    return kind


def unpack_advice(path: str) -> str:
    """Return what to do with an archive; empty for other files."""
    if not path.lower().endswith(ARCHIVES):
        return ""
    shards = " (WebDataset shards are tar archives too)" if ".tar" in path.lower() else ""
    return f"unpack it{shards} and name the folder"


def remote_source(path: str, wanted: str | None) -> Source:
    """Find the files at a remote address: one file, the matches of a glob, or the parts in a folder.

    Raises:
        InputError: the address does not exist, is empty, has no reader, or holds image files.
        UsageError: the package for the protocol is not installed.
    """
    system, inner = remote.connect(path)
    details: dict[str, dict[str, Any]] = {}

    def entries(folder: str) -> Iterator[tuple[str, bool]]:
        for detail in system.ls(folder, detail=True):
            name = str(detail["name"]).rstrip("/")
            if name != folder.rstrip("/"):
                details[name] = detail
                yield name, detail["type"] == "directory"

    with remote.remote_errors(path):
        if has_pattern(path) and ("*" in path or not system.exists(inner)):
            matches = system.glob(inner, detail=True)
            files = [name for name, detail in matches.items() if detail["type"] != "directory" and partitions.is_data(name)]
            details |= matches
            for name in [name for name, detail in matches.items() if detail["type"] == "directory"]:
                files += partitions.below(name, entries)[0]
            names, files_info = remote.describe_files(system, [details[name] for name in dict.fromkeys(files)])
            base = str(system.unstrip_protocol(before_pattern(inner)))
            return dataclasses.replace(source_of_files(path, names, wanted), base=base, remote=files_info)
        detail = {"type": "directory"} if path.endswith("/") else system.info(inner)
        if detail["type"] != "directory":
            names, files_info = remote.describe_files(system, [detail])
            if detail.get("size") == 0:
                raise InputError(f"{path}: the file is empty — expected a header and data — is this the right file?")
            return remote_table(Source(path, names, check_format(path, wanted or format_of(path)), remote=files_info))
        files, others = partitions.below(inner, entries)
        names, files_info = remote.describe_files(system, [details[name] for name in files])
        if not details:
            raise InputError(f"{path}: no such file, or an empty folder — expected a table, or a folder of parts — check the address")
        fitting, kind = parts_of(names, others, wanted)
        if not fitting:
            raise InputError(no_parts_error(path, [*names, *others], wanted))
        return remote_table(Source(path, fitting, kind, base=str(system.unstrip_protocol(inner)), remote=files_info.only(names, fitting)))


def remote_table(source: Source) -> Source:
    """Return the source if its format can be read remotely.

    Raises:
        InputError: images in files of their own.
    """
    if READERS[source.format].needs_path:
        raise InputError(
            f"{source.path}: {source.format} is not read remotely — expected a table, or pictures in a column of bytes — copy it to this machine first"
        )
    return source


def parts_of(files: Iterable[str], others: list[str], wanted: str | None) -> tuple[tuple[str, ...], str]:
    """Choose the parts of a table among the files of a folder, in natural order.

    Without a wanted format they are the Parquet files. Where there are none they are the tables, if all are of one format and nothing else is in the
    folder that could be meant: no picture and no other folder. Text and JSON files beside tables proper are notes.

    Args:
        files: data files.
        others: sub-folders that hold no parts.
        wanted: `--input-format`, or None.

    Returns:
        The parts, none if there are none or they are not certain; and their format.
    """
    files = list(files)
    kind = wanted or "parquet"
    names = [name for name in files if format_of(name) == kind]
    if wanted is None and not names and not others and not any(map(image_formats.is_image_name, files)):
        tables = [name for name in files if os.path.splitext(name.lower())[1] not in NOTES]
        formats = table_formats(tables)
        if len(formats) == 1:
            kind = formats.pop()
            names = [name for name in tables if format_of(name) == kind]
    return partitions.in_order(names), kind


def no_parts_error(path: str, names: list[str], wanted: str | None) -> str:
    """Explain why a folder contains no parts of the wanted format."""
    tables = sorted(table_formats(names))
    if wanted is not None or not tables:
        return f"{path}: no {wanted or 'Parquet'} files in this folder — it holds {len(names)} entries — check the path"
    return f"{path}: a folder of {' and '.join(tables)} files — expected one format, named — try --input-format {tables[0]}"


def table_formats(names: Iterable[str]) -> set[str]:
    """Return the formats of tables among the files of a folder."""
    return {kind for kind in map(format_of, names) if kind is not None and READERS[kind].is_tabular}


def local_entries(folder: str) -> Iterator[tuple[str, bool]]:
    """Yield (path, is a folder) of each entry of a local folder.

    Raises:
        InputError: it has disappeared or cannot be listed.
    """
    with local_errors(folder), os.scandir(folder) as entries:
        for entry in entries:
            yield f"{folder.rstrip('/')}/{entry.name}", folder_tree.is_folder(entry)


def expand_pattern(paths: list[str]) -> tuple[str, ...]:
    """Return the data files among a glob's matches and the parts in the matched folders, in natural order."""
    files = [path for path in paths if not os.path.isdir(path) and partitions.is_data(path)]
    for folder in paths:
        files += partitions.below(folder, local_entries)[0] if os.path.isdir(folder) else []
    return partitions.in_order(dict.fromkeys(files))


def source_of_files(path: str, files: tuple[str, ...], wanted: str | None) -> Source:
    """Combine several files of one format into a source.

    Raises:
        InputError: no file, or files of different or unknown formats.
    """
    if not files:
        raise InputError(f"{path}: matches no file — expected one or more tables — check the pattern")
    kinds = {wanted or format_of(name) for name in files}
    kind = next(iter(kinds))
    if kinds == {None}:
        check_format(files[0], None)
    if len(kinds) > 1 or kind is None:
        raise InputError(f"{path}: files of different or unknown formats — expected one format — narrow the pattern")
    return remote_table(Source(path, files, kind)) if remote.is_remote(path) else Source(path, files, kind, base=before_pattern(path) or ".")


def folder_source(path: str, wanted: str | None) -> Source:
    """Create the source of a folder of table parts, or of image folders.

    A folder with pictures in sub-folders is one of pictures whatever text lies beside them.

    Raises:
        InputError: the folder contains neither, or both, or tables of another format than the wanted one.
    """
    files, others = partitions.below(path, local_entries)
    fitting, kind = parts_of(files, others, wanted)
    if fitting and wanted not in (None, "folder"):
        return Source(path, fitting, kind, base=path)
    if wanted in (None, "folder") and picture_manifest.find_manifests(path) and picture_folder.has_pictures(path, below=False):
        return Source(path, (), "folder")
    has_pictures = wanted in (None, "folder") and picture_folder.has_pictures(path, below=True)
    if has_pictures and fitting and kind == "parquet" and wanted is None:
        found = f"Parquet parts ({os.path.basename(fitting[0])}, ...) and pictures in sub-folders"
        raise InputError(f"{path}: a folder with both {found} — expected one or the other — try --input-format parquet, or --input-format folder")
    if has_pictures:
        return Source(path, (), "folder")
    if fitting and wanted != "folder":
        return Source(path, fitting, kind, base=path)
    raise InputError(no_data_error(path, files, others, wanted))


def no_data_error(path: str, files: list[str], others: list[str], wanted: str | None) -> str:
    """Explain why a folder holds neither the wanted parts nor pictures in sub-folders.

    Args:
        path: of the folder.
        files: data files in it.
        others: its sub-folders.
        wanted: `--input-format`, or None.
    """
    if wanted in (None, "folder") and picture_folder.has_pictures(path, below=False):
        manifest = next((name for name in files if format_of(name) in ("csv", "tsv", "jsonl", "parquet") and not name.endswith((".txt", ".json"))), None)
        advice = f"try the manifest, zcurate scan {manifest}" if manifest else "move them into a sub-folder per class, or write a manifest of paths and labels"
        return f"{path}: pictures in the folder itself, and no pictures in sub-folders — expected a sub-folder per class — {advice}"
    if wanted not in (None, "folder") or (table_formats(files) and wanted is None):
        return no_parts_error(path, [*files, *others], wanted)
    if archives := [name for name in files if name.lower().endswith(ARCHIVES)]:
        return f"{path}: {len(archives)} archives such as {os.path.basename(archives[0])} — expected pictures or tables — {unpack_advice(archives[0])}"
    if nested := [name for folder in others for name in partitions.below(folder, local_entries)[0] if format_of(name) == "parquet"]:
        pattern = f"{path.rstrip('/')}/**/*.parquet"
        return f"{path}: {len(nested)} Parquet parts in plain sub-folders — expected them in the folder, or in ones like year=2020 — try '{pattern}'"
    return f"{path}: no pictures in sub-folders and no Parquet parts — expected a sub-folder per class, or a manifest — try the manifest file itself"
