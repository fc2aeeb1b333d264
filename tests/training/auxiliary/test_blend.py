"""Blending of held-out predictions of several kinds of models."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.judge.test_judge import class_evidence
from zcurate.evidence import noise_model
from zcurate.evidence.heldout import AuxiliaryPredictions
from zcurate.training.auxiliary.blend import SHARES, blend, mix, negative_log_likelihood, temper_to


def probabilities(truth, signal, seed):
    """(N, 3) noisy probabilities of the true class."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (len(truth), 3))
    logits[np.arange(len(truth)), truth] += signal
    p = np.exp(logits)
    return (p / p.sum(1, keepdims=True)).astype(np.float32)


def evidence_and_truth(signal=2.0, n=2000):
    evidence, wrong = class_evidence(n=n, signal=signal)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, n)
    assert ((evidence.y != truth) == wrong).all()
    return evidence, truth


def auxiliary(rows, n_hard=0):
    return AuxiliaryPredictions(rows, rows[:n_hard])


def test_without_auxiliary_models_the_evidence_is_unchanged():
    evidence, _ = evidence_and_truth()
    blended, weights = blend(evidence, {})
    assert blended is evidence
    assert weights == {"members": 1.0}


def test_a_better_kind_has_most_weight_and_a_useless_one_none():
    evidence, truth = evidence_and_truth(signal=1.0)
    blended, weights = blend(evidence, {"forest": auxiliary(probabilities(truth, 6.0, 1)), "bayes 0.1": auxiliary(probabilities(truth, 0.0, 2))})
    share = weights["forest"]
    assert share in SHARES[1:]
    assert weights == {"members": 1 - share, "forest": share}
    assert (blended.heldout.argmax(1) == truth).mean() > 0.95
    np.testing.assert_allclose(blended.heldout.sum(1), 1, atol=1e-5)


def test_predictions_are_tempered_to_the_members():
    evidence, truth = evidence_and_truth(signal=3.0)
    rows, p = np.arange(2000), probabilities(truth, 3.0, 4)
    flat = (p**0.5 / (p**0.5).sum(1, keepdims=True)).astype(np.float32)
    sharpness = noise_model.estimate_noise(p, evidence.y).inverse_temperature
    np.testing.assert_allclose(temper_to(auxiliary(flat, 9), rows, evidence.y, sharpness).rows, p, atol=0.02)
    np.testing.assert_allclose(temper_to(auxiliary(flat, 9), rows, evidence.y, sharpness).hard, p[:9], atol=0.02)


def test_a_blend_of_equal_models_is_better_than_either():
    evidence, truth = evidence_and_truth(signal=2.0)
    blended, weights = blend(evidence, {"forest": auxiliary(probabilities(truth, 2.0, 5))})
    assert 0.15 <= weights["forest"] <= 0.75
    assert (blended.heldout.argmax(1) == truth).mean() > (evidence.heldout.argmax(1) == truth).mean()


def test_the_most_likely_setting_of_a_kind_is_used():
    evidence, truth = evidence_and_truth(signal=1.0)
    predictions = {f"boosted {stage}": auxiliary(probabilities(truth, signal, stage)) for stage, signal in ((15, 1.0), (30, 5.0), (60, 0.5))}
    assert set(blend(evidence, predictions)[1]) == {"members", "boosted 30"}


def test_with_few_rows_nothing_is_blended():
    evidence, truth = evidence_and_truth(signal=3.0, n=150)
    assert blend(evidence, {"forest": auxiliary(probabilities(truth, 1.5, 3))})[1] == {"members": 1.0}


def test_hard_examples_are_blended_with_the_same_weights():
    evidence, truth = evidence_and_truth(signal=1.0)
    own, others = probabilities(truth[:7], 1.0, 8), probabilities(truth, 6.0, 1)
    last = dataclasses.replace(evidence.rounds[-1], hard_row=np.arange(7), hard_heldout=own)
    blended, weights = blend(dataclasses.replace(evidence, rounds=(*evidence.rounds[:-1], last)), {"forest": AuxiliaryPredictions(others, others[:7])})
    tempered_others = temper_to(
        AuxiliaryPredictions(others, others[:7]), np.arange(2000), evidence.y, noise_model.estimate_noise(evidence.heldout, evidence.y).inverse_temperature
    )
    np.testing.assert_allclose(blended.rounds[-1].hard_heldout, mix(own, tempered_others.hard, weights["forest"]), atol=1e-6)


def test_unlabelled_rows_are_blended_but_do_not_affect_the_weights():
    evidence, truth = evidence_and_truth(signal=1.0)
    y = evidence.y.copy()
    y[:100] = -1
    blended, weights = blend(dataclasses.replace(evidence, y=y), {"forest": auxiliary(probabilities(truth, 6.0, 1))})
    assert weights["forest"] in SHARES[1:]
    assert (blended.heldout[:100].argmax(1) == truth[:100]).mean() > 0.95


def test_a_model_that_repeats_wrong_labels_is_less_likely_than_a_robust_one():
    evidence, truth = evidence_and_truth(signal=4.0)
    robust, overfitted = probabilities(truth, 5.0, 1), probabilities(evidence.y, 0.0, 1)
    overfitted = mix(overfitted, np.eye(3, dtype=np.float32)[evidence.y], 0.05)
    assert negative_log_likelihood(robust, evidence.y).mean() < negative_log_likelihood(overfitted, evidence.y).mean()
