"""Votes and models together."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.judge.annotators import annotator_table, columns_of, find_consensus

N, C, RELIABILITY = 1500, 3, (0.95, 0.8, 0.6, 0.45)


@pytest.fixture(scope="module")
def rows():
    """True classes, votes (N, 4) of which each row has two or three, a consensus that is wrong here and there, and held-out probabilities."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, C, N)
    votes = np.stack([np.where(rng.random(N) < share, truth, (truth + rng.integers(1, C, N)) % C) for share in RELIABILITY], 1)
    votes[rng.random(votes.shape) < 0.4] = -1
    label = np.where(rng.random(N) < 0.15, (truth + 1) % C, truth)
    p = np.full((N, C), 0.15)
    p[np.arange(N), np.where(rng.random(N) < 0.85, truth, (truth + 1) % C)] = 0.7
    return truth, votes, label, p


def test_each_annotators_reliability_is_found(rows):
    _, votes, label, p = rows
    found = find_consensus(p, votes, label)
    np.testing.assert_allclose(found.reliability, RELIABILITY, atol=0.06)
    table = annotator_table(("a", "b", "c", "d"), found)
    assert [entry["name"] for entry in table] == ["d", "c", "b", "a"]
    assert all(entry["low"] < entry["reliability"] < entry["high"] for entry in table)


def test_votes_and_models_know_more_than_either(rows):
    truth, votes, label, p = rows
    found = find_consensus(p, votes, label)
    none = find_consensus(np.full((N, C), 1 / C), votes, label)
    together, by_votes, by_model = ((one.argmax(1) == truth).mean() for one in (found.posterior, none.posterior, p))
    assert together > max(by_votes, by_model) + 0.03
    wrong = label != truth
    voted = (votes >= 0).any(1)
    assert found.vote_ratio[wrong & voted].mean() > 1 and found.vote_ratio[~wrong & voted].mean() < -1
    assert (found.vote_ratio[~voted] == 0).all()


def test_models_that_know_nothing_are_not_believed(rows):
    _, votes, label, _ = rows
    rng = np.random.default_rng(1)
    noise = rng.dirichlet(np.ones(C), N)
    assert find_consensus(noise, votes, label).power <= 0.25


def test_columns_say_who_agrees_and_where_one_more_label_would_help(rows):
    _, votes, label, p = rows
    found = find_consensus(p, votes, label)
    columns = columns_of(found, votes, label)
    assert columns["n_annotations"].tolist() == (votes >= 0).sum(1).tolist()
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(columns["agreement"], ((votes == label[:, None]).sum(1) / (votes >= 0).sum(1)), rtol=1e-6)
    wants = columns["wants_label"] > 0
    assert 0 < wants.mean() < 0.7
    assert found.posterior[wants].max(1).mean() < found.posterior[~wants].max(1).mean()
