"""Boosted trees and the forest: held-out, the same in a process of their own, refused where they would cost too much."""

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
    """Two numbers that tell the class, one that tells nothing, and a category that tells half of it."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    x = np.column_stack([y + rng.normal(0, 0.3, n), rng.normal(0, 1, n), np.where(rng.random(n) < 0.5, y, rng.integers(0, n_classes, n))]).astype(np.float32)
    rows = np.arange(hard)
    return TreeTable(x, np.array([False, False, True]), y, rng.permutation(n) % trees.N_FOLDS, n_classes, 0, x[rows], rows)


@pytest.fixture(scope="module")
def said():
    return fit_trees(table(hard=20), trees.KINDS)


def test_every_kind_predicts_better_than_chance_and_sums_to_one(said):
    data = table(hard=20)
    assert list(said) == ["boosted 15", "boosted 30", "boosted 60", "forest"]
    for held in said.values():
        assert held.rows.shape == (400, 2)
        assert held.hard.shape == (20, 2)
        assert held.rows.dtype == np.float32
        np.testing.assert_allclose(held.rows.sum(1), 1, atol=1e-5)
        assert (held.rows.argmax(1) == data.y).mean() > 0.9


def test_no_row_sees_its_own_label(said):
    data = table(hard=20)
    flipped = data.y.copy()
    own = data.fold == 0
    flipped[own] = 1 - flipped[own]
    again = fit_trees(data._replace(y=flipped), trees.KINDS)
    for name, held in again.items():
        np.testing.assert_array_equal(held.rows[own], said[name].rows[own])
        assert not np.array_equal(held.rows[~own], said[name].rows[~own])


def test_hard_cases_are_asked_of_trees_that_never_saw_their_rows(said):
    data = table(hard=20)
    for held in said.values():
        np.testing.assert_allclose(held.hard, held.rows[data.hard_row], atol=1e-6)


def test_threads_change_nothing(said):
    for name, held in fit_trees(table(hard=20), trees.KINDS, n_threads=3).items():
        np.testing.assert_array_equal(held.rows, said[name].rows)


def test_a_process_of_its_own_says_the_same(said):
    with TreeWorker(("boosted", "forest", "bayes")) as grove:
        assert grove.child is not None
        there = grove.ask(table(hard=20))
    assert grove.trouble == ""
    assert list(there) == list(said)
    for name, held in there.items():
        np.testing.assert_array_equal(held.rows, said[name].rows)
        np.testing.assert_array_equal(held.hard, said[name].hard)


def test_where_no_process_can_be_started_nothing_is_said_and_why(monkeypatch):
    def fails(*args, **settings):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(tree_worker.subprocess, "Popen", fails)
    with TreeWorker(("forest",)) as grove:
        assert grove.ask(table()) == {}
    assert grove.trouble == "their process cannot be started (Resource temporarily unavailable)"
    monkeypatch.setattr(tree_worker.sys, "frozen", True, raising=False)
    assert TreeWorker(("forest",)).trouble == "there is no Python to start a process with"


def test_a_process_that_dies_is_told_of_and_nothing_is_said():
    with TreeWorker(("forest",)) as grove:
        grove.child.kill()
        assert grove.ask(table()) == {}
    assert grove.trouble == "their process ended with code -9"


def test_what_went_wrong_in_the_process_is_told():
    with TreeWorker(("forest",)) as grove:
        assert grove.ask(table()._replace(fold=np.zeros(3, np.int64))) == {}
    assert grove.trouble.startswith("their process ended with code 1 (")
    assert "Error" in grove.trouble


def test_the_process_runs_nothing_of_the_user_s_folder(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("open('ran', 'w').close(); raise RuntimeError('mine')")
    monkeypatch.chdir(tmp_path)
    with TreeWorker(("forest",)) as grove:
        assert list(grove.ask(table())) == ["forest"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("seed", [20_261_122, 2**40, -3])
def test_any_seed_will_do(seed):
    held = fit_trees(table(n=80)._replace(seed=seed), trees.KINDS)
    again = fit_trees(table(n=80)._replace(seed=seed), ("forest",))
    assert len(held) == 4
    np.testing.assert_array_equal(held["forest"].rows, again["forest"].rows)


def test_trees_of_many_classes_grow_some_at_a_time(monkeypatch):
    data = table(n_classes=6)
    held = fit_trees(data, ("forest",))["forest"]
    monkeypatch.setattr(trees, "TREE_BYTES", trees.N_FOLDS * trees.tree_bytes(400, 6))
    few = fit_trees(data, ("forest",))["forest"]
    np.testing.assert_allclose(few.rows.sum(1), 1, atol=1e-5)
    assert np.corrcoef(few.rows[:, 0], held.rows[:, 0])[0, 1] > 0.98
    monkeypatch.setattr(trees, "TREE_BYTES", trees.TREE_BYTES - 1)
    assert fit_trees(data, ("forest",)) == {}


def test_sizes_shrink_with_what_trees_would_cost():
    assert trees.tree_sizes(20_000, 14, 2, trees.KINDS) == (1, 30, 7)
    assert trees.tree_sizes(6_000, 20, 4, trees.KINDS).boosted == 4
    assert trees.tree_sizes(20_000, 16, 26, trees.KINDS).boosted == 0
    assert trees.tree_sizes(49_000, 300, 2, trees.KINDS).boosted == 0
    assert 0 < trees.tree_sizes(49_000, 1000, 2, trees.KINDS).forest < 30
    assert trees.tree_sizes(20_000, 14, 2, ("bayes",))[:2] == (0, 0)


def test_trees_that_take_too_long_are_left_out():
    with TreeWorker(("forest",)) as grove:
        assert grove.ask(table(), 0.001) == {}
    assert grove.trouble == "they were not ready in time"
    assert grove.child.returncode is not None


def test_the_block_s_end_ends_the_process_though_nobody_asked():
    begin = time.perf_counter()
    with TreeWorker(("forest",)) as grove:
        pass
    assert grove.child.returncode is not None
    assert time.perf_counter() - begin < 5


def test_the_spec_names_every_kind():
    assert (*trees.KINDS, "bayes") == get_args(AuxiliaryModel)


def test_nothing_is_started_where_no_trees_are_wanted():
    assert TreeWorker(("bayes",)).child is None
    assert TreeWorker(()).child is None


def test_a_class_that_a_fold_lacks_is_impossible_there():
    data = table(n_classes=3)
    y = np.where(data.y == 2, np.where(data.fold == 0, 2, 1), data.y)
    held = fit_trees(data._replace(y=y), ("forest",))["forest"]
    assert (held.rows[data.fold == 0, 2] == 0).all()
    assert held.rows[data.fold != 0, 2].max() > 0


def test_unlabelled_rows_are_predicted_and_teach_nothing():
    data = table()
    y = data.y.copy()
    y[:50] = -1
    held = fit_trees(data._replace(y=y), ("forest",))["forest"]
    assert (held.rows[:50].argmax(1) == data.y[:50]).mean() > 0.9


def test_many_classes_leave_boosting_out_and_too_many_leave_nothing():
    assert list(fit_trees(table(n_classes=40), trees.KINDS)) == ["forest"]
    assert fit_trees(table()._replace(n_classes=1_000_000), trees.KINDS) == {}
    nothing = table()._replace(x=np.zeros((400, 0), np.float32), category=np.zeros(0, bool), hard=np.zeros((0, 0), np.float32))
    assert fit_trees(nothing, trees.KINDS) == {}


def test_a_category_of_many_values_is_taken_as_numbers():
    data = table(n=600)
    codes = np.arange(600, dtype=np.float32) % 400
    held = fit_trees(data._replace(x=np.column_stack([data.x[:, :2], codes])), ("boosted",))
    assert (held["boosted 60"].rows.argmax(1) == data.y).mean() > 0.85
