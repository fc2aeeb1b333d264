"""Synthetic data: the requested number of flips, reproducible from the seed, and learnable."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.bench import synthetic


def whole_table(family, rows, share=synthetic.FLIPPED, columns=synthetic.COLUMNS, seed=0):
    chunks = list(synthetic.chunks(family, rows, columns, share, seed))
    return pa.concat_tables([chunk for chunk, _ in chunks]), np.concatenate([flipped for _, flipped in chunks])


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(synthetic, "CHUNK", 400)


@pytest.mark.parametrize("family", synthetic.FAMILIES)
@pytest.mark.usefixtures("small_chunks")
def test_exactly_the_requested_share_of_labels_is_flipped(family):
    clean, none = whole_table(family, 1000, share=0.0)
    given, flipped = whole_table(family, 1000, share=0.1)
    assert none.sum() == 0
    assert [int(flipped[begin : begin + 400].sum()) for begin in (0, 400, 800)] == [40, 40, 20]
    changed = np.array(clean["label"].to_pylist()) != np.array(given["label"].to_pylist())
    np.testing.assert_array_equal(flipped, changed)
    assert clean.drop(["label"]).equals(given.drop(["label"]))


@pytest.mark.parametrize("family", synthetic.FAMILIES)
@pytest.mark.usefixtures("small_chunks")
def test_a_longer_table_begins_with_the_rows_of_a_shorter_one(family):
    short, long = whole_table(family, 800), whole_table(family, 2000)
    assert short[0].equals(long[0].slice(0, 800))
    assert not short[0].equals(whole_table(family, 800, seed=1)[0])


@pytest.mark.slow
@pytest.mark.parametrize("family", synthetic.FAMILIES)
def test_classes_are_balanced_and_the_number_of_columns_is_as_requested(family):
    table, _ = whole_table(family, 2000, columns=30)
    assert table.num_columns == 31
    assert 0.4 < np.mean(np.array(table["label"].to_pylist()) == "yes") < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("family", synthetic.FAMILIES)
def test_the_truth_can_be_learned(family):
    table, flipped = whole_table(family, 4000, share=0.0)
    x = np.stack([table[name].to_numpy() for name in table.column_names[:-1]], 1)
    y = np.array(table["label"].to_pylist()) == "yes"
    # 1-nearest-neighbor classifier on standardized columns.
    x = (x - x.mean(0)) / x.std(0)
    distance = (x[:1000, None] - x[None, 2000:3000]) ** 2
    assert (y[2000:3000][distance.sum(2).argmin(1)] == y[:1000]).mean() > 0.55
    assert not flipped.any()


def test_a_file_and_a_folder_of_parts_hold_the_same_rows(tmp_path, small_chunks):
    csv, one, parts = (synthetic.table(tmp_path, "blob", 1000, form) for form in ("csv", "parquet", "parts"))
    read = pyarrow.csv.read_csv(csv.path)
    files = sorted(parts.path.glob("*.parquet"))
    again = pa.concat_tables([pq.read_table(path) for path in files])
    assert len(files) == 3
    np.testing.assert_array_equal(csv.flipped, parts.flipped)
    assert read["label"].to_pylist() == again["label"].to_pylist()
    assert pq.read_table(one.path).equals(again)
    np.testing.assert_allclose(read["x03"].to_numpy(), again["x03"].to_numpy(), atol=1e-6)


def test_stored_data_are_reused_and_incomplete_data_generated_again(tmp_path, small_chunks):
    first = synthetic.table(tmp_path, "tree", 500, "parts")
    stamp = (first.path / "part-00000.parquet").stat().st_mtime_ns
    assert stamp == (synthetic.table(tmp_path, "tree", 500, "parts").path / "part-00000.parquet").stat().st_mtime_ns
    (tmp_path / f"{first.path.name}.flipped.npy").unlink()
    (first.path / "part-00001.parquet").write_bytes(b"half")
    np.testing.assert_array_equal(first.flipped, synthetic.table(tmp_path, "tree", 500, "parts").flipped)
    assert pq.read_table(first.path / "part-00001.parquet").num_rows == 100


def test_the_requested_share_of_picture_labels_is_wrong():
    images, given, wrong = synthetic.pictures(200, share=0.2)
    right = synthetic.pictures(200, share=0.0)
    assert images.shape == (200, 32, 32, 3)
    assert wrong.sum() == 40
    np.testing.assert_array_equal(right[1] != given, wrong)
    np.testing.assert_array_equal(images, right[0])
