"""Inputs of very few rows are scanned without an error and not judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import zcurate
from tests.small_runs import scan_memory_mapped
from zcurate.errors import InputError
from zcurate.pipeline import cost_model


def table(labels, n_columns=2):
    x = np.random.default_rng(0).normal(size=(len(labels), n_columns))
    return pd.DataFrame(x, columns=[f"x{k}" for k in range(n_columns)]).assign(label=labels)


def picture_folder(root, n):
    rng = np.random.default_rng(0)
    for k in range(n):
        folder = root / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(folder / f"{k}.png")
    return root


@pytest.mark.parametrize("model", ["linear", "mlp"])
@pytest.mark.parametrize(
    "labels", [["a", "b"], ["a", "b", "a"], ["a", "b", "c"], ["a", "a", "b", "b"], ["a", "b", None, None, None], [0.5, 1.5], [0.5, 1.5, 2.5]]
)
def test_a_table_of_fewer_rows_than_folds_is_not_judged(labels, model):
    report = zcurate.scan(table(labels), model=model, epochs=2)
    n_labelled = sum(label is not None for label in labels)
    assert report.counts() == {word: n for word, n in (("unlabelled", len(labels) - n_labelled), ("unjudged", n_labelled)) if n}
    assert report.card["why_unjudged"] == f"{n_labelled} labelled rows, 20 needed"


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_folder_of_fewer_pictures_than_folds_is_not_judged(tmp_path, n):
    assert zcurate.scan(str(picture_folder(tmp_path, n)), epochs=1).counts() == {"unjudged": n}


@pytest.mark.parametrize("n_readable", [1, 2, 3])
def test_pictures_of_which_few_can_be_read_are_not_judged(tmp_path, n_readable):
    for path in sorted(picture_folder(tmp_path, 6).rglob("*.png"))[n_readable:]:
        path.write_bytes(b"rubbish")
    assert zcurate.scan(str(tmp_path), epochs=1).counts() == {"skipped": 6 - n_readable, "unjudged": n_readable}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"], "has one class"),
        (["a"] * 5, "has one class"),
        ([None] * 3, "0 of 3 rows have a label"),
        ([1.5], "holds one value"),
        ([2.5] * 4, "holds one value"),
    ],
)
def test_one_class_and_no_labels_are_refused_before_few_rows(labels, message):
    with pytest.raises(InputError, match=message):
        zcurate.scan(table(labels))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_table_of_fewer_rows_than_folds_is_not_judged_out_of_core(tmp_path, monkeypatch, n):
    monkeypatch.setattr(cost_model, "min_bytes", lambda *_: 1)
    frame = table([f"{'ab'[k % 2]}" for k in range(n)]).assign(colour=["red", "blue", "red", "blue", "red"][:n])
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert scan_memory_mapped(tmp_path / "t.csv", epochs=2).counts() == {"unjudged": n}
