"""Weights of the signals."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.judge.test_judge import class_evidence
from zcurate import plugins
from zcurate.judge import judge, rank_aggregation
from zcurate.judge.thresholds import Cut


def test_an_added_signal_gets_weight_only_if_planted_errors_support_it(monkeypatch):
    # A signal like any other that a user adds.
    monkeypatch.setitem(plugins.SIGNALS, "added", plugins.SIGNALS["neighbour_labels"])
    clues = (*plugins.default_signals(), "added")
    evidence, wrong = class_evidence(signal=2.0)
    rng = np.random.default_rng(0)
    noise = {"neighbour_own": rng.random(600), "neighbour_other": rng.random(600)}
    rounds = tuple(dataclasses.replace(one, columns={**one.columns, **noise}) for one in evidence.rounds)
    useless = dataclasses.replace(evidence, rounds=rounds).with_columns(noise)
    weights = judge.judge(useless, Cut(), clues).weights
    assert "added" not in weights and weights["neighbour_labels"] == 0
    with_neighbors = []
    for one in evidence.rounds:
        suspect = wrong.copy()
        suspect[one.planted.row] = True
        with_neighbors.append(dataclasses.replace(one, columns={**one.columns, "neighbour_own": 1.0 - suspect, "neighbour_other": suspect * 1.0}))
    useful = dataclasses.replace(evidence, rounds=tuple(with_neighbors)).with_columns({"neighbour_own": 1.0 - wrong, "neighbour_other": wrong * 1.0})
    assert judge.judge(useful, Cut(), clues).weights["added"] == rank_aggregation.OTHER_SIGNAL_WEIGHT
