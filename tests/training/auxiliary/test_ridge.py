"""Ridge regression on more columns than rows."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.training.auxiliary import ridge


def table(n, p, informative, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    x = rng.normal(size=(n, p))
    x[:, :informative] += rng.normal(0, 1.5, (n_classes, informative))[y]
    return (x - x.mean(0)).astype(np.float32), y, np.arange(n) % 5


@pytest.mark.parametrize(("n", "p", "informative", "n_classes"), [(80, 1000, 10, 2), (100, 600, 40, 3), (90, 2000, 200, 4)])
def test_held_out_rows_are_predicted_from_few_or_many_of_very_many_columns(n, p, informative, n_classes):
    x, y, fold = table(n, p, informative, n_classes)
    p_rows = ridge.fit_ridge(x, y, fold, n_classes, x[:0], np.zeros(0, int))["ridge"].rows
    assert p_rows.shape == (n, n_classes)
    assert np.allclose(p_rows.sum(1), 1, atol=1e-5)
    assert (p_rows.argmax(1) == y).mean() > 0.8


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_columns_are_chosen_without_a_look_at_the_rows_they_predict(n_classes):
    x, y, fold = table(100, 1500, 0, n_classes)
    p_rows = ridge.fit_ridge(x, y, fold, n_classes, x[:0], np.zeros(0, int))["ridge"].rows
    assert (p_rows.argmax(1) == y).mean() < 1 / n_classes + 0.2


def test_a_label_does_not_change_the_prediction_of_its_own_row_before_the_scale_is_fitted():
    x, y, fold = table(60, 300, 20, 2)
    changed = y.copy()
    changed[7] = 1 - changed[7]

    def scores(labels):
        train, heldout = np.flatnonzero(fold != fold[7]), np.array([7])
        standardized, f = ridge.standardize_by(x, np.eye(2)[labels], train)
        return ridge.predict(standardized, f, np.eye(2)[labels], train, heldout)

    assert np.array_equal(scores(y), scores(changed))


def test_hard_examples_are_predicted_by_the_model_that_never_saw_their_row():
    x, y, fold = table(80, 400, 40, 2)
    hard_row = np.array([3, 9])
    found = ridge.fit_ridge(x, y, fold, 2, x[hard_row], hard_row)["ridge"]
    assert np.allclose(found.hard, found.rows[hard_row], atol=1e-4)


def test_constant_columns_and_unlabelled_rows_are_left_aside():
    x, y, fold = table(80, 400, 40, 2)
    x[:, 5] = 0
    y[:4] = -1
    found = ridge.fit_ridge(x, y, fold, 2, x[:0], np.zeros(0, int))["ridge"].rows
    assert np.isfinite(found).all()
    assert (found.argmax(1) == y)[4:].mean() > 0.8


def test_predictions_that_the_labels_cannot_tell_apart_are_averaged():
    y = np.array([0, 1] * 10)
    good, as_good = np.where(y[:, None] == [[0, 1]], 0.9, 0.1), np.where(y[:, None] == [[0, 1]], 0.88, 0.12)
    as_good[0] = [0.95, 0.05]
    bad = 1 - good
    assert np.allclose(ridge.average_of_likeliest([good, bad], y), good)
    assert not np.allclose(ridge.average_of_likeliest([as_good, as_good[::-1] * 0 + 0.5], y), 0.5)
