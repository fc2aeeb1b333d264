"""Find the picture files that a table names: relative to some folder, `file://` addresses, paths of Windows and of annotation tools."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, urlsplit

from zcurate.data import image_formats
from zcurate.data.file_names import existing
from zcurate.data.remote import is_remote
from zcurate.errors import UsageError

MAX_TRIED = 200
"""Distinct paths by which it is decided how paths are to be read."""
MAX_FOLDERS = 8
"""Leading folders of an absolute path that are tried without."""
DRIVE = re.compile(r"^([A-Za-z]:|//[^/]+/[^/]+)(?=/)")
"""Matches the drive or the share at the beginning of a Windows path with `/` between folders."""
LOCAL_FILES = re.compile(r"[?&]d=([^&]+)")
"""Matches the path in Label Studio's addresses of local files, `/data/local-files/?d=folder/1.png`."""

Reading = Callable[[str], str]
"""Turns a path as written into one that is relative to the root, or absolute."""


@dataclass(frozen=True)
class FoundFiles:
    """The files that a table names."""

    root: str
    """Folder that the paths are relative to."""
    paths: list[str | None]
    """(N) path relative to `root`, or absolute; as written where there is such a file."""
    warnings: tuple[str, ...]
    """How the paths were read, if not as written."""

    def files(self) -> list[str | None]:
        """Return each path with the root, (N); web addresses stay."""
        return [path and (path if image_formats.is_web_address(path) else existing(path, self.root)) for path in self.paths]


def find_files(written: list[str | None], location: str, root: str | None) -> FoundFiles:
    """Find the files that paths name: as written if that fits, else as one of `readings` reads them, the same for all rows.

    Args:
        written: (N) paths; null or empty for a row without one.
        location: the input.
        root: `--root`, or None: the input's own folder, or the current one if only that fits.

    Raises:
        UsageError: the input is remote and there is no `--root`, or `--root` is no folder.
    """
    if root is not None and not os.path.isdir(root):
        raise UsageError(f"--root {root}: no such folder — expected the folder that the pictures' paths are relative to — check the path")
    if root is None and is_remote(location):
        raise UsageError(f"{location}: names pictures that are not on this machine — expected them in a local folder — copy them and name it with --root DIR")
    cleaned = [None if path is None or not path.strip() else plain_path(path.strip()) for path in written]
    distinct = list(dict.fromkeys(path for path in cleaned if path))
    tried = distinct[:: max(1, len(distinct) // MAX_TRIED)]
    best_root, best, n_best = roots_of(location, root)[0], "", 0
    for name in readings():
        read = READINGS[name]
        for folder in roots_of(location, root):
            n = sum(os.path.isfile(existing(read(path), folder)) for path in tried)
            # A reading by which pictures become one is wrong.
            if n > n_best and len({read(path) for path in tried}) == len({with_slashes(path) for path in tried}):
                best_root, best, n_best = folder, name, n
        if n_best >= max(1, len(tried) / 2):
            break
    read = READINGS[best]
    paths = [path and (path if not best or os.path.isfile(existing(path, best_root)) else read(path)) for path in cleaned]
    warnings: tuple[str, ...] = ()
    example = next((path for path in tried if os.path.isfile(existing(read(path), best_root)) and read(path) != path), None)
    if best not in ("", "slashes") and example is not None:
        found = f"{location}: paths like {example} are read as {read(example)} in {best_root or '.'}"
        warnings = (f"{found} — expected paths that exist — name another folder with --root DIR if these are other pictures",)
    return FoundFiles(best_root, paths, warnings)


def roots_of(location: str, root: str | None) -> list[str]:
    """Return the folders that paths may be relative to, in order of preference.

    Args:
        location: the input.
        root: `--root`, or None.
    """
    if root is not None:
        return [root]
    if location in ("-", "memory") or is_remote(location):
        return ["."]
    folders = [location, os.path.dirname(location) or "."] if os.path.isdir(location) else [os.path.dirname(location) or "."]
    return list(dict.fromkeys([*folders, "."]))


def plain_path(text: str) -> str:
    """Turn a `file://` address into a path; other paths stay."""
    if not text.lower().startswith("file:"):
        return text
    path = unquote(urlsplit(text).path)
    return path[1:] if re.match(r"/[A-Za-z]:", path) else path


def with_slashes(path: str) -> str:
    """Write a Windows path with `/` between folders; other paths stay."""
    return path.replace("\\", "/")


def without_top(path: str, n_folders: int) -> str:
    """Drop the drive, the leading slash and leading folders of an absolute path; a relative one stays.

    Args:
        path: as written.
        n_folders: to drop; the file's name is never dropped.
    """
    plain = with_slashes(path)
    without_drive = DRIVE.sub("", plain)
    if without_drive == plain and not plain.startswith("/"):
        return plain
    names = [name for name in without_drive.split("/") if name]
    return "/".join(names[min(n_folders, len(names) - 1) :])


def local_files_path(path: str) -> str:
    """Return the path in one of Label Studio's addresses of local files; other paths stay."""
    found = LOCAL_FILES.search(path)
    return unquote(found[1]).lstrip("/") if found else path


READINGS: dict[str, Reading] = {
    "": lambda path: path,
    "slashes": with_slashes,
    "local files": local_files_path,
    **{f"without {n}": partial(without_top, n_folders=n) for n in range(MAX_FOLDERS + 1)},
}
"""Name -> reading; the first is the path as written."""


def readings() -> list[str]:
    """Return the names of the readings in the order in which they are tried."""
    return list(READINGS)


def names_images(paths: list[str]) -> bool:
    """Return whether nine in ten texts are names of picture files, local ones among them.

    Args:
        paths: leading values of a column.
    """
    n_web = sum(map(image_formats.is_image_address, paths))
    n_local = sum(not image_formats.is_web_address(path) and image_formats.is_image_name(local_files_path(path)) for path in paths)
    return n_local + n_web >= 0.9 * len(paths) > n_web


def names_web_images(paths: list[str]) -> bool:
    """Return whether nine in ten texts are web addresses of pictures.

    Args:
        paths: leading values of a column.
    """
    return len(paths) > 0 and sum(map(image_formats.is_image_address, paths)) >= 0.9 * len(paths)
