"""What is noise and what is not, read off held-out predictions."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.evidence import heldout, noise_model


def noisy(noise, n=6000, sure=3.0, blur=1.0, seed=0):
    """Held-out probabilities of a calibrated model and labels sent through a noise matrix."""
    rng = np.random.default_rng(seed)
    n_classes = len(noise)
    truth = rng.integers(0, n_classes, n)
    logits = rng.normal(0, 1, (n, n_classes))
    logits[np.arange(n), truth] += sure
    p = np.exp(sure * logits)
    p /= p.sum(1, keepdims=True)
    p = p**blur
    p /= p.sum(1, keepdims=True)
    y = np.array([rng.choice(n_classes, p=noise[k]) for k in truth])
    return p.astype(np.float32), y, y != truth


SYMMETRIC = np.full((3, 3), 0.1) + 0.7 * np.eye(3)
ONE_WAY = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def test_the_count_keeps_each_given_label():
    heldout = np.array([[0.9, 0.1]] * 8 + [[0.1, 0.9]] * 2, np.float32)
    y = np.array([0] * 6 + [1] * 2 + [1] * 2)
    t = noise_model.confident_joint(heldout.argmax(1), y, 2)
    np.testing.assert_allclose(t.sum(1), 1)
    assert 0.15 < t[0, 1] < 0.3
    assert t[1, 0] == 0


@pytest.mark.parametrize("noise", [SYMMETRIC, ONE_WAY, np.eye(3)], ids=["symmetric", "one way", "none"])
def test_noise_that_does_not_depend_on_the_row_is_read_off_confident_rows(noise):
    p, y, _ = noisy(noise)
    found = noise_model.estimate_noise(p, y)
    np.testing.assert_allclose(found.noise, noise, atol=0.05)
    np.testing.assert_allclose(found.noise.sum(1), 1)
    np.testing.assert_allclose(found.ranking.sum(1), 1)
    if not np.allclose(noise, np.eye(3)):
        assert found.explained > 0.5


def test_disagreement_near_the_boundary_alone_is_not_explained():
    p, _, _ = noisy(np.eye(3), sure=1.5)
    order = np.sort(p, 1)
    near = order[:, 2] - order[:, 1] < 0.3
    y = np.where(near, p.argsort(1)[:, 1], p.argmax(1))
    assert near.mean() > 0.1
    assert noise_model.estimate_noise(p, y).explained < 0.2


@pytest.mark.parametrize("blur", [0.5, 1.0])
def test_blurred_probabilities_are_sharpened_back(blur):
    p, y, _ = noisy(SYMMETRIC, sure=1.5, blur=blur)
    assert noise_model.inverse_temperature(p, y, SYMMETRIC) == pytest.approx(1 / blur, rel=0.25)


def test_unlabelled_rows_do_not_count():
    p, y, _ = noisy(SYMMETRIC)
    with_gaps = y.copy()
    with_gaps[::7] = -1
    left = with_gaps >= 0
    np.testing.assert_array_equal(noise_model.estimate_noise(p, with_gaps).noise, noise_model.estimate_noise(p[left], y[left]).noise)


def test_the_lowest_place_is_found_as_scipy_finds_it():
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b, c = rng.random(3)

        def loss(x, a=a, b=b, c=c):
            return abs(x - 3 * a + 1) ** (1 + 3 * b) + 0.1 * np.sin(5 * x * c)

        expected = minimize_scalar(loss, bounds=(-1, 2), method="bounded", options={"maxiter": 25}).x
        assert noise_model.minimize_scalar(loss, -1, 2) == expected


def test_margins_and_rivals_are_those_counted_row_by_row(monkeypatch):
    monkeypatch.setattr("zcurate.arrays.chunk.CHUNK_NUMBERS", 100)
    p, y, _ = noisy(SYMMETRIC, n=3000)
    y[::9] = -1
    falling = np.sort(p, 1)[:, ::-1]
    rows = np.arange(len(y))
    others = np.where(np.arange(3)[None] == y[:, None], -1, p)
    expected = np.where(y >= 0, p[rows, y] - others.max(1), falling[:, 0] - falling[:, 1])
    np.testing.assert_array_equal(noise_model.margins(p, y), expected)
    np.testing.assert_array_equal(heldout.best_other(p, np.maximum(y, 0))[y >= 0], others.argmax(1)[y >= 0])
    np.testing.assert_array_equal(heldout.most_probable(p), p.argmax(1))
