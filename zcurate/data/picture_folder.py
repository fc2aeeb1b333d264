"""What a folder of pictures means: which files are rows, which folders are classes and which are splits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from zcurate.data import folder_tree, image_formats
from zcurate.data.file_names import printable
from zcurate.data.folder_tree import FileOf, Tree
from zcurate.data.partitions import OWN_ENDINGS
from zcurate.data.splits import is_split
from zcurate.errors import InputError, listed

NO_ENDING = "no ending"
"""Stands for the ending of files without one."""
MIN_SHARED = 0.5
"""Share of all classes that each split must have more than, else a warning says that the splits differ; by taste."""


@dataclass(frozen=True)
class Listing:
    """The rows of a folder of pictures."""

    root: str
    """Path of the folder."""
    paths: list[str]
    """(N) path of each picture relative to the folder, as Python got it from the system."""
    labels: list[str]
    """(N) name of its class."""
    splits: list[str | None] | None
    """(N) name of its split; None if the folder has no splits."""
    passed_over: dict[str, int]
    """Ending -> number of files that are no rows."""
    warnings: tuple[str, ...]
    """What the user should know about how the folder was understood."""


@dataclass(frozen=True)
class Levels:
    """Which level of folders holds the classes, and which the splits."""

    label: int
    """Position of the class among the names of the folders that lead to a picture."""
    split: int | None
    """Position of the split; None if there are no splits."""
    warnings: tuple[str, ...]
    """How the levels were chosen, where that is not obvious."""


def list_pictures(root: str) -> Listing:
    """List the pictures of a folder with their classes and splits, in the order of their paths.

    Args:
        root: path of the folder.

    Raises:
        InputError: the folders are no classes, or a folder cannot be listed.
    """
    tree = folder_tree.walk(root)
    pictures, passed = sort_files(tree)
    loose = [file for file in pictures if not file.folder]
    pictures = [file for file in pictures if file.folder]
    levels = find_levels(root, pictures)
    shallow = [file for file in pictures if len(file.folder) <= levels.label]
    pictures = [file for file in pictures if len(file.folder) > levels.label]
    labels = [printable(file.folder[levels.label]) for file in pictures]
    if len(set(labels)) == 1:
        raise InputError(one_class_error(root, labels[0], pictures, levels))
    splits = None if levels.split is None else [split_name(file, levels.split) for file in pictures]
    without_class = Counter(ending_key(file.name) for file in loose + shallow)
    warnings = [*passed_warning(root, passed, without_class), *levels.warnings, *empty_warning(tree, pictures + shallow, levels), *link_warning(tree)]
    return Listing(root, [file.path for file in pictures], labels, splits, dict(sorted((passed + without_class).items())), tuple(warnings))


def sort_files(tree: Tree) -> tuple[list[FileOf], Counter[str]]:
    """Return the pictures of a folder, and count the other files by their ending.

    Hidden files and those of other programs are neither. A link that leads nowhere is a picture if it is named like one.

    Args:
        tree: the folder.
    """
    pictures, passed = [], Counter[str]()
    for file in tree.all_files():
        is_picture = image_formats.is_image_name(file.name)
        if is_picture and not file.name.startswith("."):
            pictures.append(file)
        elif is_picture:
            passed[f"hidden {image_formats.ending_of(file.name)}"] += not file.name.startswith("._")
        elif folder_tree.is_furniture(file.name) or file.name.endswith(OWN_ENDINGS):
            continue
        elif not image_formats.ending_of(file.name) and image_formats.is_image_content(os.path.join(tree.root, file.path)):
            pictures.append(file)
        elif os.path.exists(os.path.join(tree.root, file.path)):
            passed[ending_key(file.name)] += 1
    return pictures, +passed


def has_pictures(root: str, below: bool) -> bool:
    """Return whether a folder holds pictures.

    Args:
        root: path of the folder.
        below: only those in its sub-folders count.
    """
    tree = folder_tree.walk(root)
    return any(
        not file.name.startswith(".")
        and (
            image_formats.is_image_name(file.name) or (not image_formats.ending_of(file.name) and image_formats.is_image_content(os.path.join(root, file.path)))
        )
        for file in tree.all_files()
        if file.folder or not below
    )


def has_classes(root: str) -> bool:
    """Return whether the folders below a folder of pictures can be its classes."""
    try:
        return bool(list_pictures(root).labels)
    except InputError:
        return False


def ending_key(name: str) -> str:
    """Return a file name's ending for the count of files that were passed over."""
    return printable(image_formats.ending_of(name)) or NO_ENDING


