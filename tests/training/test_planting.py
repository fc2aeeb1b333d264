"""Planted errors are wrong, in the right rows, and determined by the seed."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.evidence.planted import CLASS_KINDS, TARGET_KINDS
from zcurate.training import planting


def probabilities(y, n_classes, confidence=0.8):
    p = np.full((len(y), n_classes), (1 - confidence) / (n_classes - 1))
    p[np.arange(len(y)), y] = confidence
    return p


Y = np.arange(400) % 4


@pytest.mark.parametrize("kinds", [("uniform",), ("confused",), ("boundary",), CLASS_KINDS])
def test_planted_labels_are_wrong_and_rows_are_distinct(kinds):
    p = None if kinds == ("uniform",) else probabilities(Y, 4)
    planted = planting.plant_classes(Y, np.arange(0, 400, 2), 4, 60, kinds, p, np.random.default_rng(0))
    assert len(planted.row) == 60
    assert len(set(planted.row.tolist())) == 60
    assert (planted.row % 2 == 0).all()
    assert (planted.label != Y[planted.row]).all()
    assert set(planted.kind.tolist()) == set(kinds)


def test_confused_errors_follow_the_confusion():
    p = probabilities(Y, 4)
    p[Y == 0] = [0.6, 0.0, 0.0, 0.4]
    planted = planting.plant_classes(Y, np.flatnonzero(Y == 0), 4, 40, ("confused",), p, np.random.default_rng(0))
    assert (planted.label == 3).mean() > 0.95


def test_boundary_errors_are_near_the_boundary():
    p = probabilities(Y, 4, 0.97)
    p[:100] = probabilities(Y[:100], 4, 0.4)
    planted = planting.plant_classes(Y, np.arange(400), 4, 50, ("boundary",), p, np.random.default_rng(0))
    assert (planted.row < 100).mean() > 0.6


def test_rows_that_the_model_considers_wrong_are_not_chosen():
    p = probabilities(Y, 4)
    p[:40, :] = probabilities((Y[:40] + 1) % 4, 4, 0.999)
    planted = planting.plant_classes(Y, np.arange(400), 4, 100, ("uniform",), p, np.random.default_rng(0))
    assert (planted.row < 40).sum() <= 1


def test_the_seed_determines_the_rows():
    a, b, c = (planting.plant_classes(Y, np.arange(400), 4, 30, ("uniform",), None, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert a.row.tolist() == b.row.tolist()
    assert a.row.tolist() != c.row.tolist()


def test_planted_targets_differ_by_at_least_half_a_deviation():
    y = np.random.default_rng(0).normal(100, 10, 500)
    planted = planting.plant_targets(y, np.arange(500), 90, np.random.default_rng(1))
    assert (np.abs(planted.label - y[planted.row]) >= 0.49 * y.std()).all()
    assert set(planted.kind.tolist()) <= set(TARGET_KINDS)
    assert len(set(planted.row.tolist())) == 90


def test_only_the_requested_kinds_are_planted_with_shifts_as_substitute():
    y = np.random.default_rng(0).normal(100, 10, 500)
    assert set(planting.plant_targets(y, np.arange(500), 90, np.random.default_rng(1), ("scale",)).kind.tolist()) == {"scale"}
    kinds = planting.plant_targets(y, np.arange(500), 90, np.random.default_rng(1), ("swap",)).kind.tolist()
    assert set(kinds) == {"swap", "shift"}
    assert kinds.count("swap") > kinds.count("shift")
