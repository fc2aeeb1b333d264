"""`LabelErrorDetector` as a data evaluator of OpenDataVal: its protocol of noisy-label detection."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_moons
from sklearn.metrics import f1_score

from zcurate import LabelErrorDetector

pytestmark = [pytest.mark.foreign, pytest.mark.filterwarnings("ignore")]
SHARE = 0.2
"""Of the labels that are replaced, as in the package's own experiments."""


def noisy(x, y, seed=0):
    """Replace a fifth of the labels by other classes: features, labels, and the rows that are wrong."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(y), round(SHARE * len(y)), replace=False)
    given, n_classes = y.copy(), y.max() + 1
    given[rows] = (y[rows] + rng.integers(1, n_classes, len(rows))) % n_classes
    return x, given, rows


DATA = {"digits": lambda: load_digits(return_X_y=True), "moons": lambda: make_moons(1000, noise=0.15, random_state=0)}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("digits", 0.95), ("moons", 0.85)])
def test_the_lower_cluster_of_the_values_are_the_wrong_labels(name, least):
    x, y, wrong = noisy(*DATA[name]())
    value = LabelErrorDetector().fit(x, y).label_quality_
    cluster = KMeans(2, random_state=0, n_init=10).fit_predict(value[:, None])
    lower = cluster == np.argmin([value[cluster == number].mean() for number in (0, 1)])
    assert f1_score(np.isin(np.arange(len(y)), wrong), lower) > least


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("digits", 0.95), ("moons", 0.85)])
def test_inside_the_package(name, least):
    pytest.importorskip("opendataval.experiment", reason="opendataval is not installed", exc_type=ImportError)
    from opendataval.dataloader import DataFetcher
    from opendataval.dataval import DataEvaluator
    from opendataval.experiment import noisy_detection

    class Zcurate(DataEvaluator):
        def train_data_values(self, *args, **kwargs):
            x, y = np.asarray(self.x_train), np.asarray(self.y_train)
            self.detector = LabelErrorDetector().fit(x, y.argmax(1) if y.ndim == 2 else y)
            return self

        def evaluate_data_values(self):
            return self.detector.label_quality_

    x, y, wrong = noisy(*DATA[name]())
    labels = np.eye(y.max() + 1, dtype=np.float32)[y]
    fetcher = DataFetcher.from_data_splits(x, labels, x[:50], labels[:50], x[:50], labels[:50], one_hot=True)
    evaluator = Zcurate().input_fetcher(fetcher).train_data_values()
    assert noisy_detection(evaluator, indices=wrong)["kmeans_f1"] > least
