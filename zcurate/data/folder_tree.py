"""The files of a folder and of all folders below it: links are followed once, folders of other programs are left out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from zcurate.data.local_files import local_errors

JUNK = frozenset({"__macosx", "__pycache__", "@eadir", "lost+found", "$recycle.bin", "system volume information", "#recycle", "#snapshot"})
"""Lower-case names of folders that other programs make."""
FURNITURE = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "_success"})
"""Lower-case names of files that other programs make."""
DOCUMENT = re.compile(r"(readme|licen[cs]e|copying)([._ -].*)?", re.IGNORECASE)
"""Matches the names of files about a data set."""

Parts = tuple[str, ...]
"""The names of the folders that lead from the input to a folder; empty for the input itself."""


class FileOf(NamedTuple):
    """A file below a folder."""

    folder: Parts
    """Folders that lead to it."""
    name: str
    """Its name, as Python got it from the system."""

    @property
    def path(self) -> str:
        """Path relative to the input."""
        return os.path.join(*self.folder, self.name)


@dataclass(frozen=True)
class Tree:
    """A folder and all folders below it."""

    root: str
    """Path of the folder."""
    files: dict[Parts, list[str]]
    """Names of the files in each folder, sorted; folders in the order in which `os.walk` visits sorted ones."""
    repeated: tuple[str, ...]
    """Links that are not followed, as what they lead to is or contains a folder that is read anyway; relative to the folder."""

    def all_files(self) -> Iterator[FileOf]:
        """Yield the files folder by folder."""
        for folder, names in self.files.items():
            yield from (FileOf(folder, name) for name in names)


def is_hidden(name: str) -> bool:
    """Return whether a folder's name says that it holds no data of the user's."""
    return name.startswith(".") or name.lower() in JUNK


def is_furniture(name: str) -> bool:
    """Return whether a file is known to be no data: made by another program, or about the data set."""
    return name.startswith(".") or name.lower() in FURNITURE or DOCUMENT.fullmatch(name) is not None


def walk(root: str) -> Tree:
    """List the files of a folder and of those below it.

    Folders proper come before links to folders, so that a folder is known by its own name where it has one.

    Args:
        root: path of the folder.

    Raises:
        InputError: a folder cannot be listed.
    """
    real = os.path.realpath(root)
    visited = {identity(real)}
    while (parent := os.path.dirname(real)) != real:
        visited.add(identity(parent))
        real = parent
    files: dict[Parts, list[str]] = {}
    waiting: list[Parts] = [()]
    links: list[Parts] = []
    repeated: list[str] = []
    while waiting or links:
        parts = waiting.pop() if waiting else links.pop(0)
        path = os.path.join(root, *parts)
        if parts:
            found = identity(path)
            if found is None or found in visited:
                repeated += [os.path.join(*parts)]
                continue
            visited.add(found)
        files[parts] = []
        folders_in, links_in = list_folder(path, files[parts])
        waiting += [(*parts, name) for name in folders_in]
        links = sorted([*links, *((*parts, name) for name in links_in)])
    return Tree(root, dict(sorted(files.items())), tuple(repeated))


def identity(path: str) -> tuple[int, int] | None:
    """Return what a folder is known by, whatever its path; None for one that is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def list_folder(path: str, files: list[str]) -> tuple[list[str], list[str]]:
    """List one folder.

    Args:
        path: of the folder.
        files: filled with the sorted names of its files, and of links that lead nowhere.

    Returns:
        Names of its folders, and of links to folders, that are not hidden.

    Raises:
        InputError: it cannot be listed.
    """
    folders: list[str] = []
    links: list[str] = []
    with local_errors(path), os.scandir(path) as entries:
        for entry in entries:
            if not is_folder(entry):
                files.append(entry.name)
            elif not is_hidden(entry.name):
                (links if entry.is_symlink() else folders).append(entry.name)
    files.sort()
    return folders, links


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; False for a link that leads nowhere or in a circle."""
    try:
        return entry.is_dir()
    except OSError:
        return False
