"""Corruption of rows and pictures, on small cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.bench import corruption

ROWS = np.array([1, 3])


@pytest.fixture
def host():
    table = {"a": [1, 2, 3, 4], "word": ["x", None, "y", "x"], "b": [0.0, 10.0, np.nan, 5.0], "c": [7, 7, 7, 7], "label": list("ijij")}
    return pd.DataFrame(table)


def assert_others_unchanged(before, after):
    others = np.setdiff1d(np.arange(len(before)), ROWS)
    pd.testing.assert_frame_equal(before.iloc[others], after.iloc[others])
    assert after["label"].tolist() == before["label"].tolist()
    assert after["word"].iloc[ROWS].isin(["x", "y"]).all()


def test_foreign_rows_take_the_donors_numbers_column_by_column_cyclically(host):
    donor = pd.DataFrame({"d": [100.4, 200.4], "text": ["p", "q"], "e": [-1.5, np.nan], "label": [9, 9]})
    after = corruption.with_foreign_rows(host, donor, ROWS, np.random.default_rng(0))
    assert_others_unchanged(host, after)
    assert set(after["a"].iloc[ROWS]) <= {100, 200}
    assert set(after["b"].iloc[ROWS]) == {-1.5}
    assert (after["a"] == after["c"]).iloc[ROWS].all()


def test_noise_is_uniform_over_three_times_the_range(host):
    wide = pd.concat([host] * 500, ignore_index=True)
    rows = np.arange(1000)
    after = corruption.with_noise_rows(wide, rows, np.random.default_rng(0))
    values = after["b"].iloc[rows]
    assert values.between(-10, 20).all()
    assert values.min() < -9 and values.max() > 19
    assert set(after["a"].iloc[rows]) == set(range(-2, 8))
    assert_others_unchanged(host, corruption.with_noise_rows(host, ROWS, np.random.default_rng(0)))


def test_random_labels_are_always_other_labels():
    labels = np.array(list("abca"))
    after = corruption.random_labels(labels, ROWS, np.random.default_rng(0))
    assert (after[ROWS] != labels[ROWS]).all() and after[[0, 2]].tolist() == ["a", "c"]
    assert set(after) <= set("abc")


@pytest.mark.parametrize("shape", [(4, 6), (5, 4, 3)])
def test_shuffling_keeps_the_pixels_and_permutes_every_picture_alike(shape):
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    first = corruption.pixels(corruption.shuffle_pixels(corruption.png(image), 0))
    inverted = corruption.pixels(corruption.shuffle_pixels(corruption.png(255 - image), 0))
    assert first.shape == shape and (first != image).any()
    assert sorted(first.ravel()) == sorted(image.ravel())
    assert ((255 - inverted) == first).all()


def test_gaussian_pixels_have_the_requested_mean_and_deviation():
    noise = corruption.pixels(corruption.gaussian_pixels(corruption.png(np.zeros((64, 64), np.uint8)), 120, 20, np.random.default_rng(0)))
    assert noise.shape == (64, 64)
    assert noise.mean() == pytest.approx(120, abs=2) and noise.std() == pytest.approx(20, abs=2)
