"""Boosted trees and the forest: held-out predictions, the same from the worker process, omitted if they would take too long."""

from __future__ import annotations

import time
from typing import get_args

import numpy as np
import pytest

from zcurate.config.model_config import AuxiliaryModel
from zcurate.training.auxiliary import tree_worker, trees
from zcurate.training.auxiliary.tree_worker import TreeWorker
from zcurate.training.auxiliary.trees import TreeTable, fit_trees


def table(n=400, n_classes=2, seed=0, hard=0):
    """Create an informative number, an uninformative one and a category that is informative for half of the rows."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    x = np.column_stack([y + rng.normal(0, 0.3, n), rng.normal(0, 1, n), np.where(rng.random(n) < 0.5, y, rng.integers(0, n_classes, n))]).astype(np.float32)
    rows = np.arange(hard)
    return TreeTable(x, np.array([False, False, True]), y, rng.permutation(n) % trees.N_FOLDS, n_classes, 0, x[rows], rows)


@pytest.fixture(scope="module")
def predictions():
    return fit_trees(table(hard=20), trees.KINDS)


def test_every_kind_predicts_better_than_chance_and_sums_to_one(predictions):
    data = table(hard=20)
    assert list(predictions) == ["boosted 15", "boosted 30", "boosted 60", "forest"]
    for model in predictions.values():
        assert model.rows.shape == (400, 2)
        assert model.hard.shape == (20, 2)
        assert model.rows.dtype == np.float32
        np.testing.assert_allclose(model.rows.sum(1), 1, atol=1e-5)
        assert (model.rows.argmax(1) == data.y).mean() > 0.9


@pytest.mark.slow
def test_predictions_do_not_depend_on_the_row_s_own_label(predictions):
    data = table(hard=20)
    flipped = data.y.copy()
    own = data.fold == 0
    flipped[own] = 1 - flipped[own]
    again = fit_trees(data._replace(y=flipped), trees.KINDS)
    for name, model in again.items():
        np.testing.assert_array_equal(model.rows[own], predictions[name].rows[own])
        assert not np.array_equal(model.rows[~own], predictions[name].rows[~own])


def test_hard_examples_are_predicted_by_the_trees_of_their_row_s_fold(predictions):
    data = table(hard=20)
    for model in predictions.values():
        np.testing.assert_allclose(model.hard, model.rows[data.hard_row], atol=1e-6)


def test_the_number_of_threads_does_not_change_results(predictions):
    for name, model in fit_trees(table(hard=20), trees.KINDS, n_threads=3).items():
        np.testing.assert_array_equal(model.rows, predictions[name].rows)


@pytest.mark.slow
def test_the_worker_process_returns_the_same_predictions(predictions):
    with TreeWorker(("boosted", "forest", "bayes")) as worker:
        assert worker.process is not None
        from_worker = worker.predict(table(hard=20))
    assert worker.failure == ""
    assert list(from_worker) == list(predictions)
    for name, model in from_worker.items():
        np.testing.assert_array_equal(model.rows, predictions[name].rows)
        np.testing.assert_array_equal(model.hard, predictions[name].hard)


def test_without_a_process_there_are_no_predictions_and_a_reason(monkeypatch):
    def fails(*args, **settings):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(tree_worker.subprocess, "Popen", fails)
    with TreeWorker(("forest",)) as worker:
        assert worker.predict(table()) == {}
    assert worker.failure == "the process cannot be started: Resource temporarily unavailable"
    monkeypatch.setattr(tree_worker.sys, "frozen", True, raising=False)
    assert TreeWorker(("forest",)).failure == "no Python interpreter to start a process with"


def test_a_killed_process_is_reported():
    with TreeWorker(("forest",)) as worker:
        worker.process.kill()
        assert worker.predict(table()) == {}
    assert worker.failure == "the process was ended by signal 9"


@pytest.mark.slow
def test_an_error_in_the_process_is_reported():
    with TreeWorker(("forest",)) as worker:
        assert worker.predict(table()._replace(fold=np.zeros(3, np.int64))) == {}
    assert worker.failure.startswith("the process ended with code 1 (")
    assert "Error" in worker.failure


@pytest.mark.slow
def test_the_process_imports_nothing_from_the_user_s_folder(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("open('ran', 'w').close(); raise RuntimeError('imported')")
    monkeypatch.chdir(tmp_path)
    with TreeWorker(("forest",)) as worker:
        assert list(worker.predict(table())) == ["forest"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("seed", [20_261_122, 2**40, -3])
def test_seeds_of_any_size_are_accepted(seed):
    model = fit_trees(table(n=80)._replace(seed=seed), trees.KINDS)
    again = fit_trees(table(n=80)._replace(seed=seed), ("forest",))
    assert len(model) == 4
    np.testing.assert_array_equal(model["forest"].rows, again["forest"].rows)


def test_trees_of_many_classes_are_fitted_a_few_at_a_time(monkeypatch):
    data = table(n_classes=6)
    model = fit_trees(data, ("forest",))["forest"]
    monkeypatch.setattr(trees, "TREE_BYTES", trees.N_FOLDS * trees.tree_bytes(400, 6))
    few = fit_trees(data, ("forest",))["forest"]
    np.testing.assert_allclose(few.rows.sum(1), 1, atol=1e-5)
    assert np.corrcoef(few.rows[:, 0], model.rows[:, 0])[0, 1] > 0.98
    monkeypatch.setattr(trees, "TREE_BYTES", trees.TREE_BYTES - 1)
    assert fit_trees(data, ("forest",)) == {}


def test_sizes_decrease_with_the_estimated_time():
    assert trees.tree_sizes(20_000, 14, 2, trees.KINDS) == (1, 30, 7)
    assert trees.tree_sizes(6_000, 20, 4, trees.KINDS).boosted == 4
    assert trees.tree_sizes(20_000, 16, 26, trees.KINDS).boosted == 0
    assert trees.tree_sizes(49_000, 300, 2, trees.KINDS).boosted == 0
    assert 0 < trees.tree_sizes(49_000, 1000, 2, trees.KINDS).forest < 30
    assert trees.tree_sizes(20_000, 14, 2, ("bayes",))[:2] == (0, 0)


def test_trees_that_exceed_the_timeout_are_omitted():
    with TreeWorker(("forest",)) as worker:
        assert worker.predict(table(), 0.001) == {}
    assert worker.failure == "not finished in time"
    assert worker.process.returncode is not None


def test_the_process_ends_with_the_block_without_predictions():
    begin = time.perf_counter()
    with TreeWorker(("forest",)) as worker:
        pass
    assert worker.process.returncode is not None
    assert time.perf_counter() - begin < 5


def test_the_model_config_lists_every_kind():
    assert (*trees.KINDS, "bayes", "ridge", "probe") == get_args(AuxiliaryModel)


def test_no_process_is_started_without_tree_models():
    assert TreeWorker(("bayes",)).process is None
    assert TreeWorker(()).process is None


def test_a_class_missing_in_the_other_folds_has_probability_zero():
    data = table(n_classes=3)
    y = np.where(data.y == 2, np.where(data.fold == 0, 2, 1), data.y)
    model = fit_trees(data._replace(y=y), ("forest",))["forest"]
    assert (model.rows[data.fold == 0, 2] == 0).all()
    assert model.rows[data.fold != 0, 2].max() > 0


def test_unlabelled_rows_are_predicted_and_not_trained_on():
    data = table()
    y = data.y.copy()
    y[:50] = -1
    model = fit_trees(data._replace(y=y), ("forest",))["forest"]
    assert (model.rows[:50].argmax(1) == data.y[:50]).mean() > 0.9


def test_many_classes_omit_boosting_and_too_many_omit_all():
    assert list(fit_trees(table(n_classes=40), trees.KINDS)) == ["forest"]
    assert fit_trees(table()._replace(n_classes=1_000_000), trees.KINDS) == {}
    no_columns = table()._replace(x=np.zeros((400, 0), np.float32), category=np.zeros(0, bool), hard=np.zeros((0, 0), np.float32))
    assert fit_trees(no_columns, trees.KINDS) == {}


@pytest.mark.slow
def test_a_category_of_many_values_is_treated_as_numbers():
    data = table(n=600)
    codes = np.arange(600, dtype=np.float32) % 400
    model = fit_trees(data._replace(x=np.column_stack([data.x[:, :2], codes])), ("boosted",))
    assert (model["boosted 60"].rows.argmax(1) == data.y).mean() > 0.85
