"""The detection tests of the library mislabeled, on data made by its recipes (github.com/Orange-OpenSource/mislabeled, tests/utils.py)."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.kernel_approximation import RBFSampler

import zcurate
from zcurate import LabelErrorDetector

pytestmark = [pytest.mark.foreign, pytest.mark.filterwarnings("ignore")]


def blobs_with_one_wrong_row_of_each_class(n_classes, seed=1):
    x, y = make_blobs(1000, centers=n_classes, cluster_std=0.5, random_state=seed)
    rng = np.random.RandomState(seed)
    rows = []
    for code in range(n_classes):
        rows.append(rng.choice(np.nonzero(y == code)[0]))
        y[rows[-1]] = (y[rows[-1]] + 1) % n_classes
    return x, y, rows


def smooth_targets_with_the_extremes_swapped(seed=1):
    rng = np.random.RandomState(seed)
    x = rng.uniform(-1, 1, (1000, 10))
    direction = RBFSampler(gamma="scale", n_components=20, random_state=seed)
    projected, normal = direction.fit_transform(x), rng.normal(0, 1, 20)
    y = projected @ (normal / np.linalg.norm(normal))
    rows = [int(np.argmin(y)), int(np.argmax(y))]
    y[rows] = y[rows[::-1]]
    return x, y, rows


def five_separated_classes(seed):
    """100 rows of each of five classes on a circle, five of them wrong."""
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(5), 100)
    angle = 2 * np.pi * true / 5
    x = 10 * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 1, (500, 2))
    rows = rng.choice(500, 5, replace=False)
    y = true.copy()
    y[rows] = (true[rows] + rng.integers(1, 5, 5)) % 5
    return x, y, rows


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_wrong_row_of_each_class_is_on_top(n_classes, seed):
    x, y, rows = blobs_with_one_wrong_row_of_each_class(n_classes, seed=1)
    detector = LabelErrorDetector(random_state=seed).fit(x, y)
    assert set(np.argsort(detector.label_quality_)[:n_classes]) == set(rows)
    assert (detector.verdict_[rows] == "incorrect").all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_all_five_wrong_rows_are_the_five_most_suspicious(seed):
    x, y, rows = five_separated_classes(seed)
    rank = zcurate.scan(x, y.astype(str), seed=seed).table.column("rank").to_numpy()
    assert sorted(rank[rows]) == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_swapped_extremes_of_a_smooth_target_are_on_top():
    x, y, rows = smooth_targets_with_the_extremes_swapped()
    detector = LabelErrorDetector(task="regression").fit(x, y)
    assert set(np.argsort(detector.label_quality_)[:2]) == set(rows)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_rows_far_from_every_class_are_outliers(seed):
    rng = np.random.default_rng(seed)
    x, y = make_blobs(1000, centers=5, cluster_std=1.0, random_state=seed)
    rows = rng.choice(1000, 20, replace=False)
    x[rows] = rng.choice([-1, 1], (20, 2)) * rng.uniform(60, 120, (20, 2))
    verdict = np.array(zcurate.scan(x, y.astype(str), seed=seed).table.column("verdict").to_pylist())
    assert (verdict[rows] == "outlier").mean() > 0.9
    assert (verdict[rows] == "incorrect").sum() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_few_rows_of_overlapping_classes_are_called_incorrect(seed):
    x, y = make_blobs(1000, centers=10, cluster_std=2.5, random_state=seed)
    rng = np.random.default_rng(seed)
    rows = rng.choice(1000, 10, replace=False)
    y[rows] = (y[rows] + 1 + rng.integers(0, 9, 10)) % 10
    report = zcurate.scan(x, y.astype(str), seed=seed)
    flagged = report.called("incorrect")
    assert flagged.sum() <= 15
    assert report.card["noise_rate"]["low"] <= 0.01
    # One of them at least is among the ten most suspicious rows.
    assert report.table.column("rank").to_numpy()[rows].min() <= 10
