"""`zcurate.LabelErrorDetector` among scikit-learn's estimators."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

import zcurate


def rows(n=300):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    x = np.array([[0, 0], [4, 0], [0, 4]])[y] + rng.normal(0, 0.6, (n, 2))
    wrong = rng.random(n) < 0.1
    return x, np.where(wrong, (y + 1) % 3, y), y, wrong


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_s_own_checks_pass():
    from sklearn.utils.estimator_checks import check_estimator

    found = check_estimator(zcurate.LabelErrorDetector(epochs=2), on_fail=None)
    assert [one["check_name"] for one in found if one["status"] == "failed"] == []
    assert len(found) > 30


@pytest.mark.slow
@pytest.mark.parametrize("names", [np.array([3, 7, 11]), np.array(["ant", "bee", "cat"]), None])
def test_wrong_labels_are_found_and_labels_keep_their_type(names):
    x, given, truth, wrong = rows()
    given, truth = (labels if names is None else names[labels] for labels in (given, truth))
    detector = zcurate.LabelErrorDetector(epochs=4).fit(x, given)
    assert detector.label_quality_[wrong].mean() < 0.3 < 0.9 < detector.label_quality_[~wrong].mean()
    assert detector.suggested_labels_.dtype == given.dtype
    assert (detector.suggested_labels_ == truth).mean() > 0.97
    assert set(detector.verdict_) <= {"clean", "hard", "suspect", "incorrect", "outlier"}
    assert (detector.fit_predict(x, given) == -1).sum() == (detector.verdict_ == "incorrect").sum()
    assert detector.report_.counts()["incorrect"] > 20
    assert clone(detector).get_params() == detector.get_params()


def test_targets_are_judged_too():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = x[:, 0] * 2 + rng.normal(0, 0.05, 200)
    y[:8] += 5
    detector = zcurate.LabelErrorDetector(epochs=6).fit(x, y)
    assert len(set(np.argsort(detector.label_quality_)[:8].tolist()) & set(range(8))) >= 7
    assert detector.suggested_labels_.dtype == np.float64


def test_wrong_use_is_a_value_error():
    with pytest.raises(ValueError, match="requires y"):
        zcurate.LabelErrorDetector().fit([[1.0], [2.0]], None)
    with pytest.raises(ValueError, match="only one class"):
        zcurate.LabelErrorDetector().fit([[1.0], [2.0]], [1, 1])
