"""The judge: skill, probabilities, thresholds and verdicts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from zcurate.evidence.evidence import LabelView, Round, label_views, merge
from zcurate.evidence.planted import Planted
from zcurate.judge import judge, skill, thresholds
from zcurate.judge.reasons import CODES
from zcurate.judge.thresholds import Cut


def curves(error):
    curve = error[None].astype(np.float32)
    return {"error": curve, "margin": -curve, "z": curve, "sieve": curve, "second": curve[:0]}


def class_evidence(n=600, n_classes=3, wrong_share=0.1, signal=4.0, seed=0, skilled=True):
    """Evidence of a calibrated model, from noisy logits of the true class, and the mask of wrong labels."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    wrong = rng.random(n) < wrong_share
    y = np.where(wrong, (truth + rng.integers(1, n_classes, n)) % n_classes, truth)
    rounds = []
    order = rng.permutation(n)
    for number in range(2):
        row = order[number * 30 : (number + 1) * 30]
        label = y.copy()
        label[row] = (y[row] + rng.integers(1, n_classes, 30)) % n_classes
        logits = rng.normal(0, 1, (n, n_classes))
        if skilled:
            logits[np.arange(n), truth] += signal
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        own = p[np.arange(n), label]
        error = np.log1p(-own) - np.log(own)
        columns = {name: np.zeros(n) for name in ("z_max", "z_last", "loss_mean", "confidence_mean", "confidence_std", "margin_mean", "spread_best")}
        columns |= {"n_seen": np.full(n, 12.0), "n_masked": (error > 2) * 6.0, "z_score": error, "margin_mean": -error}
        columns |= {"learned_epoch": np.where(error > 0, 4.0, 1.0), "n_forgotten": np.zeros(n)}
        rounds.append(Round(label, Planted(row, label[row], np.full(30, "uniform")), columns, p.astype(np.float32), curves(error), 1.0))
    return merge(tuple(rounds), y), truth != y


