"""Held-out predictions of several kinds of models put together."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.judge.test_judge import class_evidence
from zcurate.evidence import noise_model
from zcurate.evidence.heldout import AuxiliaryPredictions
from zcurate.training.auxiliary.blend import SHARES, blend, mix, negative_log_likelihood, temper_to


def predictions(truth, sure, seed):
    """(N, 3) noisy probabilities of the true class."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (len(truth), 3))
    logits[np.arange(len(truth)), truth] += sure
    p = np.exp(logits)
    return (p / p.sum(1, keepdims=True)).astype(np.float32)


def evidence_and_truth(sure=2.0, n=2000):
    evidence, wrong = class_evidence(n=n, signal=sure)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, n)
    assert ((evidence.y != truth) == wrong).all()
    return evidence, truth


def held(rows, n_hard=0):
    return AuxiliaryPredictions(rows, rows[:n_hard])


def test_nobody_else_leaves_the_evidence_as_it_is():
    evidence, _ = evidence_and_truth()
    same, weights = blend(evidence, {})
    assert same is evidence
    assert weights == {"members": 1.0}


def test_a_better_kind_counts_most_and_a_useless_one_nothing():
    evidence, truth = evidence_and_truth(sure=1.0)
    found, weights = blend(evidence, {"forest": held(predictions(truth, 6.0, 1)), "bayes 0.1": held(predictions(truth, 0.0, 2))})
    share = weights["forest"]
    assert share in SHARES[1:]
    assert weights == {"members": 1 - share, "forest": share}
    assert (found.heldout.argmax(1) == truth).mean() > 0.95
    np.testing.assert_allclose(found.heldout.sum(1), 1, atol=1e-5)


def test_a_blurred_kind_is_made_as_sharp_as_the_members():
    evidence, truth = evidence_and_truth(sure=3.0)
    rows, p = np.arange(2000), predictions(truth, 3.0, 4)
    blurred = (p**0.5 / (p**0.5).sum(1, keepdims=True)).astype(np.float32)
    sharpness = noise_model.estimate_noise(p, evidence.y).inverse_temperature
    np.testing.assert_allclose(temper_to(held(blurred, 9), rows, evidence.y, sharpness).rows, p, atol=0.02)
    np.testing.assert_allclose(temper_to(held(blurred, 9), rows, evidence.y, sharpness).hard, p[:9], atol=0.02)


def test_two_equal_halves_are_better_than_either():
    evidence, truth = evidence_and_truth(sure=2.0)
    found, weights = blend(evidence, {"forest": held(predictions(truth, 2.0, 5))})
    assert 0.15 <= weights["forest"] <= 0.75
    assert (found.heldout.argmax(1) == truth).mean() > (evidence.heldout.argmax(1) == truth).mean()


def test_the_likeliest_setting_of_a_kind_is_taken():
    evidence, truth = evidence_and_truth(sure=1.0)
    said = {f"boosted {stage}": held(predictions(truth, sure, stage)) for stage, sure in ((15, 1.0), (30, 5.0), (60, 0.5))}
    assert set(blend(evidence, said)[1]) == {"members", "boosted 30"}


def test_few_rows_keep_to_the_members():
    evidence, truth = evidence_and_truth(sure=3.0, n=150)
    assert blend(evidence, {"forest": held(predictions(truth, 1.5, 3))})[1] == {"members": 1.0}


def test_hard_cases_are_mixed_with_the_same_weights():
    evidence, truth = evidence_and_truth(sure=1.0)
    own, others = predictions(truth[:7], 1.0, 8), predictions(truth, 6.0, 1)
    last = dataclasses.replace(evidence.rounds[-1], hard_row=np.arange(7), hard_heldout=own)
    found, weights = blend(dataclasses.replace(evidence, rounds=(*evidence.rounds[:-1], last)), {"forest": AuxiliaryPredictions(others, others[:7])})
    tempered_others = temper_to(
        AuxiliaryPredictions(others, others[:7]), np.arange(2000), evidence.y, noise_model.estimate_noise(evidence.heldout, evidence.y).inverse_temperature
    )
    np.testing.assert_allclose(found.rounds[-1].hard_heldout, mix(own, tempered_others.hard, weights["forest"]), atol=1e-6)


def test_unlabelled_rows_are_mixed_and_do_not_choose():
    evidence, truth = evidence_and_truth(sure=1.0)
    y = evidence.y.copy()
    y[:100] = -1
    found, weights = blend(dataclasses.replace(evidence, y=y), {"forest": held(predictions(truth, 6.0, 1))})
    assert weights["forest"] in SHARES[1:]
    assert (found.heldout[:100].argmax(1) == truth[:100]).mean() > 0.95


def test_a_model_that_repeats_wrong_labels_is_no_likelier_than_one_that_does_not():
    evidence, truth = evidence_and_truth(sure=4.0)
    robust, parrot = predictions(truth, 5.0, 1), predictions(evidence.y, 0.0, 1)
    parrot = mix(parrot, np.eye(3, dtype=np.float32)[evidence.y], 0.05)
    assert negative_log_likelihood(robust, evidence.y).mean() < negative_log_likelihood(parrot, evidence.y).mean()