def find_levels(root: str, pictures: list[FileOf]) -> Levels:
    """Decide which level of folders holds the classes; folders that hold all pictures, such as `images`, are passed through.

    Args:
        root: path of the folder, for messages.
        pictures: below sub-folders of it.

    Raises:
        InputError: as for `choose_levels`.
    """
    begin = depth_of_classes(pictures, 0)
    levels = choose_levels(root, [FileOf(file.folder[begin:], file.name) for file in pictures])
    label = levels.label + begin
    split = None if levels.split is None else levels.split + begin
    deepest = depth_of_classes(pictures, label) if split is not None and split < label else label
    passed = [
        name for depth in (*range(begin), *range(label, deepest)) for name in sorted({file.folder[depth] for file in pictures if len(file.folder) > depth})
    ]
    note = [f"{root}: every picture is in a folder {shown(passed)}: the sub-folders there are taken for the classes"] if passed else []
    return Levels(deepest, split, (*note, *levels.warnings))


def depth_of_classes(pictures: list[FileOf], begin: int) -> int:
    """Return the first level at which pictures are in several folders; `begin` where there is none below it.

    Args:
        pictures: below sub-folders.
        begin: level to start at.
    """
    depth, pictures = begin, [file for file in pictures if len(file.folder) > begin]
    while len(names := {file.folder[depth] for file in pictures}) == 1 and not any(map(is_split, names)):
        if any(len(file.folder) <= depth + 1 for file in pictures):
            return begin
        depth += 1
    return depth


def choose_levels(root: str, pictures: list[FileOf]) -> Levels:
    """Decide which level of folders holds the classes.

    Args:
        root: path of the folder, for messages.
        pictures: below sub-folders of it.

    Raises:
        InputError: every folder is named like a split, and there are no classes in them.
    """
    inner: dict[str, set[str]] = {}
    for file in pictures:
        inner.setdefault(file.folder[0], set()).update(file.folder[1:2])
    tops = list(inner)
    like_splits = [name for name in tops if is_split(name)]
    if like_splits and not any(inner[name] for name in like_splits) and len(like_splits) == len(tops):
        found = f"pictures lie directly in {shown(tops)}, which are named like splits"
        raise InputError(f"{root}: {found} — expected a sub-folder per class in each — sort them, or name a manifest with paths and labels")
    if like_splits and (len(like_splits) == len(tops) or (all(inner.values()) and shared_share(inner) > MIN_SHARED)):
        return Levels(1, 0, tuple(split_warnings(root, inner, like_splits)))
    if like_splits:
        others = [name for name in tops if name not in like_splits]
        found = f"{shown(like_splits)} {'are' if len(like_splits) > 1 else 'is'} named like a split, {shown(others)} {'are' if len(others) > 1 else 'is'} not"
        return Levels(0, None, (f"{root}: {found} — each folder is taken for a class — if some are splits, scan a folder that holds only these",))
    has_split = [any(map(is_split, file.folder[1:2])) for file in pictures]
    if sum(has_split) >= len(pictures) / 2 and pictures:
        named = sorted({file.folder[1] for file, yes in zip(pictures, has_split, strict=True) if yes})
        return Levels(0, 1, (f"{root}: {shown(named)} in the folders of the classes are splits: column `split` of the report names each row's",))
    if len(tops) > 1 and all(len(names) > 1 and names == inner[tops[0]] for names in inner.values()):
        found = f"each of {shown(tops)} holds the same sub-folders, {shown(sorted(inner[tops[0]]))}"
        advice = "if the sub-folders are the classes, rename the folders above to train, valid, ..."
        return Levels(0, None, (f"{root}: {found} — the upper folders are taken for the classes — {advice}",))
    return Levels(0, None, ())


def shared_share(inner: dict[str, set[str]]) -> float:
    """Return the least share of all sub-folder names that a folder has.

    Args:
        inner: folder -> names of its sub-folders.
    """
    every = set().union(*inner.values())
    return min(len(names) for names in inner.values()) / max(1, len(every))


