"""The label-noise model, estimated from held-out predictions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from zcurate.evidence import noise_model


def noisy(transition, n=6000, signal=3.0, blur=1.0, seed=0):
    """Held-out probabilities of a calibrated model, and labels drawn through a transition matrix."""
    rng = np.random.default_rng(seed)
    n_classes = len(transition)
    truth = rng.integers(0, n_classes, n)
    logits = rng.normal(0, 1, (n, n_classes))
    logits[np.arange(n), truth] += signal
    p = np.exp(signal * logits)
    p /= p.sum(1, keepdims=True)
    p = p**blur
    p /= p.sum(1, keepdims=True)
    y = np.array([rng.choice(n_classes, p=transition[k]) for k in truth])
    return p.astype(np.float32), y, y != truth


SYMMETRIC = np.full((3, 3), 0.1) + 0.7 * np.eye(3)
ONE_WAY = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def test_the_confusion_is_calibrated_to_the_label_counts():
    p = np.array([[0.9, 0.1]] * 8 + [[0.1, 0.9]] * 2, np.float32)
    y = np.array([0] * 6 + [1] * 2 + [1] * 2)
    t = noise_model.calibrated_confusion(p.argmax(1), y, 2)
    np.testing.assert_allclose(t.sum(1), 1)
    assert 0.15 < t[0, 1] < 0.3
    assert t[1, 0] == 0


@pytest.mark.parametrize("transition", [SYMMETRIC, ONE_WAY, np.eye(3)], ids=["symmetric", "one way", "none"])
def test_row_independent_noise_is_estimated_from_confident_rows(transition):
    p, y, _ = noisy(transition)
    found = noise_model.estimate_noise(p, y)
    np.testing.assert_allclose(found.transition, transition, atol=0.05)
    np.testing.assert_allclose(found.transition.sum(1), 1)
    if not np.allclose(transition, np.eye(3)):
        assert found.explained_share > 0.5


def test_disagreement_near_the_boundary_alone_is_not_explained():
    p, _, _ = noisy(np.eye(3), signal=1.5)
    order = np.sort(p, 1)
    near = order[:, 2] - order[:, 1] < 0.3
    y = np.where(near, p.argsort(1)[:, 1], p.argmax(1))
    assert near.mean() > 0.1
    assert noise_model.estimate_noise(p, y).explained_share < 0.2


@pytest.mark.parametrize("blur", [0.5, 1.0])
def test_the_inverse_temperature_undoes_blur(blur):
    p, y, _ = noisy(SYMMETRIC, signal=1.5, blur=blur)
    assert noise_model.fit_inverse_temperature(p, y, SYMMETRIC) == pytest.approx(1 / blur, rel=0.25)


def test_unlabelled_rows_are_ignored():
    p, y, _ = noisy(SYMMETRIC)
    with_gaps = y.copy()
    with_gaps[::7] = -1
    labelled = with_gaps >= 0
    np.testing.assert_array_equal(noise_model.estimate_noise(p, with_gaps).transition, noise_model.estimate_noise(p[labelled], y[labelled]).transition)


def test_what_the_surroundings_do_not_back_is_scaled_down(monkeypatch):
    # As where the rows are too few to tell overlap.
    monkeypatch.setattr(noise_model, "OVERLAP", (2.0, 3.0))
    # Grades: every row could carry the neighboring classes, so that even the most confident rows disagree, and the class explains it all.
    rng = np.random.default_rng(0)
    n_classes, n = 20, 3000
    at = rng.uniform(0, n_classes, n)
    p = np.exp(-0.5 * ((np.arange(n_classes)[None] + 0.5 - at[:, None]) / 2.0) ** 2)
    p /= p.sum(1, keepdims=True)
    y = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    model = noise_model.estimate_noise(p.astype(np.float32), y)
    unaware = np.nanmean(noise_model.p_incorrect_under(p, y, model)[0])
    assert unaware > 0.4
    assert np.nanmean(noise_model.p_incorrect_under(p, y, model, np.full(n, 0.05))[0]) < 0.1
    # Where the surroundings back it, nothing changes.
    support = np.where(np.arange(n) % 2, 1.0, 0.5)
    assert np.nanmean(noise_model.p_incorrect_under(p, y, model, support)[0]) == pytest.approx(unaware, abs=0.05)


def overlapping(n=4000, n_classes=6, seed=0):
    """Probabilities of a calibrated model where no row is clear, and labels drawn from them: nothing is wrong."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(n_classes, 1.5), n)
    return p.astype(np.float32), np.array([rng.choice(n_classes, p=row) for row in p])


def share_of(transition, **settings):
    p, y, _ = noisy(transition, **settings)
    found = noise_model.estimate_noise(p, y)
    assert found.overlap == 0
    return found.row_specific


def test_overlap_gives_each_row_other_labels_and_noise_by_class_does_not():
    symmetric = np.full((6, 6), 0.06) + 0.64 * np.eye(6)
    p, y = overlapping()
    found = noise_model.estimate_noise(p, y)
    assert found.row_specific > 0.8
    # Most of the confident rows' disagreement is left out of the noise.
    assert found.overlap == 1
    assert np.diagonal(found.transition).min() > 0.9
    assert noise_model.p_incorrect_under(p, y, found)[0].mean() < 0.2 * (p.argmax(1) != y).mean()
    assert share_of(symmetric, n=4000) < 0.25
    # The class determines the other label: nothing shows whether the row would too.
    assert share_of(np.roll(0.2 * np.eye(6), 1, 1) + 0.8 * np.eye(6), n=4000) == 0
    assert share_of(np.array([[0.8, 0.2], [0.2, 0.8]]), n=2000) == 0


def test_the_interval_reaches_to_zero_under_overlap_and_holds_under_noise():
    p, y = overlapping()
    _, low, high = noise_model.p_incorrect_under(p, y, noise_model.estimate_noise(p, y))
    assert low < 0.05
    assert high > 0.2
    p, y, wrong = noisy(np.full((6, 6), 0.04) + 0.76 * np.eye(6), n=4000, signal=4.0)
    _, low, high = noise_model.p_incorrect_under(p, y, noise_model.estimate_noise(p, y))
    assert 0.5 * wrong.mean() < low <= high < 1.5 * wrong.mean()


def test_the_upper_bound_is_the_disagreement_where_nothing_is_known():
    p, y, _ = noisy(np.eye(3), signal=1.0, blur=1.0)
    model = dataclasses.replace(noise_model.estimate_noise(p, y), explained_share=0.0, reliability=0.0, inverse_temperature=1.0)
    _, low, high = noise_model.p_incorrect_under(p, y, model)
    assert low == 0
    assert high == pytest.approx((p.argmax(1) != y).mean())
