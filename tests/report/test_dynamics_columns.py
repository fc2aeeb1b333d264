"""The list columns for `explain`: scattered to their rows, rounded, null where unknown; bands of known curves."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zcurate.evidence.evidence import Round
from zcurate.evidence.planted import Planted
from zcurate.report import dynamics_columns
from zcurate.report.schema import CURVE_COLUMNS

NAN = np.nan


def round_of(error, planted):
    error = np.array(error, np.float32)
    at = np.array(planted, np.int64)
    curves = {"error": error, "margin": -error, "z": error / 2}
    return Round(np.zeros(error.shape[1], np.int64), Planted(at, at, np.full(len(at), "uniform")), {}, np.zeros((error.shape[1], 2), np.float32), curves, 1.0)


def test_a_list_ends_with_its_last_known_value_and_is_null_without_any():
    values = np.array([[1.0, 2.0, 3.0], [4.0, NAN, NAN], [NAN, NAN, NAN], [NAN, 5.0, NAN]])
    expected = pa.array([[1, 2, 3], [4], None, [None, 5]], pa.list_(pa.float32()))
    assert expected == dynamics_columns.lists(values)
    assert dynamics_columns.lists(values, whole=True).to_pylist()[3] == [None, 5.0, None]


def test_no_epochs_and_no_rows_are_lists_too():
    assert dynamics_columns.lists(np.zeros((2, 0))).to_pylist() == [None, None]
    assert dynamics_columns.lists(np.zeros((0, 3))).to_pylist() == []


def test_values_are_scattered_to_their_rows_and_rounded():
    values = np.array([[0.12345, -0.0001], [np.inf, 2.0]])
    out = dynamics_columns.scatter_rows(4, np.array([3, 1]), lambda part: values[:, part], 2)
    assert np.isnan(out[[0, 2]]).all()
    assert out[3][~np.isnan(out[3])].tolist() == [np.float32(0.123)]
    assert out[1].tolist() == [0.0, 2.0]
    assert not np.signbit(out[1, 0])


def test_loss_is_computed_from_the_error_by_task():
    curves = {"error": np.array([[0.0, -3.0]], np.float32)}
    assert np.allclose(dynamics_columns.curve_of(curves, "loss", False, slice(None)), [[np.log(2), np.log1p(np.exp(-3))]])
    assert dynamics_columns.curve_of(curves, "loss", True, slice(None)).tolist() == [[0.0, 3.0]]


def test_the_best_classes_come_best_first_and_skipped_rows_have_none():
    heldout = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.0, 0.1, 0.2]], np.float32)
    names, p = dynamics_columns.best_classes(3, np.array([2, 0]), heldout, ("a", "b", "c", "d"))
    assert names.to_pylist() == [["a", "d", "c"], None, ["d", "c", "b"]]
    assert p.to_pylist()[1] is None
    assert p.to_pylist()[2] == pytest.approx([0.4, 0.3, 0.2])
    assert [len(row) for row in dynamics_columns.best_classes(2, np.arange(2), heldout[:, :2], ("a", "b"))[0].to_pylist()] == [2, 2]


def test_bands_take_the_planted_rows_of_all_rounds_and_no_others():
    first = round_of([[1, 2, 99], [3, 4, 99], [5, 6, 99]], [0, 1])
    second = round_of([[99, 99, 8]], [2])
    found = dynamics_columns.bands((first, second), regression=True)
    assert found["planted"] == 3
    assert found["loss"]["middle"] == [2.0, 3.5, 5.5]
    assert found["loss"]["low"] == pytest.approx([1.2, 3.1, 5.1])
    assert found["loss"]["high"] == pytest.approx([6.8, 3.9, 5.9])
    assert found["margin"]["middle"] == [-2.0, -3.5, -5.5]
    assert found["z"]["middle"] == [1.0, 1.75, 2.75]


def test_bands_of_nothing_planted_are_empty_and_those_of_unknown_epochs_end_without_a_warning():
    assert dynamics_columns.bands((round_of([[1.0, 2.0]], []),), True) == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dynamics_columns.band(np.array([[1.0, 2.0], [NAN, NAN], [1.0, 2.0]])) == {"low": [1.1], "middle": [1.5], "high": [1.9]}


def test_an_unjudged_scan_has_curves_but_no_clues():
    one = round_of([[1.0, NAN], [2.0, NAN]], [])
    evidence = SimpleNamespace(curves=one.curves, heldout=np.array([[0.6, 0.4], [0.5, 0.5]], np.float32))
    builders = dynamics_columns.columns(3, np.array([0, 2]), evidence, SimpleNamespace(percentiles={}), ("a", "b"), 3)
    fields = {name: column for build in builders for name, column in build().items()}
    assert tuple(fields) == CURVE_COLUMNS
    assert fields["clues"].to_pylist() == [None, None, None]
    assert fields["margin_curve"].to_pylist() == [[-1.0, -2.0], None, None]


def test_a_list_of_numbers_is_stored_by_dictionary(tmp_path):
    from zcurate.report.report import Report

    column = dynamics_columns.lists(np.round(np.random.default_rng(0).random((4000, 8)), 3))
    Report(pa.table({"row": np.arange(4000), "loss_curve": column, "reasons": [["a"]] * 4000}), {}).save(str(tmp_path / "a.zcurate.parquet"))
    file = pq.ParquetFile(tmp_path / "a.zcurate.parquet").metadata.row_group(0)
    chunks = {file.column(at).path_in_schema: file.column(at) for at in range(3)}
    assert all("RLE_DICTIONARY" in chunks[name].encodings for name in ("loss_curve.list.element", "reasons.list.element"))
    assert chunks["loss_curve.list.element"].total_compressed_size < 4000 * 8 * 2


def test_coarse_curves_keep_eight_bits_and_nulls():
    values = np.array([[1.23456, -1000.4, np.nan, 0.001]])
    out = dynamics_columns.scatter_rows(4, np.arange(4), lambda part: values[:, part], 1, coarse=True)[:, 0]
    np.testing.assert_allclose(out[[0, 1, 3]], values[0, [0, 1, 3]], rtol=0.004)
    assert np.isnan(out[2]) and (out[[0, 1, 3]].view(np.uint32) & 0xFFFF == 0).all()
    fine = dynamics_columns.scatter_rows(4, np.arange(4), lambda part: values[:, part], 1)[:, 0]
    assert fine[0] == np.float32(1.235)
