"""Hugging Face's manifests beside pictures."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.pictures import write, write_classes
from zcurate.config.options import ScanOptions
from zcurate.data import discovery, picture_manifest, readers
from zcurate.errors import InputError, UsageError


def read(path, **options):
    return readers.read(discovery.locate(str(path), None), ScanOptions(**options))


def write_manifest(folder, kind, rows):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"metadata.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\n")


def rows_of(folder="", n=6, **more):
    return [{"file_name": f"{folder}{k}.png", "label": ["cat", "dog"][k % 2], **more} for k in range(n)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_manifest_beside_the_pictures_gives_their_labels(tmp_path, kind):
    write(tmp_path, *(f"{k}.png" for k in range(6)))
    write_manifest(tmp_path, kind, rows_of())
    data = read(tmp_path)
    assert data.given.to_pylist() == ["cat", "dog"] * 3
    assert data.paths.to_pylist() == [f"{k}.png" for k in range(6)]
    assert data.root == str(tmp_path)
    assert data.origin == discovery.locate(str(tmp_path), None).origin()
    assert data.splits is None


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_manifests_in_split_folders_are_joined(tmp_path, kind):
    for split in ("train", "test"):
        write(tmp_path / split, *(f"pics/{k}.png" for k in range(6)))
        write_manifest(tmp_path / split, kind, rows_of("pics/"))
    data = read(tmp_path)
    assert data.n_rows == 12
    assert data.skipped == ()
    assert data.splits.to_pylist() == ["test"] * 6 + ["train"] * 6
    assert data.paths[0].as_py() == "test/pics/0.png"
    assert any("the folders test, train are splits" in text for text in data.warnings)


def test_one_manifest_may_name_pictures_in_split_folders(tmp_path):
    write(tmp_path, *(f"{split}/{k}.png" for split in ("train", "test") for k in range(6)))
    write_manifest(tmp_path, "csv", rows_of("train/") + rows_of("test/"))
    assert read(tmp_path).splits.to_pylist() == ["train"] * 6 + ["test"] * 6


def test_pictures_without_a_row_and_rows_without_a_picture_are_told(tmp_path):
    write(tmp_path, *(f"{k}.png" for k in range(5)), "more.png", "sub/other.png")
    write_manifest(tmp_path, "csv", rows_of())
    data = read(tmp_path)
    assert data.passed_over == {".png": 2}
    assert any("2 pictures passed over: not named in metadata.csv" in text for text in data.warnings)
    assert [skip.path for skip in data.skipped] == ["5.png"]


def test_captions_leave_the_folders_the_classes(tmp_path):
    write_classes(tmp_path, "cat", "dog")
    write_manifest(tmp_path, "jsonl", [{"file_name": "cat/0.png", "caption": "a cat"}])
    data = read(tmp_path)
    assert data.task.classes == ("cat", "dog")
    assert any("metadata.jsonl has no column of labels" in text for text in data.warnings)
    with pytest.raises(InputError, match="one class, a cat"):
        read(tmp_path, label="caption")


def test_a_label_of_another_name_is_asked_for(tmp_path):
    write(tmp_path, *(f"{k}.png" for k in range(6)))
    write_manifest(tmp_path, "csv", [{"file_name": f"{k}.png", "breed": "ab"[k % 2]} for k in range(6)])
    with pytest.raises(UsageError, match="which column holds the labels"):
        read(tmp_path)
    assert read(tmp_path, label="breed").given.to_pylist() == ["a", "b"] * 3


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"path,label\n", b"{", b"[1]"])
def test_other_files_of_that_name_are_no_manifests(tmp_path, content):
    write_classes(tmp_path, "cat", "dog")
    for name in picture_manifest.FORMATS:
        (tmp_path / name).write_bytes(content)
    assert picture_manifest.find_manifests(str(tmp_path)) == ()
    (tmp_path / "metadata.parquet").unlink()
    assert read(tmp_path).task.classes == ("cat", "dog")


def test_manifests_of_different_formats_are_refused(tmp_path):
    for split, kind in (("train", "csv"), ("test", "jsonl")):
        write(tmp_path / split, *(f"{k}.png" for k in range(6)))
        write_manifest(tmp_path / split, kind, rows_of())
    with pytest.raises(InputError, match="manifests of different formats"):
        read(tmp_path)
