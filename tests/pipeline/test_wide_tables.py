"""Scans of tables with more columns than rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

import zcurate
from zcurate.errors import UsageError

NAMES = np.array(["liver", "lung", "skin", "gut", "bone"])


def simulate(kind, n, p, n_classes, seed):
    """Columns, given labels, and which of them are wrong."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    if kind == "counts":
        log_mean = rng.normal(3, 1.5, p) + rng.normal(0, 0.8, (n, p))
        log_mean[:, :60] += rng.normal(0, 0.7, (n_classes, 60))[y]
        x = rng.poisson(np.exp(log_mean)).astype(float)
    elif kind == "zeros and ones":
        share = np.tile(rng.uniform(0.05, 0.5, p), (n_classes, 1))
        share[:, :60] = np.clip(share[:, :60] + rng.normal(0, 0.25, (n_classes, 60)), 0.02, 0.98)
        x = (rng.random((n, p)) < share[y]).astype(float)
    else:
        x = rng.normal(size=(n, p))
        x[:, :kind] += rng.normal(0, {10: 1.5, 200: 0.4}[kind], (n_classes, kind))[y]
    wrong = rng.random(n) < 0.06
    return x, np.where(wrong, (y + rng.integers(1, n_classes, n)) % n_classes, y), wrong


def as_table(x, given):
    return pa.table({**{f"gene_{at}": column for at, column in enumerate(x.T)}, "tissue": NAMES[given]})


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "n", "p", "n_classes"), [(10, 250, 1500, 3), (200, 120, 3000, 2), ("counts", 180, 1200, 4), ("zeros and ones", 300, 900, 2)])
def test_wrong_labels_are_ranked_as_well_as_by_cross_validated_logistic_regression(kind, n, p, n_classes):
    x, given, wrong = simulate(kind, n, p, n_classes, 21)
    report = zcurate.scan(as_table(x, given), label="tissue")
    heldout = cross_val_predict(LogisticRegression(C=0.01, max_iter=2000), np.log1p(x) if kind == "counts" else x, given, cv=5, method="predict_proba")
    expected = average_precision_score(wrong, 1 - heldout[np.arange(n), given])
    assert average_precision_score(wrong, report.table.column("p_incorrect").to_numpy()) > expected - 0.05
    assert report.card["heldout"] == {"members": 0.0, "ridge": 1.0}


@pytest.mark.slow
def test_labels_without_any_relation_to_many_columns_are_not_judged():
    x, _, _ = simulate(10, 150, 1200, 2, 3)
    given = np.random.default_rng(4).integers(0, 2, 150)
    report = zcurate.scan(as_table(x, given), label="tissue")
    assert not report.card["judged"]


@pytest.mark.slow
def test_yes_and_no_in_many_columns_are_as_good_as_zeros_and_ones():
    x, given, wrong = simulate("zeros and ones", 200, 700, 2, 8)
    words = pa.table({**{f"snp_{at}": np.array(["no", "yes"])[column.astype(int)] for at, column in enumerate(x.T)}, "tissue": NAMES[given]})
    report = zcurate.scan(words, label="tissue")
    assert average_precision_score(wrong, report.table.column("p_incorrect").to_numpy()) > 0.7


@pytest.mark.slow
def test_a_target_with_more_columns_than_rows_is_scanned():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(120, 600)) + 3 * rng.normal(size=(120, 1))
    table = pa.table({**{f"c{at}": column for at, column in enumerate(x.T)}, "dose": x.mean(1) + rng.normal(0, 0.1, 120)})
    report = zcurate.scan(table, label="dose")
    assert len(report) == 120
    assert report.card["judged"]


def test_a_table_of_more_rows_than_columns_cannot_be_encoded_by_its_rows(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text('name = "linear"\nprincipal = true\n')
    x, given, _ = simulate(10, 100, 20, 2, 1)
    with pytest.raises(UsageError, match="more columns than rows"):
        zcurate.scan(as_table(x, given), label="tissue", model=str(spec))
