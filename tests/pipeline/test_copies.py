"""Scans of tables in which records stand more than once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score

import zcurate
from tests.small_runs import scan_memory_mapped


def simulate(n, n_classes, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    x = rng.normal(0, 1.2, (n_classes, 5))[y] + rng.normal(size=(n, 5))
    wrong = rng.random(n) < 0.08
    return x, np.where(wrong, (y + rng.integers(1, n_classes, n)) % n_classes, y), wrong


def as_table(x, given):
    return pa.table({**{f"m{at}": column for at, column in enumerate(x.T)}, "species": np.array(["ash", "birch", "cedar", "dogwood"])[given]})


def result_of(report, wrong):
    """Average precision, and the share of the wrong rows that is found."""
    found = np.array(report.table.column("verdict").to_pylist()) == "incorrect"
    return average_precision_score(wrong, report.table.column("p_incorrect").to_numpy()), (found & wrong).sum() / wrong.sum()


@pytest.mark.slow
@pytest.mark.parametrize(("copied", "n_classes"), [("twice", 3), ("a third three times", 4), ("drawn with replacement", 2)])
def test_wrong_labels_are_found_among_copies_and_the_recall_is_honest(copied, n_classes):
    x, given, wrong = simulate(700, n_classes, 4)
    rng = np.random.default_rng(5)
    every = np.arange(700)
    rows = {"twice": np.r_[every, every], "a third three times": np.r_[every, every[:233], every[:233]], "drawn with replacement": rng.choice(700, 900)}[copied]
    rows = rng.permutation(rows)
    once = zcurate.scan(as_table(x, given), label="species").table.column("p_incorrect").to_numpy()
    report = zcurate.scan(as_table(x[rows], given[rows]), label="species")
    precision, recall = result_of(report, wrong[rows])
    assert precision > average_precision_score(wrong[rows], once[rows]) - 0.12
    assert report.card["expected"]["recall"] < recall + 0.1
    assert report.card["n_copies"] == len(rows) - len(np.unique(rows))
    assert any(text.startswith(f"{report.card['n_copies']} rows are exact copies") for text in report.card["warnings"])


@pytest.mark.slow
def test_wrong_labels_are_found_among_copies_that_do_not_fit_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("zcurate.pipeline.cost_model.min_bytes", lambda plan, shape: 0)
    x, given, wrong = simulate(900, 3, 6)
    rows = np.random.default_rng(7).permutation(np.r_[:900, :900])
    pq.write_table(as_table(x[rows], given[rows]), tmp_path / "twice.parquet")
    report = scan_memory_mapped(tmp_path / "twice.parquet", label="species")
    precision, recall = result_of(report, wrong[rows])
    assert report.card["n_copies"] == 900
    assert precision > 0.6
    assert report.card["expected"]["recall"] < recall + 0.15


@pytest.mark.slow
def test_few_combinations_of_values_are_judged_as_before():
    rng = np.random.default_rng(8)
    codes = rng.integers(0, 2, (2000, 3))
    y = (codes.sum(1) > 1).astype(int)
    wrong = rng.random(2000) < 0.06
    table = pa.table({**{f"c{at}": np.array(["no", "yes"])[column] for at, column in enumerate(codes.T)}, "species": np.array(["ash", "birch"])[y ^ wrong]})
    report = zcurate.scan(table, label="species")
    precision, recall = result_of(report, wrong)
    assert report.card["n_copies"] == 0
    assert recall > 0.95
    assert precision > 0.95
