"""Made data: as many flips as told, the same from the same seed, and learnable."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.bench import made


def whole(family, rows, share=made.FLIPPED, columns=made.COLUMNS, seed=0):
    pieces = list(made.chunks(family, rows, columns, share, seed))
    return pa.concat_tables([piece for piece, _ in pieces]), np.concatenate([flipped for _, flipped in pieces])


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(made, "CHUNK", 400)


@pytest.mark.parametrize("family", made.FAMILIES)
@pytest.mark.usefixtures("small_chunks")
def test_labels_are_flipped_exactly_as_told(family):
    clean, none = whole(family, 1000, share=0.0)
    given, flipped = whole(family, 1000, share=0.1)
    assert none.sum() == 0
    assert [int(flipped[at : at + 400].sum()) for at in (0, 400, 800)] == [40, 40, 20]
    changed = np.array(clean["label"].to_pylist()) != np.array(given["label"].to_pylist())
    np.testing.assert_array_equal(flipped, changed)
    assert clean.drop(["label"]).equals(given.drop(["label"]))


@pytest.mark.parametrize("family", made.FAMILIES)
@pytest.mark.usefixtures("small_chunks")
def test_a_longer_table_begins_with_the_rows_of_a_shorter_one(family):
    short, long = whole(family, 800), whole(family, 2000)
    assert short[0].equals(long[0].slice(0, 800))
    assert not short[0].equals(whole(family, 800, seed=1)[0])


@pytest.mark.parametrize("family", made.FAMILIES)
def test_both_classes_are_about_as_frequent_and_columns_are_as_many_as_told(family):
    table, _ = whole(family, 2000, columns=30)
    assert table.num_columns == 31
    assert 0.4 < np.mean(np.array(table["label"].to_pylist()) == "yes") < 0.6


@pytest.mark.parametrize("family", made.FAMILIES)
def test_the_truth_can_be_learned(family):
    table, flipped = whole(family, 4000, share=0.0)
    x = np.stack([table[name].to_numpy() for name in table.column_names[:-1]], 1)
    y = np.array(table["label"].to_pylist()) == "yes"
    # The class of the nearest of the other half, in the standardised columns.
    x = (x - x.mean(0)) / x.std(0)
    distance = (x[:1000, None] - x[None, 2000:3000]) ** 2
    assert (y[2000:3000][distance.sum(2).argmin(1)] == y[:1000]).mean() > 0.55
    assert not flipped.any()


def test_a_file_and_a_folder_of_parts_hold_the_same_rows(tmp_path, small_chunks):
    csv, one, parts = (made.table(tmp_path, "blob", 1000, form) for form in ("csv", "parquet", "parts"))
    read = pyarrow.csv.read_csv(csv.path)
    files = sorted(parts.path.glob("*.parquet"))
    again = pa.concat_tables([pq.read_table(path) for path in files])
    assert len(files) == 3
    np.testing.assert_array_equal(csv.flipped, parts.flipped)
    assert read["label"].to_pylist() == again["label"].to_pylist()
    assert pq.read_table(one.path).equals(again)
    np.testing.assert_allclose(read["x03"].to_numpy(), again["x03"].to_numpy(), atol=1e-6)


def test_made_data_are_kept_and_halves_are_made_again(tmp_path, small_chunks):
    first = made.table(tmp_path, "tree", 500, "parts")
    stamp = (first.path / "part-00000.parquet").stat().st_mtime_ns
    assert stamp == (made.table(tmp_path, "tree", 500, "parts").path / "part-00000.parquet").stat().st_mtime_ns
    (tmp_path / f"{first.path.name}.flipped.npy").unlink()
    (first.path / "part-00001.parquet").write_bytes(b"half")
    np.testing.assert_array_equal(first.flipped, made.table(tmp_path, "tree", 500, "parts").flipped)
    assert pq.read_table(first.path / "part-00001.parquet").num_rows == 100


def test_pictures_have_as_many_wrong_labels_as_told():
    images, given, wrong = made.pictures(200, share=0.2)
    right = made.pictures(200, share=0.0)
    assert images.shape == (200, 32, 32, 3)
    assert wrong.sum() == 40
    np.testing.assert_array_equal(right[1] != given, wrong)
    np.testing.assert_array_equal(images, right[0])
