"""A folder is walked once, whatever links it holds."""

from __future__ import annotations

import os

import pytest

from tests.data.pictures import write_classes
from zcurate.data import folder_tree
from zcurate.data.source import folder_digest
from zcurate.errors import InputError


def paths(root):
    return [file.path for file in folder_tree.walk(str(root)).all_files()]


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", ".git", "@eaDir", "lost+found", "__pycache__", ".thumbnails", "System Volume Information"])
def test_folders_of_other_programs_are_left_out_at_any_depth(tmp_path, name):
    write_classes(tmp_path, "cat", name, f"cat/{name}", f"{name}/cat", n=1)
    assert paths(tmp_path) == ["cat/0.png"]


def test_the_order_is_that_of_sorted_names_folder_by_folder(tmp_path):
    write_classes(tmp_path, "b", "a/c", "a", "a b", n=2)
    expected = [
        os.path.relpath(os.path.join(folder, name), tmp_path)
        for folder, folders, names in os.walk(tmp_path)
        if folders.sort() is None
        for name in sorted(names)
    ]
    assert paths(tmp_path) == expected


@pytest.mark.parametrize(
    ("link", "target"), [("cat/up", ".."), ("aaa", "cat"), ("cat/me", "."), ("root", "/"), ("dog/far", "../../.."), ("zzz", "../d/dog"), ("ring", "ring")]
)
def test_a_link_to_what_is_read_anyway_is_not_followed(tmp_path, link, target):
    write_classes(tmp_path / "d", "cat", "dog", n=2)
    before = paths(tmp_path / "d")
    os.symlink(target, tmp_path / "d" / link)
    assert [path for path in paths(tmp_path / "d") if path != link] == before


def test_a_link_to_another_folder_is_followed_once(tmp_path):
    write_classes(tmp_path / "store", "cat/young", n=2)
    (tmp_path / "d").mkdir()
    for name, target in (("a", "store/cat/young"), ("b", "store/cat"), ("c", "store/cat")):
        os.symlink(tmp_path / target, tmp_path / "d" / name)
    tree = folder_tree.walk(str(tmp_path / "d"))
    assert [file.path for file in tree.all_files()] == ["a/0.png", "a/1.png"]
    assert tree.repeated == ("b/young", "c")


def test_a_dangling_link_is_listed_as_a_file(tmp_path):
    write_classes(tmp_path, "cat", n=1)
    os.symlink("../gone.png", tmp_path / "cat" / "1.png")
    os.symlink("1.png", tmp_path / "cat" / "2.png")
    assert paths(tmp_path) == ["cat/0.png", "cat/1.png", "cat/2.png"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_named(tmp_path):
    write_classes(tmp_path, "cat", n=1)
    (tmp_path / "cat").chmod(0)
    with pytest.raises(InputError, match="cat: cannot be opened"):
        paths(tmp_path)
    (tmp_path / "cat").chmod(0o755)


@pytest.mark.parametrize("name", ["README", "README.dataset.txt", "Readme.md", "LICENSE", "LICENCE.txt", "Thumbs.db", "desktop.ini", ".DS_Store", "._a.jpg"])
def test_files_of_other_programs_and_documents_are_furniture(name):
    assert folder_tree.is_furniture(name)


@pytest.mark.parametrize("name", ["labels.csv", "readmore.txt", "a.txt", "license_plates.csv.x", "thumbs.png"])
def test_other_files_are_not(name):
    assert folder_tree.is_furniture(name) == name.startswith("license_")


def test_the_digest_counts_files_links_and_no_junk(tmp_path):
    write_classes(tmp_path, "cat", n=2)
    os.symlink("../gone.png", tmp_path / "cat" / "9.png")
    os.rename(os.fsencode(tmp_path) + b"/cat/0.png", os.fsencode(tmp_path) + b"/cat/\xe9.png")
    first = folder_digest(str(tmp_path))
    write_classes(tmp_path, ".ipynb_checkpoints")
    assert folder_digest(str(tmp_path)) == first
    os.rename(os.fsencode(tmp_path) + b"/cat/\xe9.png", os.fsencode(tmp_path) + b"/cat/\xea.png")
    assert folder_digest(str(tmp_path)) != first
