"""Naive Bayes on TF-IDF weights."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from zcurate.training.auxiliary import naive_bayes


def csr(x):
    m = scipy.sparse.csr_matrix(np.asarray(x, np.float32))
    return m.indices.astype(np.int64), m.indptr.astype(np.int64), m.data, m.shape[1]


def test_the_posterior_equals_a_manual_calculation_from_the_other_folds():
    x = [[1, 0], [0, 2], [1, 1], [3, 0]]
    y, fold = np.array([0, 1, 1, 0]), np.array([1, 1, 1, 0])
    predictions = naive_bayes.fit_naive_bayes(*csr(x), y, fold, 2)["bayes 0.1"]
    counts = np.array([[1, 0], [1, 3]]) + 0.1
    share = counts / counts.sum(1, keepdims=True)
    odds = np.array([1 / 3, 2 / 3]) * share[:, 0] ** 3
    np.testing.assert_allclose(predictions.rows[3], odds / odds.sum(), rtol=1e-5)
    assert predictions.hard.shape == (0, 2)


def test_predictions_do_not_depend_on_the_row_s_own_label():
    rng = np.random.default_rng(0)
    x, y, fold = rng.random((60, 9)) * (rng.random((60, 9)) < 0.3), rng.integers(0, 3, 60), np.arange(60) % 4
    flipped = np.where(fold == 2, (y + 1) % 3, y)
    for name, predictions in naive_bayes.fit_naive_bayes(*csr(x), y, fold, 3).items():
        again = naive_bayes.fit_naive_bayes(*csr(x), flipped, fold, 3)[name]
        np.testing.assert_array_equal(predictions.rows[fold == 2], again.rows[fold == 2])
        np.testing.assert_allclose(predictions.rows.sum(1), 1, atol=1e-5)


def test_unlabelled_rows_are_ignored_and_a_class_without_rows_is_improbable():
    x, y, fold = [[1, 0], [0, 1], [1, 0], [0, 1]], np.array([0, 1, -1, -1]), np.array([0, 0, 1, 1])
    predictions = naive_bayes.fit_naive_bayes(*csr(x), y, fold, 3)["bayes 0.1"]
    assert predictions.rows[2].argmax() == 0
    assert predictions.rows[3].argmax() == 1
    assert predictions.rows[2:, 2].max() < 0.35
    np.testing.assert_allclose(predictions.rows[:2], 1 / 3)


def test_too_many_classes_disable_the_model():
    assert naive_bayes.fit_naive_bayes(*csr([[1.0]]), np.zeros(1, np.int64), np.zeros(1, np.int64), naive_bayes.MAX_CELLS + 1) == {}


@pytest.mark.parametrize("scale", [1e-30, 1e6])
def test_extreme_weights_stay_finite(scale):
    rng = np.random.default_rng(0)
    predictions = naive_bayes.fit_naive_bayes(*csr(rng.random((20, 4)) * scale), rng.integers(0, 2, 20), np.arange(20) % 4, 2)["bayes 0.3"]
    assert np.isfinite(predictions.rows).all()
