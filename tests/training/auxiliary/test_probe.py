"""The linear probe on features of a pre-trained network."""

from __future__ import annotations

import numpy as np
import torch

from zcurate.training.auxiliary import probe

RNG = np.random.default_rng(0)


def separable(n=600, width=80, n_classes=3, share=0.2):
    """Features around the centers of classes; labels of which a share is wrong at random; and which are."""
    true = RNG.integers(0, n_classes, n)
    centers = RNG.normal(0, 1, (n_classes, width))
    features = centers[true] + RNG.normal(0, 1.5, (n, width))
    wrong = RNG.random(n) < share
    given = np.where(wrong, (true + RNG.integers(1, n_classes, n)) % n_classes, true)
    standardized = (features - features.mean(0)) / features.std(0)
    return torch.from_numpy(standardized.astype(np.float32)), given.astype(np.int64), true, wrong


def test_held_out_predictions_know_the_true_class():
    features, given, true, wrong = separable()
    fold = np.arange(len(given)) % 5
    found = probe.fit_probe(features, given, fold, 3, features[:4], np.arange(4))
    assert set(found) == {f"probe {penalty:g}" for penalty in probe.PENALTIES}
    for one in found.values():
        assert one.rows.dtype == np.float32 and np.allclose(one.rows.sum(1), 1, atol=1e-5)
        assert (one.rows.argmax(1) == true).mean() > 0.95
        own = one.rows[np.arange(len(given)), given]
        assert np.median(own[wrong]) < 0.1 < 0.5 < np.median(own[~wrong])
        # A hard example is predicted by the model that has not seen its row.
        assert np.allclose(one.hard, one.rows[:4], atol=1e-5)


def test_a_row_does_not_decide_its_own_prediction():
    features, given, _, _ = separable()
    fold = np.arange(len(given)) % 5
    changed = given.copy()
    changed[0] = (given[0] + 1) % 3
    first, second = (probe.fit_probe(features, y, fold, 3, features[:0], np.zeros(0, np.int64))["probe 0.1"].rows[0] for y in (given, changed))
    assert np.allclose(first, second, atol=0.02)


def test_unlabelled_rows_are_predicted_and_not_learned():
    features, given, true, _ = separable()
    given[:100] = -1
    found = probe.fit_probe(features, given, np.arange(len(given)) % 5, 3, features[:0], np.zeros(0, np.int64))
    assert (found["probe 0.1"].rows[:100].argmax(1) == true[:100]).mean() > 0.9


def test_it_is_fitted_to_wide_vectors_that_fit_into_memory():
    assert probe.is_fitted(1280, 10_000) and not probe.is_fitted(8, 10_000) and not probe.is_fitted(1280, 1_000_000)
