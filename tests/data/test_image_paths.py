"""Pictures that a table names are found, however the paths are written."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.pictures import encoded, picture, write
from zcurate.config.options import ScanOptions
from zcurate.data import discovery, readers
from zcurate.data.image_paths import find_files, plain_path, without_top
from zcurate.errors import InputError, UsageError

N = 12


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, *(f"images/{k}.png" for k in range(N)))
    return tmp_path


def read(path, **options):
    return readers.read(discovery.locate(str(path), None), ScanOptions(**options))


def manifest(folder, form, name="list.csv"):
    (folder / name).write_text("image,label\n" + "".join(f"{form.format(k)},{'ab'[k % 2]}\n" for k in range(N)))
    return folder / name


@pytest.mark.parametrize(
    "form",
    [
        "images/{}.png", "./images/{}.png", " images/{}.png ", "images\\{}.png", ".\\images\\{}.png", "C:\\data\\set\\images\\{}.png", "D:/images/{}.png",
        "\\\\server\\share\\images\\{}.png", "/images/{}.png", "/data/upload/images/{}.png", "/home/someone/else/images/{}.png",
        "/data/local-files/?d=images/{}.png", "file:///gone/images/{}.png", "file:///C:/x/images/{}.png",
    ],
)  # fmt: skip
@pytest.mark.parametrize("with_root", [True, False])
def test_paths_of_every_tool_are_found(folder, form, with_root):
    data = read(manifest(folder, form), **({"root": str(folder)} if with_root else {}))
    assert data.skipped == ()
    assert [os.path.normpath(os.path.join(data.root, path)) for path in data.paths.to_pylist()] == [str(folder / f"images/{k}.png") for k in range(N)]
    np.testing.assert_array_equal(data.pictures[3, 0], picture(3))


def test_absolute_and_file_paths_are_read_as_they_are(folder):
    for form in (f"{folder}/images/{{}}.png", f"file://{folder}/images/{{}}.png"):
        data = read(manifest(folder, form))
        assert data.paths[1].as_py() == f"{folder}/images/1.png"
        assert data.warnings == ()


def test_what_is_read_as_something_else_is_said(folder):
    (warning,) = read(manifest(folder, "/data/upload/images/{}.png")).warnings
    assert f"paths like /data/upload/images/0.png are read as images/0.png in {folder}" in warning


def test_all_rows_are_read_in_the_same_way(folder):
    write(folder, "0.png")
    found = find_files([f"/a/images/{k}.png" for k in range(N)], str(folder / "x.csv"), None)
    assert found.paths == [f"images/{k}.png" for k in range(N)]


def test_paths_that_name_nothing_are_refused_with_advice(folder):
    with pytest.raises(InputError, match=r"none of 12 pictures can be read — no such file: .*--root"):
        read(manifest(folder, "elsewhere/{}x.png"))
    with pytest.raises(UsageError, match="--root nowhere: no such folder"):
        read(manifest(folder, "images/{}.png"), root="nowhere")


def test_a_folder_of_manifests_is_a_root_itself(folder):
    pq.write_table(pa.table({"image": [f"images/{k}.png" for k in range(N)], "label": ["a", "b"] * (N // 2)}), folder / "part-0.parquet")
    assert readers.read(discovery.locate(str(folder), "parquet"), ScanOptions()).root == str(folder)


@pytest.mark.parametrize("bytes_of", [lambda k: None, lambda k: encoded(picture(k)) if k % 2 else None, lambda k: b"" if k else None])
def test_a_struct_without_bytes_is_read_by_its_path(folder, bytes_of):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": bytes_of(k), "path": str(folder / f"images/{k}.png")} for k in range(N)]
    pq.write_table(pa.table({"image": pa.array(cells, kind), "label": ["a", "b"] * (N // 2)}), folder / "d.parquet")
    data = read(folder / "d.parquet")
    assert data.skipped == ()
    np.testing.assert_array_equal(data.pictures[:, 0], np.stack([picture(k) for k in range(N)]))


def test_a_reading_by_which_pictures_become_one_is_not_used(folder):
    write(folder, "0.png", "1.png")
    written = [f"/data/{label}/{k}.png" for label in ("cat", "dog") for k in range(2)]
    assert find_files(written, str(folder / "x.csv"), None).paths == written


def test_some_web_addresses_among_paths_are_skipped_rows(folder):
    rows = "".join(f"{f'https://x/{k}.png' if k % 3 == 0 else f'images/{k}.png'},{'ab'[k % 2]}\n" for k in range(N))
    (folder / "mixed.csv").write_text("image,label\n" + rows)
    data = read(folder / "mixed.csv")
    assert [(skip.row, skip.reason) for skip in data.skipped] == [(k, f"a web address, which is not read: https://x/{k}.png") for k in range(0, N, 3)]


def web_table(folder, form, **columns):
    n = 60
    table = pa.table({"picture": [form.format(k) for k in range(n)], "label": ["a", "b"] * (n // 2), **columns})
    pq.write_table(table, folder / "web.parquet")
    return folder / "web.parquet"


@pytest.mark.parametrize(
    "form", ["https://cdn.example.com/{}.jpg", "http://x.org/p/{}.PNG?width=64", "https://x/{}.webp#a", "s3://bucket/{}.png", "gs://b/{}.jpeg"]
)
def test_web_addresses_beside_other_columns_are_left_out_with_a_warning(tmp_path, form):
    data = read(web_table(tmp_path, form, price=np.random.default_rng(0).random(60)))
    assert [column.name for column in data.roles.features] == ["price"]
    assert [(out.name, out.why) for out in data.roles.left_out] == [("picture", "web addresses of pictures")]
    assert any("--exclude picture" in text for text in data.warnings)
    assert data.table.column_names == ["picture", "label", "price"]


def test_web_addresses_alone_are_refused_with_advice(tmp_path):
    path = web_table(tmp_path, "https://cdn.example.com/{}.jpg")
    with pytest.raises(InputError, match=r"'picture' holds web addresses of pictures.*--root DIR"):
        read(path)
    with pytest.raises(UsageError, match="--image picture holds web addresses"):
        read(path, image="picture")


@pytest.mark.parametrize(
    ("text", "path"), [("file:///a%20b/c.png", "/a b/c.png"), ("file://localhost/c.png", "/c.png"), ("FILE:///D:/c.png", "D:/c.png"), ("c.png", "c.png")]
)
def test_addresses_of_files_become_paths(text, path):
    assert plain_path(text) == path


@pytest.mark.parametrize(
    ("path", "n", "expected"), [("/a/b/c.png", 0, "a/b/c.png"), ("/a/b/c.png", 9, "c.png"), ("C:\\a\\b.png", 1, "b.png"), ("a/b.png", 1, "a/b.png")]
)
def test_leading_folders_of_absolute_paths_are_dropped(path, n, expected):
    assert without_top(path, n) == expected
