"""Labels that the input declares to be classes."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from zcurate.config.options import ScanOptions
from zcurate.data import discovery, preview, profile, readers
from zcurate.data.declared_classes import declare, declared, label_text
from zcurate.data.values import MISSING_WORDS
from zcurate.errors import InputError

NAMES = [f"n{k}" for k in range(60)]


def huggingface(table, names, kind="ClassLabel"):
    info = {"info": {"features": {"label": {"_type": kind, "names": names}, "x": {"dtype": "float64", "_type": "Value"}}}}
    return table.replace_schema_metadata({"huggingface": json.dumps(info)})


def numbered(n=600, n_classes=60, **changes):
    labels = np.arange(n) % n_classes
    for row, label in changes.items():
        labels[int(row[1:])] = label
    return pa.table({"x": np.random.default_rng(0).random(n), "label": labels})


def read(path, **options):
    return readers.read(discovery.locate(str(path), options.get("input_format")), ScanOptions(**options))


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_names_of_a_class_label_are_the_classes_in_their_order(tmp_path, ending):
    table = huggingface(numbered(r0=-1, r7=-1), NAMES[::-1])
    (pq.write_table if ending == "parquet" else pa.feather.write_feather)(table, tmp_path / f"d.{ending}")
    data = read(tmp_path / f"d.{ending}")
    assert data.task.classes == tuple(NAMES[::-1])
    assert data.given.to_pylist()[:3] == [None, "n58", "n57"]
    assert data.given.null_count == 2
    assert data.task.why == "labels are a ClassLabel with 60 distinct values"


@pytest.mark.parametrize("label", [-2, 60, 10**9])
def test_a_number_without_a_name_is_refused(tmp_path, label):
    pq.write_table(huggingface(numbered(r3=label), NAMES), tmp_path / "d.parquet")
    with pytest.raises(InputError, match=f"a label is {label}, but the ClassLabel has 60 names"):
        read(tmp_path / "d.parquet")


def test_parts_keep_the_names(tmp_path):
    for k in range(2):
        pq.write_table(huggingface(numbered(), NAMES), tmp_path / f"part-{k}.parquet")
    assert read(tmp_path).task.classes == tuple(NAMES)


def test_classes_that_do_not_occur_are_left_out(tmp_path):
    pq.write_table(huggingface(numbered(n_classes=3), ["z", "NA", "a", "never"]), tmp_path / "d.parquet")
    data = read(tmp_path / "d.parquet")
    assert data.task.classes == ("z", "NA", "a")
    assert data.given.null_count == 0


def test_streamed_rows_get_the_same_labels(tmp_path):
    pq.write_table(huggingface(numbered(r5=-1), NAMES), tmp_path / "d.parquet")
    source = discovery.locate(str(tmp_path / "d.parquet"), None)
    resident = readers.read(source, ScanOptions())
    table = profile.profile_table(source, preview.preview_input(source, ScanOptions()), ScanOptions())
    assert table.sample.task == resident.task
    assert table.sample.given.equals(resident.given)
    batch = table.dataset_of(pa.Table.from_batches(table.batches(table.columns())))
    assert batch.given.equals(resident.given)


@pytest.mark.parametrize("metadata", [{}, {"huggingface": "no JSON"}, {"huggingface": "[1]"}, {"huggingface": '{"info": {"features": 3}}'}])
def test_other_metadata_say_nothing(metadata):
    assert declared(numbered().replace_schema_metadata(metadata).schema, "label") is None


def test_features_of_another_type_say_nothing():
    assert declared(huggingface(numbered(), NAMES, "Value").schema, "label") is None
    assert declared(huggingface(numbered(), [], "ClassLabel").schema, "label") is None
    assert declared(huggingface(numbered(), NAMES).schema, "x") is None


def test_declared_names_are_never_missing_and_never_trimmed():
    table = declare(pa.table({"label": ["NA", " null ", "nan", None, ""]}), "label", "by me")
    meaning = declared(table.schema, "label")
    assert meaning.why == "by me"
    assert label_text(table.column("label").chunk(0), meaning, MISSING_WORDS).to_pylist() == ["NA", " null ", "nan", None, ""]
    assert label_text(table.column("label").chunk(0), None, MISSING_WORDS).to_pylist() == [None] * 5
