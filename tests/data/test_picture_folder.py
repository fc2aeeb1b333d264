"""What the folders of a folder of pictures mean, and what is said of the files that are passed over."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.data.pictures import encoded, picture, write, write_classes
from zcurate.config.options import ScanOptions
from zcurate.data import discovery, readers
from zcurate.data.picture_folder import list_pictures
from zcurate.data.splits import is_split, split_of_path
from zcurate.errors import InputError


def read(path, **options):
    return readers.read(discovery.locate(str(path), options.get("input_format")), ScanOptions(**options))


def listing(path):
    return list_pictures(str(path))


def touch(root, *names):
    for name in names:
        os.makedirs((root / name).parent, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_pictures_of_every_kind_are_rows(tmp_path):
    for name, kind in (("a.jfif", "JPEG"), ("b.JPE", "JPEG"), ("c.avif", "AVIF"), ("d.tga", "TGA"), ("e", "PNG"), ("f.2021.05.01", "WEBP")):
        for label in ("cat", "dog"):
            os.makedirs(tmp_path / label, exist_ok=True)
            (tmp_path / label / name).write_bytes(encoded(picture(1), kind))
    data = read(tmp_path)
    assert data.n_rows == 12
    assert data.skipped == () == data.warnings
    assert data.passed_over == {}


def test_files_that_are_passed_over_are_told_by_ending_in_one_warning(tmp_path):
    write_classes(tmp_path, "cat", "dog")
    touch(tmp_path, *(f"cat/{k}.txt" for k in range(4)), "dog/a.MP4", "dog/b.mp4", "notes", "cat/.hidden", "README.md", "Thumbs.db", "cat/._0.png")
    write(tmp_path, "loose.png", "cat/.shy.png")
    found = listing(tmp_path)
    assert found.passed_over == {".mp4": 2, ".png": 1, ".txt": 4, "hidden .png": 1, "no ending": 1}
    expected = "9 files passed over: 4 .txt, 2 .mp4, 1 no ending, 1 hidden .png, 1 .png outside the folders of the classes — "
    assert [expected in text for text in found.warnings] == [True]


def test_a_class_without_a_picture_that_can_be_read_is_named(tmp_path):
    write_classes(tmp_path, "cat", "dog")
    touch(tmp_path, "owl/1.heic", "owl/2.heic")
    os.symlink("../store/yak", tmp_path / "yak")
    warnings = listing(tmp_path).warnings
    assert "2 files passed over: 2 .heic" in warnings[0]
    assert "no pictures in owl, yak, which are no class" in warnings[1]


@pytest.mark.parametrize(
    "names", [("001", "002", "060"), ("0.5", "1.0", "2.5"), ("NA", "null", "None", "nan"), ("inf", "-1", "2"), ("true", "false"), ("2020-01-01", "2020-02-02")]
)
def test_names_of_folders_are_classes_whatever_they_look_like(tmp_path, names):
    write_classes(tmp_path, *names)
    data = read(tmp_path)
    assert set(data.task.classes) == set(names)
    assert data.task.kind in ("binary", "multiclass")
    assert data.given.null_count == 0


def test_many_numbered_classes_are_no_quantity(tmp_path):
    write_classes(tmp_path, *(f"{k:03d}" for k in range(60)), n=2)
    assert read(tmp_path).n_classes == 60
    assert read(tmp_path, task="regression").task.kind == "regression"


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("Training", "TEST"), ("dev", "eval"), ("train2017", "val2017"), ("holdout", "train_set"), ("train",)]
)
def test_split_folders_above_the_classes_are_splits(tmp_path, names):
    write_classes(tmp_path, *(f"{split}/{label}" for split in names for label in ("cat", "dog")), n=2)
    data = read(tmp_path)
    assert data.task.classes == ("cat", "dog")
    assert data.splits.to_pylist() == [path.split("/")[0] for path in data.paths.to_pylist()]
    assert any("are splits" in text for text in data.warnings)


@pytest.mark.parametrize("names", [("train", "test"), ("Valid", "train_data", "holdout")])
def test_split_folders_in_the_classes_are_splits(tmp_path, names):
    write_classes(tmp_path, *(f"{label}/{split}" for split in names for label in ("cat", "dog")), n=2)
    write(tmp_path, "cat/loose.png")
    data = read(tmp_path)
    assert data.task.classes == ("cat", "dog")
    assert set(data.splits.to_pylist()) == {*names, None}


def test_a_folder_like_the_splits_beside_it_is_one_with_a_warning(tmp_path):
    write_classes(tmp_path, "train/cat", "train/dog", "extra/cat", "extra/dog")
    found = listing(tmp_path)
    assert set(found.labels) == {"cat", "dog"}
    assert any("extra is not named like a split, but taken for one" in text for text in found.warnings)


@pytest.mark.parametrize("others", [("bus", "car"), ("misc",), ("train/cat", "bus")])
def test_a_class_named_like_a_split_is_named(tmp_path, others):
    write_classes(tmp_path, *others, "test")
    found = listing(tmp_path)
    assert set(found.labels) == {name.split("/")[0] for name in others} | {"test"}
    assert found.splits is None
    assert "named like a split" in found.warnings[0]


def test_splits_with_other_classes_are_named(tmp_path):
    write_classes(tmp_path, "train/cat", "train/dog", "test/0", "test/1")
    assert any("the splits have different classes (test: 0, 1; train: cat, dog)" in text for text in listing(tmp_path).warnings)


def test_a_split_without_classes_is_passed_over(tmp_path):
    write_classes(tmp_path, "train/cat", "train/dog", "test")
    found = listing(tmp_path)
    assert len(found.labels) == 6
    assert found.passed_over == {".png": 3}


@pytest.mark.parametrize("names", [("train", "test"), ("train",), ("Val", "dev", "eval")])
def test_splits_alone_are_no_classes(tmp_path, names):
    write_classes(tmp_path, *names)
    with pytest.raises(InputError, match="named like splits — expected a sub-folder per class"):
        listing(tmp_path)


def test_the_same_sub_folders_everywhere_are_named(tmp_path):
    write_classes(tmp_path, "fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog")
    assert "each of fold1, fold2 holds the same sub-folders, cat, dog" in listing(tmp_path).warnings[0]


@pytest.mark.parametrize(
    ("form", "passed"),
    [
        ("images/{}", "images"),
        ("pets/v1/{}", "pets, v1"),
        ("train/images/{}", "images"),
        ("pets/train/{}", "pets"),
        ("a/test/b/{}", "a, b"),
        ("a/{}/train", "a"),
    ],
)
def test_folders_that_hold_all_pictures_are_passed_through(tmp_path, form, passed):
    write_classes(tmp_path, form.format("cat"), form.format("dog"))
    found = listing(tmp_path)
    assert found.labels == ["cat"] * 3 + ["dog"] * 3
    assert f"every picture is in a folder {passed}: the sub-folders there are taken for the classes" in found.warnings[0]
    splits = {"train": ["train"] * 6, "test": ["test"] * 6}
    assert found.splits == next((names for split, names in splits.items() if split in form), None)


@pytest.mark.parametrize(
    ("folders", "advice"),
    [
        (("images/cat", "images/dog", "images"), r"try zcurate scan '.*images'"),
        (("cat",), "add the other"),
        (("train/cat",), "add the other"),
        (("a/b",), "add the"),
    ],
)
def test_one_class_is_refused_with_the_folder_to_scan(tmp_path, folders, advice):
    write_classes(tmp_path, *folders)
    with pytest.raises(InputError, match=f"one class — .*{advice}"):
        listing(tmp_path)


def test_a_dangling_link_to_a_picture_is_a_skipped_row(tmp_path):
    write_classes(tmp_path, "cat", "dog")
    os.symlink("../annex/gone.png", tmp_path / "cat" / "9.png")
    os.symlink("9.jpg", tmp_path / "dog" / "9.jpg")
    os.symlink("me@host:1", tmp_path / "cat" / ".#notes")
    os.symlink("nowhere", tmp_path / "cat" / "list.txt")
    data = read(tmp_path)
    assert [(skip.path, skip.reason) for skip in data.skipped] == [
        ("cat/9.png", "no such file: a link to ../annex/gone.png"),
        ("dog/9.jpg", "no such file: a link to 9.jpg"),
    ]
    assert data.given.to_pylist() == ["cat"] * 4 + ["dog"] * 4
    assert "2 of 8 pictures cannot be read — cat/9.png: no such file" in data.warnings[0]
    assert data.passed_over == {}


def test_names_that_are_not_utf_8_are_carried(tmp_path):
    write_classes(tmp_path, "cat", "dog")
    root = os.fsencode(tmp_path)
    os.rename(root + b"/dog", root + b"/K\xe4tze")
    os.rename(root + b"/cat/0.png", root + b"/cat/\x93\xfa.png")
    data = read(tmp_path)
    assert data.task.classes == ("cat", "K\\xe4tze")
    assert set(data.paths.to_pylist()) >= {"cat/\\x93\\xfa.png", "K\\xe4tze/0.png"}
    assert data.skipped == ()


@pytest.mark.parametrize("names", [("README.dataset.txt",), ("classes.txt", "data.yaml"), ("labels.csv", "x.json"), ("a.feather", "b.tsv")])
def test_other_files_beside_the_classes_do_not_make_a_folder_of_tables(tmp_path, names):
    write_classes(tmp_path, "cat", "dog")
    touch(tmp_path, *names)
    assert read(tmp_path).n_rows == 6


def test_pictures_and_parquet_parts_are_refused_with_both_names(tmp_path):
    write_classes(tmp_path, "cat", "dog")
    touch(tmp_path, "part-0.parquet")
    with pytest.raises(InputError, match=r"both Parquet parts .* and pictures .*--input-format parquet, or --input-format folder"):
        read(tmp_path)
    assert read(tmp_path, input_format="folder").n_rows == 6


def test_pictures_without_folders_are_refused_with_the_manifest(tmp_path):
    write(tmp_path, "0.png", "1.png")
    with pytest.raises(InputError, match="move them into a sub-folder per class"):
        read(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\n1.png,b\n")
    with pytest.raises(InputError, match=r"try the manifest, zcurate scan .*labels.csv"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["shard-000.tar", "images.tar.gz", "a.tgz", "x.zip"])
def test_archives_are_to_be_unpacked(tmp_path, name):
    touch(tmp_path, f"d/{name}", name)
    for wanted in (None, "folder"):
        with pytest.raises(InputError, match="unpack it"):
            discovery.locate(str(tmp_path / name), wanted)
    with pytest.raises(InputError, match=r"an archive — .*unpack it"):
        discovery.locate(f"{tmp_path}/d/*", None)
    with pytest.raises(InputError, match=r"1 archives such as .*unpack it"):
        discovery.locate(str(tmp_path / "d"), None)


def test_a_single_picture_is_refused(tmp_path):
    write(tmp_path, "cat.jp2")
    with pytest.raises(InputError, match="a single picture — expected a folder"):
        discovery.locate(str(tmp_path / "cat.jp2"), None)


def test_copies_of_a_link_do_not_double_rows(tmp_path):
    write_classes(tmp_path, "cat", "dog")
    shutil.copytree(tmp_path, tmp_path / "copy")
    os.symlink("..", tmp_path / "copy" / "cat" / "up")
    os.symlink("cat", tmp_path / "copy" / "also")
    data = read(tmp_path / "copy")
    assert data.n_rows == 6
    assert any("the links also, cat/up lead to folders that are read already" in text for text in data.warnings)


@pytest.mark.parametrize(
    ("name", "expected"), [("train", True), ("Test_Set", True), ("val-2", True), ("hold-out", True), ("trainer", False), ("latest", False), ("cat", False)]
)
def test_names_of_splits(name, expected):
    assert is_split(name) == expected


def test_the_split_of_a_path_is_its_first_folder_named_like_one():
    assert [split_of_path(path) for path in ("train/cat/1.png", "a\\Valid\\1.png", "cat/1.png", "test.png")] == ["train", "Valid", None, None]
