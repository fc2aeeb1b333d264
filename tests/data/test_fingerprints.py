"""Fingerprints: equal for equal rows, however the file is sorted, written or extended."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from zcurate.config.options import ScanOptions
from zcurate.data import fingerprints, inputs


def prints(path, **options):
    return fingerprints.fingerprints(inputs.read_input(str(path), ScanOptions(**{"label": "label", **options}))).to_pylist()


def test_a_row_keeps_its_fingerprint_in_a_sorted_file_with_other_columns_order(blobs_csv, tmp_path):
    path, _ = blobs_csv
    lines = path.read_text().splitlines()
    before = prints(path, id="key")
    assert len(set(before)) == 240
    assert all(len(one) == 16 for one in before)
    turned = [",".join(reversed(line.split(","))) for line in [lines[0], *reversed(lines[1:])]]
    (tmp_path / "turned.csv").write_text("\n".join(turned) + "\n")
    assert prints(tmp_path / "turned.csv", id="key") == before[::-1]


def test_a_row_keeps_its_fingerprint_in_parquet(blobs_csv, tmp_path):
    import pyarrow.csv
    import pyarrow.parquet

    path, _ = blobs_csv
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(path), tmp_path / "a.parquet")
    assert prints(path, id="key") == prints(tmp_path / "a.parquet", id="key")


def test_label_and_features_count(blobs_csv, tmp_path):
    path, _ = blobs_csv
    lines = path.read_text().splitlines()
    before = prints(path, id="key")
    cells = lines[5].split(",")
    for at, value in ((1, "9.5"), (3, "green"), (4, "bee" if cells[4] == "ant" else "ant")):
        changed = [*lines]
        changed[5] = ",".join([*cells[:at], value, *cells[at + 1 :]])
        (tmp_path / "b.csv").write_text("\n".join(changed) + "\n")
        after = prints(tmp_path / "b.csv", id="key")
        assert [k for k in range(240) if after[k] != before[k]] == [4]


def test_the_label_in_a_fingerprint_can_be_exchanged():
    table = {"x": [1.5, 1.5, 2.0], "label": ["a", "b", "b"]}
    one, two, _ = (
        f"{int(total):016x}" for total in fingerprints.column_hashes(pa.array(table["x"]), "x") + fingerprints.label_hashes(pa.array(table["label"]))
    )
    assert fingerprints.relabeled(one, "a", "b") == two
    assert fingerprints.relabeled(one, None, "a") != one


def hashes(values, kind):
    return fingerprints.column_hashes(pa.array(values, kind), "x").tolist()


def test_how_a_value_is_stored_does_not_matter():
    assert hashes([1, 2, None], pa.int8()) == hashes([1.0, 2.0, float("nan")], pa.float64()) == hashes(["1", "2.0", None], pa.string())
    assert hashes([0.0], pa.float64()) == hashes([-0.0], pa.float64())
    dictionary = pa.array(["b", "a", None]).dictionary_encode()
    assert fingerprints.column_hashes(dictionary, "x").tolist() == hashes(["b", "a", None], pa.string())
    assert fingerprints.column_hashes(pa.chunked_array([["a"], ["b"]]), "x").tolist() == hashes(["a", "b"], pa.string())
    assert hashes([1, 2], pa.timestamp("s")) == hashes([1_000_000, 2_000_000], pa.timestamp("us"))
    assert hashes([None], pa.null()) == [0]


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=4), max_size=6))
def test_lists_differ_by_their_order(rows):
    found = hashes(rows, pa.list_(pa.float64()))
    for one, row in enumerate(rows):
        for other, values in enumerate(rows):
            assert (found[one] == found[other]) == (np.array_equal(row, values)) or not row or not values


def test_pictures_are_told_by_their_bytes(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(12):
            Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8)).save(tmp_path / "pictures" / name / f"{k}.png")
    before = fingerprints.fingerprints(inputs.read_input(str(tmp_path / "pictures"), ScanOptions())).to_pylist()
    (tmp_path / "pictures" / "ant" / "3.png").rename(tmp_path / "pictures" / "ant" / "zz.png")
    after = fingerprints.fingerprints(inputs.read_input(str(tmp_path / "pictures"), ScanOptions())).to_pylist()
    assert len(set(before)) == 24
    assert before != after
    assert sorted(before) == sorted(after)
