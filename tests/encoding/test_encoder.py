"""Encoding: numbers, times, categories, text and vectors as tensors, and batches gathered by row number."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_runs import encode
from zcurate.config.model_config import ModelConfig
from zcurate.config.options import ScanOptions
from zcurate.data import schema
from zcurate.data.dataset import InputInfo
from zcurate.encoding import targets

CPU = torch.device("cpu")


def data_of(columns, **options):
    return schema.dataset(pa.table(columns), InputInfo("memory", "arrow"), ScanOptions(**options))


def encoded_of(columns, **options):
    return encode(data_of(columns, **options), ModelConfig())


LABELS = ["a", "b"] * 30


def test_piecewise_linear_numbers_follow_the_equation():
    x = np.linspace(0, 8, 60)
    encoded = encode(data_of({"x": x + 0.001, "label": LABELS}), ModelConfig(bins=4))
    cuts = np.quantile((x + 0.001).astype(np.float32), [0, 0.25, 0.5, 0.75, 1]).astype(np.float32)
    ids = torch.tensor([[0, 17, 59]])
    expected = np.stack([np.clip((np.float32(x[i] + 0.001) - cuts[:-1]) / np.diff(cuts), 0, 1) - 0.5 for i in (0, 17, 59)])
    np.testing.assert_allclose(encoded.numbers(ids)[0].numpy(), expected, atol=1e-5)


def test_a_missing_number_becomes_the_median_and_an_indicator():
    x = [None if k % 5 == 0 else float(k) + 0.5 for k in range(60)]
    encoded = encoded_of({"x": x, "label": LABELS})
    assert encoded.x[0].tolist() == [0.0, 1.0]
    assert encoded.x[1].tolist() == [1.5 - np.median([v for v in x if v is not None]), 0.0]
    assert torch.isfinite(encoded.numbers(torch.arange(60)[None])).all()


def test_infinite_numbers_count_as_missing():
    encoded = encoded_of({"x": [float("inf"), *np.arange(59) + 0.5], "label": LABELS})
    assert torch.isfinite(encoded.x).all()
    assert encoded.x[0, 1] == 1


def test_category_codes_do_not_depend_on_the_order_of_the_rows():
    colours = ["red", "blue", None, "green"] * 15
    encoded = encoded_of({"c": colours, "x": np.arange(60) + 0.5, "label": LABELS})
    codes = dict(zip(colours, encoded.codes[:, 0].tolist(), strict=True))
    assert codes == {None: 0, "blue": 2, "green": 3, "red": 4}
    reversed_rows = encoded_of({"c": colours[::-1], "x": np.arange(60) + 0.5, "label": LABELS})
    assert reversed_rows.codes[:, 0].tolist() == encoded.codes[:, 0].tolist()[::-1]


def test_category_columns_share_one_table_without_overlap():
    encoded = encoded_of({"c": ["r", "g"] * 30, "d": ["x", "y", "z"] * 20, "label": LABELS})
    first, second = (set(encoded.codes[:, k].tolist()) for k in (0, 1))
    assert not first & second
    assert max(second) < encoded.n_codes


def test_a_time_is_split_into_its_parts():
    days = [f"2024-{1 + k % 12:02d}-{1 + k % 28:02d} {k % 24:02d}:00:00" for k in range(60)]
    encoded = encoded_of({"t": days, "label": LABELS})
    months = encoded.x[:, 1].tolist()
    assert np.diff(months[:3]).tolist() == [1.0, 1.0]
    assert encoded.x.shape[1] == 5


def test_pictures_are_ordered_by_content_not_by_position():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 1, 8, 8)).astype(np.uint8)
    labels = ["a", "b"] * 20
    order = rng.permutation(40)
    forth = schema.dataset(pa.table({"label": labels}), InputInfo("m", "npz"), ScanOptions(), images)
    back = schema.dataset(pa.table({"label": [labels[k] for k in order]}), InputInfo("m", "npz"), ScanOptions(), images[order])
    a, b = (encode(data, ModelConfig()) for data in (forth, back))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.y, b.y)
    assert a.row.tolist() == order[b.row].tolist()


def test_texts_of_a_batch_are_the_rows_of_the_matrix():
    notes = [f"word{k % 7} other{k % 3} the rest of row {k}" for k in range(60)]
    encoded = encoded_of({"note": notes, "label": LABELS})
    ids = torch.tensor([[5, 2], [0, 59]])
    term, start, weight = encoded.texts(ids)
    for at, row in enumerate([5, 2, 0, 59]):
        low, high = encoded.term_start[row], encoded.term_start[row + 1]
        end = start[at + 1] if at < 3 else len(term)
        assert torch.equal(term[start[at] : end], encoded.term[low:high])
        assert torch.equal(weight[start[at] : end], encoded.term_weight[low:high])


def test_vectors_are_standardised():
    vectors = np.random.default_rng(0).normal(5, 3, (60, 4)).astype(np.float32)
    encoded = encoded_of({"v": list(vectors), "label": LABELS})
    np.testing.assert_allclose(encoded.dense.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(encoded.dense.std(0, correction=0), 1, atol=1e-5)


def test_unlabelled_rows_are_encoded_without_a_class():
    encoded = encoded_of({"x": np.arange(60) + 0.5, "label": [None, "b", "a"] * 20})
    assert encoded.y.tolist()[:3] == [-1, 1, 0]
    assert encoded.labelled().sum() == 40


def test_rows_of_a_group_share_a_key():
    data = data_of({"x": np.arange(60) + 0.5, "who": ["ann", "bob", None] * 20, "label": LABELS}, group="who")
    keys = encode(data, ModelConfig()).fold_key
    assert len(set(keys[0::3])) == 1
    assert len(set(keys[1::3])) == 1
    assert len(set(keys[2::3])) == 20


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=50, unique=True))
def test_targets_come_back_from_their_scale(values):
    y = np.array(values)
    scale = targets.fit_target_scale(y)
    np.testing.assert_allclose(scale.back(scale.forward(y)), y, rtol=1e-6, atol=1e-6 * (np.abs(y).max() + 1))


def test_an_extreme_target_does_not_set_the_scale():
    y = np.r_[np.random.default_rng(0).normal(0, 1, 500), 1e9]
    assert targets.fit_target_scale(y).forward(np.array([1.0]))[0] == pytest.approx(1.0, abs=0.3)
