"""Budget shares of a loss-prioritised training, on a few given losses."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.evidence.evidence import Evidence, Round
from zcurate.evidence.planted import Planted
from zcurate.pipeline.trial import prioritization

TRAINING = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
HELDOUT = np.array([9.0, 1.0, 1.0, 1.0])
GROUPS = {"planted": np.array([1.0, 0, 0, 0]), "suspected": np.array([0, 0.5, 0, 0]), "clean": np.array([0, 0.5, 1.0, 1.0])}


def shares(rule, part):
    table = prioritization.budget_shares(TRAINING, HELDOUT, GROUPS)
    row = next(row for row in table if row["rule"] == rule and row["part"] == part)
    return [row[name] for name in GROUPS]


def test_the_first_row_is_the_share_of_the_data():
    assert shares("every row alike", None) == [0.25, 0.125, 0.625]


def test_selective_backpropagation_weighs_by_the_rank_of_the_loss():
    # Percentile ranks 4/4, 3/4, 2/4, 1/4 of the losses 4, 3, 2, 1.
    assert shares("CDF(loss)^1", 1) == pytest.approx([4 / 10, 1.5 / 10, 4.5 / 10])
    assert shares("CDF(loss)^2", 1) == pytest.approx([16 / 30, 4.5 / 30, 9.5 / 30])
    assert shares("CDF(loss)^1", 2) == pytest.approx([1 / 10, 1 / 10, 8 / 10])


def test_the_top_quarter_is_one_row_of_four():
    assert shares("top quarter by loss", 1) == [1.0, 0.0, 0.0]
    assert shares("top quarter by loss", 2) == [0.0, 0.0, 1.0]


def test_reducible_loss_ignores_rows_that_held_out_members_miss_too():
    assert shares("top quarter, reducible", 1) == [0.0, 0.5, 0.5]


def test_shares_sum_to_one_and_rows_without_a_loss_are_left_out():
    training = TRAINING.copy()
    training[:, 3] = np.nan
    for row in prioritization.budget_shares(training, HELDOUT, GROUPS):
        assert sum(row[name] for name in GROUPS) == pytest.approx(1)
    assert prioritization.budget_shares(training, HELDOUT, GROUPS)[0]["planted"] == pytest.approx(1 / 3)


def evidence(y, heldout, errors, planted):
    rounds = tuple(
        Round(y, Planted(np.array(at, np.int64), y[at], np.full(len(at), "uniform")), {}, heldout, {"error": np.array(error)}, 1.0)
        for error, at in zip(errors, planted, strict=True)
    )
    return Evidence(rounds, {}, {}, heldout, y)


def test_a_round_does_not_count_for_its_planted_rows():
    y, heldout = np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    first, second = [[0.0, 9.0]] * 4, [[2.0, 1.0]] * 8
    loss = prioritization.training_loss(evidence(y, heldout, [first, second], [[1], []]))
    assert loss.shape == (4, 2)
    # The parts of a round weigh by their epochs: one of the first's, two of the second's.
    np.testing.assert_allclose(loss[:, 0], (np.log(2) + 2 * np.logaddexp(0, 2)) / 3)
    np.testing.assert_allclose(loss[:, 1], np.logaddexp(0, 1))


def test_fewer_epochs_than_parts_still_fill_every_part():
    y, heldout = np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    loss = prioritization.training_loss(evidence(y, heldout, [[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]], [[]]))
    np.testing.assert_allclose(loss[:, 0], np.logaddexp(0, [0.0, 0.0, 1.0, 2.0]))


def test_held_out_loss_of_classes_and_targets():
    heldout = np.array([[0.75, 0.25], [0.0, 1.0], [0.5, 0.5]], np.float32)
    loss = prioritization.heldout_loss(evidence(np.array([1, 0, -1]), heldout, [[[0.0] * 3]], [[]]))
    np.testing.assert_allclose(loss, [np.log(4), -np.log(prioritization.SMALLEST_P), np.nan])
    far = prioritization.heldout_loss(evidence(np.array([1.0, -2.0]), np.array([[0.5, 0], [1.0, 0]], np.float32), [[[0.0] * 2]], [[]]))
    np.testing.assert_allclose(far, [0.5, 3.0])
