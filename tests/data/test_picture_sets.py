"""Image data sets: folder, manifest, bytes, npz and IDX give the same data set."""

from __future__ import annotations

import gzip
import io
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zcurate.config.options import ScanOptions
from zcurate.data import discovery, readers
from zcurate.errors import InputError, UsageError

N = 12
PIXELS = np.random.default_rng(3).integers(0, 255, (N, 10, 10)).astype(np.uint8)
LABELS = [str(k % 3) for k in range(N)]


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def read(path, **options):
    return readers.read(discovery.locate(str(path), options.get("input_format")), ScanOptions(**options))


def pairs(data):
    return sorted(zip(data.given.to_pylist(), (picture.tobytes() for picture in data.pictures), strict=True))


@pytest.fixture
def folder(tmp_path):
    for k in range(N):
        class_folder = tmp_path / "pets" / LABELS[k]
        class_folder.mkdir(parents=True, exist_ok=True)
        (class_folder / f"{k:02d}.png").write_bytes(png(PIXELS[k]))
    (tmp_path / "pets" / "0" / "notes.txt").write_text("no picture")
    return tmp_path / "pets"


def test_a_folder_has_a_class_per_sub_folder(folder):
    data = read(folder)
    assert data.task.classes == ("0", "1", "2")
    assert data.pictures.shape == (N, 1, 10, 10)
    assert data.paths.to_pylist()[0] == "0/00.png"
    assert data.root == str(folder)


def test_every_format_gives_the_same_images_and_labels(folder, tmp_path):
    expected = pairs(read(folder))
    paths = [f"pets/{LABELS[k]}/{k:02d}.png" for k in range(N)]
    (tmp_path / "manifest.csv").write_text("file,label\n" + "".join(f"{p},{label}\n" for p, label in zip(paths, LABELS, strict=True)))
    content = [png(array) for array in PIXELS]
    pq.write_table(pa.table({"image": content, "label": LABELS}), tmp_path / "bytes.parquet")
    structs = pa.array([{"bytes": c, "path": p} for c, p in zip(content, paths, strict=True)])
    pq.write_table(pa.table({"image": structs, "label": [int(label) for label in LABELS]}), tmp_path / "struct.parquet")
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.array(LABELS).astype(int))
    (tmp_path / "t-images-idx3-ubyte").write_bytes(b"\0\0\x08\3" + struct.pack(">3I", N, 10, 10) + PIXELS.tobytes())
    labels = np.array(LABELS).astype(np.uint8).tobytes()
    (tmp_path / "t-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\1" + struct.pack(">I", N) + labels))
    for name in ("manifest.csv", "bytes.parquet", "struct.parquet", "a.npz", "t-images-idx3-ubyte"):
        assert pairs(read(tmp_path / name)) == expected, name
    assert pairs(read(tmp_path / "manifest.csv", image="file", root=str(tmp_path))) == expected
    assert read(tmp_path / "struct.parquet").paths.to_pylist() == paths


def test_one_broken_image_is_one_skipped_row(folder):
    (folder / "1" / "01.png").write_bytes(b"broken")
    data = read(folder)
    assert data.n_rows == N
    assert len(data.skipped) == 1
    assert data.paths.to_pylist()[data.skipped[0].row] == "1/01.png"


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures in sub-folders"):
        read(tmp_path / "empty")


def test_an_image_column_that_holds_neither_bytes_nor_paths_is_refused(tmp_path):
    pq.write_table(pa.table({"image": [1, 2], "label": ["a", "b"]}), tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="expected paths or encoded bytes"):
        read(tmp_path / "t.parquet", image="image")


def test_idx_images_without_labels_name_the_missing_file(tmp_path):
    (tmp_path / "t-images-idx3-ubyte").write_bytes(b"\0\0\x08\3" + struct.pack(">3I", 1, 2, 2) + bytes(4))
    with pytest.raises(InputError, match="no file of labels in its folder — expected .*t-labels-idx1-ubyte"):
        read(tmp_path / "t-images-idx3-ubyte")


def test_an_archive_without_labels_lists_its_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS, other=np.zeros(3))
    with pytest.raises(InputError, match="no array of labels — arrays: images, other"):
        read(tmp_path / "a.npz")


def idx(array, kind=8):
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("cut", [0.3, 0.9, 20])
@pytest.mark.parametrize("which", ["images-idx3", "labels-idx1"])
def test_a_download_that_was_cut_short_is_refused(tmp_path, cut, which):
    content = {"images-idx3": gzip.compress(idx(PIXELS)), "labels-idx1": gzip.compress(idx(np.array(LABELS).astype(np.uint8)))}
    content[which] = content[which][: int(cut * len(content[which])) if cut < 1 else cut]
    for name, part in content.items():
        (tmp_path / f"t-{name}-ubyte.gz").write_bytes(part)
    with pytest.raises(InputError, match=f"t-{which}-ubyte.gz: (cut short or broken|truncated|not an IDX file)"):
        read(tmp_path / "t-images-idx3-ubyte.gz")


@pytest.mark.parametrize("n_bytes", [0, 3, 8, 11, 16, 100])
def test_a_plain_idx_file_that_was_cut_short_is_refused(tmp_path, n_bytes):
    (tmp_path / "t-images-idx3-ubyte").write_bytes(idx(PIXELS)[:n_bytes])
    with pytest.raises(InputError, match="t-images-idx3-ubyte: (the file is empty|truncated|not an IDX file)"):
        read(tmp_path / "t-images-idx3-ubyte")


def test_the_labels_of_an_idx_data_set_lead_to_the_images(tmp_path):
    (tmp_path / "t-labels-idx1-ubyte").write_bytes(idx(np.array(LABELS).astype(np.uint8)))
    for wanted in (None, "idx"):
        with pytest.raises(InputError, match="expected the file of images"):
            readers.read(discovery.locate(str(tmp_path / "t-labels-idx1-ubyte"), wanted), ScanOptions())


@pytest.mark.parametrize(
    ("images", "why"), [(np.array(["a", "b"] * 6).reshape(3, 2, 2), "images of type <U1"), (np.zeros((12, 4, 4), complex), "images of type complex128")]
)
def test_arrays_that_are_no_numbers_are_refused(tmp_path, images, why):
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(len(images)) % 2)
    with pytest.raises(InputError, match=why):
        read(tmp_path / "a.npz")


def test_a_single_array_or_number_is_refused(tmp_path):
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, PIXELS)
    with pytest.raises(InputError, match="not a whole .npz archive of plain arrays — a single array"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", images=np.float64(3), labels=np.arange(3))
    with pytest.raises(InputError, match="images are a single number"):
        read(tmp_path / "b.npz")


@pytest.mark.parametrize("n_bytes", [10, 300, 900])
def test_an_archive_that_was_cut_short_is_refused(tmp_path, n_bytes):
    np.savez_compressed(tmp_path / "whole.npz", images=PIXELS, labels=np.array(LABELS).astype(int))
    (tmp_path / "a.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:n_bytes])
    with pytest.raises(InputError, match="not a whole .npz archive"):
        read(tmp_path / "a.npz")