def split_warnings(root: str, inner: dict[str, set[str]], like_splits: list[str]) -> list[str]:
    """Say that folders are taken for splits, and what speaks against it.

    Args:
        root: path of the folder.
        inner: folder -> names of its sub-folders with pictures.
        like_splits: the folders named like splits.
    """
    tops = list(inner)
    out = [f"{root}: the folders {shown(tops)} are splits, the sub-folders in them the classes: column `split` of the report names each row's"]
    if others := [name for name in tops if name not in like_splits]:
        out.append(f"{root}: {shown(others)} {'are' if len(others) > 1 else 'is'} not named like a split, but taken for one, as the sub-folders are the same")
    if shared_share(inner) <= MIN_SHARED:
        sets = "; ".join(f"{printable(name)}: {shown(sorted(names)) or 'none'}" for name, names in inner.items())
        out.append(f"{root}: the splits have different classes ({sets}) — expected the same — are these folders splits of one data set?")
    return out


def split_name(file: FileOf, level: int) -> str | None:
    """Return the split that a picture is in; None for one in no folder named like a split.

    Args:
        file: the picture.
        level: of the splits among its folders.
    """
    name = file.folder[level] if len(file.folder) > level else None
    return None if name is None or (level > 0 and not is_split(name)) else printable(name)


def one_class_error(root: str, label: str, pictures: list[FileOf], levels: Levels) -> str:
    """Explain that all pictures are in one class, and name the folder to scan instead where the classes are one level below.

    Args:
        root: path of the folder.
        label: the class.
        pictures: all of them.
        levels: of the folders.
    """
    below = {file.folder[levels.label + 1] for file in pictures if len(file.folder) > levels.label + 1}
    inside = os.path.join(root, *pictures[0].folder[: levels.label + 1])
    advice = f"try zcurate scan '{inside}'" if len(below) > 1 and levels.split is None else "add the other classes"
    return f"{root}: every picture is in a folder '{label}', one class — expected a sub-folder per class, two or more — {advice}"


def passed_warning(root: str, passed: Counter[str], without_class: Counter[str]) -> list[str]:
    """Warn of the files that are no rows, by ending; no warning where there are none.

    Args:
        root: path of the folder.
        passed: ending -> files that are no pictures, or hidden ones.
        without_class: ending -> pictures in no class's folder.
    """
    counts = [*passed.most_common(), *((f"{ending} outside the folders of the classes", n) for ending, n in without_class.most_common())]
    n = sum(n for _, n in counts)
    if not n:
        return []
    found = f"{n} file{'s' if n > 1 else ''} passed over: {listed((f'{k} {ending}' for ending, k in counts), 8)}"
    advice = "move pictures into the folder of their class" if without_class else "convert those that are pictures, to PNG say"
    return [f"{root}: {found} — expected pictures that Pillow reads, in a sub-folder per class — {advice}"]


def empty_warning(tree: Tree, pictures: list[FileOf], levels: Levels) -> list[str]:
    """Warn of folders among the classes that hold no picture, and of links to folders that are gone.

    Args:
        tree: the folder.
        pictures: below its sub-folders.
        levels: of the folders.
    """
    depth = levels.label + 1
    used = {file.folder[:depth] for file in pictures}
    empty = [os.path.join(*parts) for parts in tree.files if len(parts) == depth and parts not in used]
    empty += [parts[0] for parts in tree.files if len(parts) == 1 and depth == 2 and not any(one[:1] == parts for one in used)]
    empty += [name for name in tree.files[()] if is_gone_folder(tree, name)]
    return [f"{tree.root}: no pictures in {shown(sorted(empty))}, which {'are' if len(empty) > 1 else 'is'} no class"] if empty else []


def is_gone_folder(tree: Tree, name: str) -> bool:
    """Return whether an entry of the input is a link that leads nowhere and is not named like a file."""
    path = os.path.join(tree.root, name)
    return not name.startswith(".") and not os.path.splitext(name)[1] and os.path.islink(path) and not os.path.exists(path)


def link_warning(tree: Tree) -> list[str]:
    """Warn of links to folders that are not followed."""
    if not tree.repeated:
        return []
    return [f"{tree.root}: the links {shown(tree.repeated)} lead to folders that are read already, or that this folder is in: they are not followed"]


def shown(names: Iterable[str]) -> str:
    """Format names of files for a message."""
    return listed([printable(name) for name in names], 6)
