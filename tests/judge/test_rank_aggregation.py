"""Weights of the signals."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.judge.test_judge import class_evidence
from zcurate.judge import judge, rank_aggregation
from zcurate.judge.thresholds import Cut


def test_an_added_signal_gets_weight_only_if_planted_errors_support_it():
    evidence, wrong = class_evidence(signal=2.0)
    rng = np.random.default_rng(0)
    noise = {"neighbour_own": rng.random(600), "neighbour_other": rng.random(600)}
    rounds = tuple(dataclasses.replace(one, columns={**one.columns, **noise}) for one in evidence.rounds)
    useless = dataclasses.replace(evidence, rounds=rounds).with_columns(noise)
    assert "neighbour_labels" not in judge.judge(useless, Cut()).weights
    with_neighbors = []
    for one in evidence.rounds:
        suspect = wrong.copy()
        suspect[one.planted.row] = True
        with_neighbors.append(dataclasses.replace(one, columns={**one.columns, "neighbour_own": 1.0 - suspect, "neighbour_other": suspect * 1.0}))
    useful = dataclasses.replace(evidence, rounds=tuple(with_neighbors)).with_columns({"neighbour_own": 1.0 - wrong, "neighbour_other": wrong * 1.0})
    assert judge.judge(useful, Cut()).weights["neighbour_labels"] == rank_aggregation.OTHER_SIGNAL_WEIGHT
