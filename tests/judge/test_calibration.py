"""Calibration of suspicion scores, isotonic regression, intervals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.judge.test_judge import class_evidence
from zcurate.judge import calibration, intervals, isotonic


def test_the_density_of_planted_errors_gives_the_share_of_wrong_rows_at_each_score():
    rng = np.random.default_rng(0)
    wrong = rng.random(4000) < 0.2
    s = np.where(wrong, rng.beta(6, 2, 4000), rng.beta(2, 6, 4000))
    planted = rng.beta(6, 2, 400)
    p = calibration.planted_density(s, planted, np.ones(400), 0.2)
    assert p.mean() == pytest.approx(0.2, abs=0.01)
    for low, high in ((0.3, 0.5), (0.5, 0.7), (0.8, 1.0)):
        in_range = (s >= low) & (s < high)
        assert p[in_range].mean() == pytest.approx(wrong[in_range].mean(), abs=0.08)


def test_planted_rows_are_weighted_by_the_transition_matrix():
    from zcurate.evidence.evidence import label_views

    evidence, _ = class_evidence(signal=3.0)
    real, _ = label_views(evidence)
    transition = np.array([[0.8, 0.2, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    real = dataclasses.replace(real, noise_model=dataclasses.replace(real.noise_model, transition=transition))
    weight = calibration.planted_weights(evidence, real, np.zeros(60))
    row, label = (np.concatenate([getattr(one.planted, name) for one in evidence.rounds]) for name in ("row", "label"))
    possible = (evidence.y[row] == 0) & (label == 1)
    assert (weight[possible] > 0).all() and (weight[~possible] == 0).all()
    assert (calibration.planted_weights(evidence, real, np.ones(60)) == 0).all()


def test_neighbors_of_every_class_do_not_support_a_prediction_against_the_label():
    from zcurate.evidence.evidence import label_views

    evidence, _ = class_evidence()
    share = np.where(np.arange(600) < 300, 0.1, 0.9)
    against = np.full((600, evidence.heldout.shape[1]), 0.05, np.float32)
    against[np.arange(600), (evidence.y + 1) % 3] = 0.9
    real, _ = label_views(dataclasses.replace(evidence.with_columns({"neighbour_other": share}), heldout=against))
    assert calibration.support(real, np.arange(300)).max() < 0.05 < 0.9 < calibration.support(real, np.arange(300, 600)).min()
    assert (calibration.support(label_views(evidence)[0], np.arange(600)) == 1).all()


def test_predictions_that_hardly_prefer_a_class_support_nothing():
    from zcurate.evidence.evidence import label_views

    evidence, _ = class_evidence()
    flat = np.full((600, 3), 0.32, np.float32)
    flat[np.arange(600), (evidence.y + 1) % 3] = 0.36
    real, _ = label_views(dataclasses.replace(evidence.with_columns({"neighbour_other": np.full(600, 0.9)}), heldout=flat))
    assert calibration.support(real, np.arange(600)).max() < 0.3


def test_isotonic_values_increase_and_preserve_the_mean():
    rng = np.random.default_rng(0)
    x = rng.random(500)
    y = (rng.random(500) < x).astype(float)
    out = isotonic.isotonic_curve(x, y, np.ones(500), np.sort(x))
    assert (np.diff(out) >= 0).all()
    assert out.mean() == pytest.approx(y.mean(), abs=0.03)


@pytest.mark.parametrize(("found", "n", "low", "high"), [(0, 20, 0.0, 0.17), (20, 20, 0.83, 1.0), (50, 100, 0.4, 0.6)])
def test_wilson_intervals(found, n, low, high):
    assert intervals.wilson(found, n) == pytest.approx((low, high), abs=0.015)


@pytest.mark.parametrize("kind", ["noisy", "decreasing", "increasing", "steps"])
def test_vectorised_pooling_equals_scipy(kind):
    from scipy.optimize import isotonic_regression

    rng = np.random.default_rng(3)
    n = 5000
    y = {
        "noisy": np.linspace(0, 1, n) + rng.normal(0, 0.3, n),
        "decreasing": -np.arange(n) * 1.0,
        "increasing": np.arange(n) * 1.0,
        "steps": rng.integers(0, 9, n) * 1.0,
    }[kind]
    weight = rng.random(n) + 0.1
    starts, level = isotonic.pool_adjacent(y, weight)
    expected = isotonic_regression(y, weights=weight)
    assert (np.diff(level) > 0).all()
    np.testing.assert_allclose(np.repeat(level, np.diff(starts, append=n)), expected.x, atol=1e-9)
