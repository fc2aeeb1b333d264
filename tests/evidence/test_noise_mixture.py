"""The mixture of kinds of label noise: it tells them apart, and ranks rows accordingly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.evidence.test_heldout import probabilities
from zcurate.evidence import noise_mixture, noise_model

N, C = 4000, 8


def noisy(kind, rate=0.15, seed=0):
    """Blurred held-out probabilities, labels with one kind of noise, and which of them are wrong."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, C, N)
    logits = rng.normal(0, 1.3, (N, C))
    logits[np.arange(N), true] += 3.5
    sharp = np.exp(logits)
    sharp /= sharp.sum(1, keepdims=True)
    blurred = sharp ** (1 / 1.8)
    blurred /= blurred.sum(1, keepdims=True)
    wrong = rng.random(N) < rate
    if kind == "rows":
        # Rows that could be taken for another class are, as often as the models take them for it.
        wrong &= rng.random(N) < 3 * (1 - blurred.max(1))
        rivals = np.where(np.eye(C, dtype=bool)[true], 0, blurred)
        other = (rng.random((N, 1)) < (rivals / rivals.sum(1, keepdims=True)).cumsum(1)).argmax(1)
    else:
        other = (true + 1) % C if kind == "classes" else (true + rng.integers(1, C, N)) % C
    return blurred.astype(np.float32), np.where(wrong, other, true), wrong


def fitted(p, y):
    return noise_model.estimate_all_noise(p, y).mixture


def off_diagonal_share(mixture):
    """Share of labels that each kind of noise makes wrong: at random, by the classes, by the row."""
    by_class = 1 - np.diagonal(mixture.transition).mean()
    return np.array([mixture.weights[1], mixture.weights[2] * by_class, mixture.weights[3]])


@pytest.mark.parametrize(("kind", "place"), [("random", 0), ("classes", 1), ("rows", 2)])
def test_the_kind_of_noise_is_told(kind, place):
    p, y, wrong = noisy(kind)
    share = off_diagonal_share(fitted(p, y))
    if kind == "random":
        # The transition matrix of noise at random is even, so that both may explain it.
        assert share[:2].sum() == pytest.approx(wrong.mean(), abs=0.03) and share[2] < 0.03
    else:
        assert share.argmax() == place


@pytest.mark.parametrize("kind", ["random", "classes", "rows"])
def test_rows_rank_as_well_as_by_the_best_single_rule(kind):
    """Under noise at random the least probable labels are wrong, under row-dependent noise those with the most probable rival."""
    p, y, wrong = noisy(kind, seed=1)
    rows = np.arange(N)
    own = p[rows, y]
    rival = np.where(np.eye(C, dtype=bool)[y], -1, p).max(1)
    found = average_precision_score(wrong, fitted(p, y).p_wrong(p, y))
    rules = {"probability": average_precision_score(wrong, -own), "margin": average_precision_score(wrong, rival - own)}
    assert found > max(rules.values()) - 0.015
    assert kind != "classes" or found > max(rules.values()) + 0.02


def test_weights_are_a_distribution_and_unlabelled_rows_have_no_posterior():
    p, y, _ = noisy("random")
    y[:5] = -1
    mixture = fitted(p, y)
    assert sum(mixture.weights) == pytest.approx(1) and min(mixture.weights) >= 0
    posterior = mixture.p_wrong(p, y)
    assert np.isnan(posterior[:5]).all() and ((posterior[5:] >= 0) & (posterior[5:] <= 1)).all()


def test_no_labels_fit_nothing():
    p, _, _ = noisy("random")
    assert noise_mixture.fit_mixture(p, np.full(N, -1), np.eye(C)).weights == noise_mixture.START


def test_top_k_probabilities_give_the_same_posterior():
    dense, top_k, label = probabilities()
    transition = noise_model.with_diagonal(np.random.default_rng(1).dirichlet(np.ones(dense.shape[1]), dense.shape[1]) * 0.3)
    for power in (1.0, 2.0):
        one, two = (noise_mixture.components(p, label, transition, power) for p in (top_k, dense))
        np.testing.assert_allclose(one, two, atol=1e-4)
    mixture = noise_mixture.NoiseMixture((0.6, 0.1, 0.2, 0.1), transition)
    np.testing.assert_allclose(mixture.p_wrong(top_k, label), mixture.p_wrong(dense, label), atol=1e-4)


def test_two_classes_are_one_pair():
    """With two classes noise at random and by the row are the same."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.99, 3000).astype(np.float32)
    found = noise_mixture.components(np.stack([1 - p, p], 1), rng.integers(0, 2, 3000), np.eye(2), 2.0)
    np.testing.assert_allclose(found[1], found[3], atol=2e-3)
