"""Decision thresholds where output distributions cross."""

from __future__ import annotations

import numpy as np
import pytest

from tests.judge.test_judge import class_evidence
from zcurate.judge import thresholds


def test_densities_of_equal_variance_cross_at_the_midpoint():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 4000)
    assert thresholds.density_crossing(x - 2, x + 2) == pytest.approx(0.0, abs=0.02)
    assert thresholds.density_crossing(np.tile(x, 10) - 2, x + 2) == pytest.approx(np.log(10) / 4, abs=0.05)


def test_class_cutoffs_rarely_change_the_prediction_of_balanced_classes():
    evidence, _ = class_evidence(n_classes=2)
    cut = thresholds.class_cutoffs(evidence)
    assert ((cut > 0.1) & (cut < 0.9)).all()
    assert (thresholds.predicted_labels(evidence, "crossing") == evidence.heldout.argmax(1)).mean() > 0.95