def target_evidence(n=800, seed=0):
    """Evidence of a regression model, and the mask of wrong targets."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    wrong = rng.random(n) < 0.1
    y = truth + rng.laplace(0, 0.1, n) + np.where(wrong, rng.choice([-1, 1], n) * (1 + rng.exponential(1, n)), 0)
    rounds = []
    order = rng.permutation(n)
    for number in range(2):
        row = order[number * 40 : (number + 1) * 40]
        label = y.copy()
        label[row] += rng.choice([-1, 1], 40) * (1 + rng.exponential(1, 40))
        residual = np.abs(label - truth) / 0.1
        columns = {name: np.zeros(n) for name in ("z_max", "z_last", "loss_mean", "confidence_mean", "confidence_std", "margin_mean")}
        columns |= {
            "n_seen": np.full(n, 12.0),
            "n_masked": np.zeros(n),
            "z_score": residual,
            "spread_best": residual,
            "learned_epoch": np.zeros(n),
            "n_forgotten": np.zeros(n),
        }
        heldout = np.stack([truth, np.full(n, np.log(0.1))], 1).astype(np.float32)
        rounds.append(Round(label, Planted(row, label[row], np.full(40, "shift")), columns, heldout, curves(residual), 1.0))
    return merge(tuple(rounds), y), wrong


def auroc(score, truth):
    order = np.argsort(np.argsort(score)) + 1
    return (order[truth].sum() - truth.sum() * (truth.sum() + 1) / 2) / (truth.sum() * (~truth).sum())


def test_wrong_rows_are_found_and_few_others_flagged():
    evidence, wrong = class_evidence()
    verdicts = judge.judge(evidence, Cut())
    flagged = verdicts.verdict == "incorrect"
    assert auroc(verdicts.p_incorrect, wrong) > 0.97
    assert (flagged & wrong).sum() / flagged.sum() > 0.85
    assert (flagged & wrong).sum() / wrong.sum() > 0.8
    assert verdicts.noise_rate[1] < wrong.mean() < verdicts.noise_rate[2]


def test_the_verdicts_follow_from_the_probabilities():
    evidence, _ = class_evidence(signal=2.0)
    v = judge.judge(evidence, Cut(threshold=0.3))
    total = v.p_incorrect + v.p_hard + v.p_outlier
    assert (total <= 1).all()
    clean = 1 - total
    suspect = (v.p_incorrect >= v.p_hard) & (v.p_incorrect > min(0.3, v.review))
    hard = (v.p_hard > clean) & (v.p_hard > v.p_incorrect)
    expected = np.select([v.p_incorrect > 0.3, v.p_outlier > 0.5, suspect, hard], ["incorrect", "outlier", "suspect", "hard"], "clean")
    assert v.verdict.tolist() == expected.tolist()


def test_the_threshold_changes_only_the_verdict_incorrect():
    evidence, _ = class_evidence(signal=2.0)
    low, high = (judge.judge(evidence, Cut(threshold=t)) for t in (0.2, 0.9))
    np.testing.assert_array_equal(low.p_incorrect, high.p_incorrect)
    np.testing.assert_array_equal(low.p_hard, high.p_hard)
    assert (low.verdict == "incorrect").sum() > (high.verdict == "incorrect").sum()


def test_a_stricter_cut_never_makes_a_row_hard():
    evidence, _ = class_evidence(signal=1.5)
    usual, strict = (judge.judge(evidence, Cut(threshold=t)) for t in (0.5, 0.99))
    assert ((usual.verdict == "hard") == (strict.verdict == "hard")).all()
    assert set(strict.verdict[usual.verdict == "incorrect"].tolist()) <= {"suspect", "incorrect", "clean"}
    assert (strict.verdict == "suspect").sum() > (usual.verdict == "suspect").sum()


def test_the_review_cut_has_the_greatest_expected_f1():
    p = np.random.default_rng(0).beta(0.3, 1.5, 4000)
    cut = thresholds.review_cut(np.append(p, np.nan))
    f1 = [2 * p[p > t].sum() / ((p > t).sum() + p.sum()) for t in np.linspace(0, 1, 1001)]
    assert np.argmax(f1) / 1000 == pytest.approx(cut, abs=0.002)
    assert max(f1) / 2 == pytest.approx(cut, abs=0.002)
    assert np.isnan(thresholds.review_cut(np.array([np.nan])))


def test_a_budget_flags_exactly_that_many_rows():
    evidence, _ = class_evidence()
    assert (judge.judge(evidence, Cut(budget=17)).verdict == "incorrect").sum() == 17


def test_a_precision_bounds_the_mean_probability_of_flagged_rows():
    evidence, _ = class_evidence(signal=2.0)
    for wanted in (0.7, 0.9):
        v = judge.judge(evidence, Cut(precision=wanted))
        flagged = v.verdict == "incorrect"
        assert flagged.any()
        assert v.p_incorrect[flagged].mean() >= wanted
        assert guarded(v.p_incorrect[flagged], v.reliability).mean() >= wanted


def guarded(p, reliability):
    odds = p.astype(float) / (1 - p.astype(float))
    lower = odds * np.exp(-thresholds.GUARD - thresholds.GUARD_UNRELIABLE * (1 - reliability))
    return lower / (1 + lower)


def test_the_lower_the_reliability_the_fewer_rows_a_precision_flags():
    p = np.linspace(0, 0.99, 500)
    flagged = [(p > thresholds.cut_at(Cut(precision=0.8), p, reliability)).sum() for reliability in (1.0, 0.5, 0.0)]
    assert flagged[0] > flagged[1] > flagged[2] > 0
    n = int(flagged[0])
    highest = np.sort(p)[::-1]
    assert guarded(highest[:n], 1.0).mean() >= 0.8 > guarded(highest[: n + 1], 1.0).mean()
    assert p[p > thresholds.cut_at(Cut(precision=0.8), p)].mean() == pytest.approx(0.88, abs=0.02)


def test_an_unreachable_precision_flags_nothing():
    assert thresholds.cut_at(Cut(precision=0.99), np.array([0.5, 0.4, np.nan])) == 1.0


def test_without_skill_nothing_is_judged():
    evidence, _ = class_evidence(skilled=False)
    verdicts = judge.judge(evidence, Cut())
    assert set(verdicts.verdict.tolist()) == {"unjudged"}
    assert np.isnan(verdicts.p_incorrect).all()
    assert "no better than chance" in verdicts.why


def test_false_skill_is_rare():
    alarms = sum(skill.measure_skill(class_evidence(n=300, skilled=False, seed=seed)[0]).enough for seed in range(200))
    assert alarms <= 2


def test_two_classes_show_skill():
    evidence, _ = class_evidence(n=600, n_classes=2)
    assert skill.measure_skill(evidence).enough


def test_too_few_rows_are_not_judged():
    evidence, _ = class_evidence(n=600)
    y = evidence.y.copy()
    y[10:] = -1
    mostly_unlabelled = dataclasses.replace(evidence, y=y)
    verdicts = judge.judge(mostly_unlabelled, Cut())
    assert verdicts.why == "10 labelled rows, 20 needed"
    assert (verdicts.verdict[10:] == "unlabelled").all()


def test_a_confident_suggestion_differs_from_the_wrong_label():
    evidence, wrong = class_evidence()
    verdicts = judge.judge(evidence, Cut())
    flagged = (verdicts.verdict == "incorrect") & wrong
    assert (verdicts.suggested[flagged] != evidence.y[flagged]).all()
    assert (verdicts.p_suggested[verdicts.suggested >= 0] > 0.5).all()


def test_reasons_are_known_codes_and_only_for_rows_that_are_not_clean():
    evidence, _ = class_evidence(signal=2.0)
    verdicts = judge.judge(evidence, Cut())
    assert verdicts.reasons.max() < len(CODES)
    np.testing.assert_array_equal(verdicts.reasons[:, 0] >= 0, np.isin(verdicts.verdict, ("incorrect", "hard", "outlier")))
    assert ((verdicts.reasons[:, 1:] < 0) | (verdicts.reasons[:, :-1] >= 0)).all()


def test_wrong_targets_are_found():
    evidence, wrong = target_evidence()
    verdicts = judge.judge(evidence, Cut())
    flagged = verdicts.verdict == "incorrect"
    assert (flagged & wrong).sum() / flagged.sum() > 0.9
    assert (flagged & wrong).sum() / wrong.sum() > 0.9
    assert verdicts.noise_rate[0] == pytest.approx(wrong.mean(), abs=0.05)


def test_an_unlabelled_row_stays_unlabelled_whatever_its_neighbors():
    evidence, _ = class_evidence(signal=2.0)
    y = evidence.y.copy()
    y[:30] = -1
    votes = {"neighbour_own": np.full(600, 0.5), "neighbour_other": np.full(600, 0.3)}
    verdicts = judge.judge(dataclasses.replace(evidence, y=y).with_columns(votes), Cut())
    assert (verdicts.verdict[:30] == "unlabelled").all() and np.isnan(verdicts.p_incorrect[:30]).all()
    assert not np.isnan(verdicts.p_incorrect[30:]).any()
    assert not np.isin(verdicts.verdict[30:], ("unlabelled", "unjudged")).any()
    assert np.isfinite(verdicts.noise_rate).all()


def test_a_distant_input_is_an_outlier_and_not_incorrect():
    evidence, _ = class_evidence()
    distance = np.random.default_rng(0).gamma(9, 0.1, 600)
    distance[0] = 500.0
    with_distance = evidence.with_columns({"distance": distance})
    v = judge.judge(with_distance, Cut())
    assert v.verdict[0] == "outlier"
    assert (v.verdict == "outlier").sum() == 1
    assert v.p_incorrect[0] < 0.01
    assert np.nanmax(judge.judge(evidence, Cut()).p_outlier) == 0


def test_an_isolated_row_is_an_outlier_without_extreme_columns():
    evidence, _ = class_evidence()
    isolation = np.random.default_rng(0).normal(0, 0.5, 600)
    isolation[3] = 4.0
    v = judge.judge(evidence.with_columns({"isolation": isolation}), Cut())
    assert v.p_outlier.argmax() == 3 and v.p_outlier[3] > 0.9


def test_a_view_of_planted_rows_holds_the_planted_labels():
    from zcurate.evidence.evidence import label_views

    evidence, _ = class_evidence()
    real, planted = label_views(evidence)
    assert isinstance(real, LabelView)
    np.testing.assert_array_equal(planted[0].label, evidence.rounds[0].training_label[evidence.rounds[0].planted.row])


@pytest.mark.parametrize("targets", [False, True])
def test_fitting_on_a_sample_nearly_equals_fitting_on_all_rows(monkeypatch, targets):
    evidence, wrong = target_evidence(n=6000) if targets else class_evidence(n=6000, signal=2.0)
    every = judge.judge(evidence, Cut())
    monkeypatch.setattr("zcurate.arrays.sample.MAX_FIT_ROWS", 3000)
    some = judge.judge(evidence, Cut())
    assert not np.array_equal(every.p_incorrect, some.p_incorrect)
    assert np.abs(every.p_incorrect - some.p_incorrect).mean() < 0.01
    assert (every.code != some.code).mean() < 0.02
    assert abs(every.noise_rate[0] - some.noise_rate[0]) < 0.005
    assert abs(auroc(every.p_incorrect, wrong) - auroc(some.p_incorrect, wrong)) < 0.003
    np.testing.assert_allclose([len(every.calibration), every.recall], [len(some.calibration), some.recall], atol=0.1)


def test_the_suggestion_is_the_given_label_where_that_is_probably_right():
    evidence, _ = class_evidence(signal=2.0)
    v = judge.judge(evidence, Cut())
    right = v.p_incorrect < 0.5
    np.testing.assert_array_equal(v.suggested[right], evidence.y[right])
    np.testing.assert_allclose(v.p_suggested[right], 1 - v.p_incorrect[right])
    real = dataclasses.replace(label_views(evidence)[0])
    best, p = judge.preferred_class(real, np.arange(600), v.p_incorrect)
    confident = p > 0.5
    np.testing.assert_array_equal(np.where(confident, best, -1), v.suggested)


def test_rounds_are_merged_over_those_that_trained_on_the_given_label(monkeypatch):
    monkeypatch.setattr("zcurate.arrays.chunk.CHUNK_NUMBERS", 100)
    evidence, _ = class_evidence(n=3000)
    first, second = evidence.rounds
    row = first.planted.row
    for name in ("margin_mean", "z_score", "z_max"):
        np.testing.assert_allclose(evidence.columns[name][row], second.columns[name][row], rtol=1e-14)
    assert (evidence.columns["n_seen"][row] == 12).all() and (np.delete(evidence.columns["n_seen"], np.r_[row, second.planted.row]) == 24).all()
    plain = np.setdiff1d(np.arange(3000), np.r_[row, second.planted.row])
    np.testing.assert_allclose(evidence.columns["margin_mean"][plain], (first.columns["margin_mean"] + second.columns["margin_mean"])[plain] / 2)
    np.testing.assert_allclose(evidence.heldout, (first.heldout + second.heldout) / 2)
