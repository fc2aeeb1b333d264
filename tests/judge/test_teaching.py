"""Teaching: rows are drawn where answers tell most, and few answers correct level and ranking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.judge import teaching
from zcurate.judge.teaching import Answers


def sets(n=4000, shift=1.2, seed=0):
    """Probabilities that are off by `shift` on the log-odds, and truth."""
    rng = np.random.default_rng(seed)
    right = 1 / (1 + np.exp(-rng.normal(-2.5, 2.5, n)))
    return teaching.sigmoid(teaching.log_odds(right) + shift), rng.random(n) < right


def answer(p, wrong, n, seed=0):
    row, probability = teaching.draw_rows(p, n, np.random.default_rng(seed))
    return Answers(row, wrong[row], probability)


@pytest.mark.parametrize("shift", [-1.2, 1.2])
def test_twenty_five_answers_bring_the_number_of_wrong_rows_nearer(shift):
    before, after, after_many = [], [], []
    for seed in range(8):
        p, wrong = sets(shift=shift, seed=seed)
        before.append(abs(p.sum() / wrong.sum() - 1))
        after.append(abs(teaching.teach(p, {}, answer(p, wrong, 25, seed)).p.sum() / wrong.sum() - 1))
        after_many.append(abs(teaching.teach(p, {}, answer(p, wrong, 200, seed)).p.sum() / wrong.sum() - 1))
    assert np.mean(after) < 0.6 * np.mean(before)
    assert np.mean(after_many) < 0.6 * np.mean(after)


def test_the_interval_holds_the_true_share_nineteen_times_in_twenty():
    held = []
    for seed in range(60):
        p, wrong = sets(shift=np.random.default_rng(seed).normal(0, 0.8), seed=seed)
        low, high = teaching.teach(p, {}, answer(p, wrong, 25, seed)).rate[1:]
        held.append(low <= wrong.mean() <= high)
    assert 0.88 <= np.mean(held) <= 1


def test_a_clue_that_answers_agree_with_gets_weight_and_ranks():
    rng = np.random.default_rng(1)
    p, _ = sets(shift=0)
    useful, useless = rng.normal(size=len(p)), rng.normal(size=len(p))
    wrong = rng.random(len(p)) < teaching.sigmoid(teaching.log_odds(p) + useful)
    ranks = {name: (np.argsort(np.argsort(values)) + 0.5) / len(p) for name, values in (("useful", useful), ("useless", useless))}
    taught = teaching.teach(p, ranks, answer(p, wrong, 200))
    assert taught.weights["useful"] > 0.4 > 4 * abs(taught.weights["useless"])


def test_answers_of_chosen_rows_count_less():
    p, wrong = sets()
    drawn = answer(p, wrong, 25)
    chosen = Answers(drawn.row, drawn.wrong, np.full(25, np.nan))
    assert abs(teaching.teach(p, {}, chosen).level) < abs(teaching.teach(p, {}, drawn).level)


def test_answered_rows_are_settled_and_contradictions_measured():
    p, _ = sets(shift=0)
    row = np.argsort(-p)[:25]
    taught = teaching.teach(p, {}, Answers(row, np.zeros(25, bool), np.ones(25)))
    assert (taught.p[row] == 0).all()
    assert taught.surprise < -teaching.CONTRADICTION
    assert taught.level < 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 80), st.integers(0, 9))
def test_rows_are_drawn_once_with_the_probability_that_is_told(values, n, seed):
    p = np.array(values)
    expected = teaching.draw_probabilities(p, min(n, len(p)))
    row, probability = teaching.draw_rows(p, n, np.random.default_rng(seed))
    assert expected.sum() == pytest.approx(min(n, len(p)))
    assert len(set(row.tolist())) == len(row) == min(n, len(p))
    np.testing.assert_allclose(probability, expected[row])


def test_how_often_a_row_is_drawn_is_its_probability():
    p = np.array([0.001, 0.2, 0.5, 0.9, 0.97, 0.03, 0.5])
    count = np.zeros(len(p))
    for seed in range(3000):
        count[teaching.draw_rows(p, 3, np.random.default_rng(seed))[0]] += 1
    np.testing.assert_allclose(count / 3000, teaching.draw_probabilities(p, 3), atol=0.03)


def test_a_clue_without_values_or_spread_says_nothing():
    p, _ = sets(n=100)
    assert (teaching.beyond_ranking(p, np.full(100, np.nan)) == 0).all()
    assert (teaching.beyond_ranking(p, np.full(100, 0.3)) == 0).all()
