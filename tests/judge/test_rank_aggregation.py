"""Weights of the clues."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.judge.test_judge import made
from zcurate.judge import judge, rank_aggregation
from zcurate.judge.thresholds import Cut


def test_an_added_clue_counts_only_if_planted_errors_bear_it_out():
    evidence, wrong = made(sure=2.0)
    rng = np.random.default_rng(0)
    noise = {"neighbour_own": rng.random(600), "neighbour_other": rng.random(600)}
    rounds = tuple(dataclasses.replace(one, columns={**one.columns, **noise}) for one in evidence.rounds)
    useless = dataclasses.replace(evidence, rounds=rounds).with_columns(noise)
    assert "neighbour_labels" not in judge.judge(useless, Cut()).weights
    told = []
    for one in evidence.rounds:
        suspect = wrong.copy()
        suspect[one.planted.row] = True
        told.append(dataclasses.replace(one, columns={**one.columns, "neighbour_own": 1.0 - suspect, "neighbour_other": suspect * 1.0}))
    telling = dataclasses.replace(evidence, rounds=tuple(told)).with_columns({"neighbour_own": 1.0 - wrong, "neighbour_other": wrong * 1.0})
    assert judge.judge(telling, Cut()).weights["neighbour_labels"] == rank_aggregation.OTHER_SIGNAL_WEIGHT
