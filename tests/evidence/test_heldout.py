"""Held-out probabilities of which only the best few are kept: what is asked of them is what whole ones say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import zcurate
from zcurate.evidence import heldout, noise_model, planted
from zcurate.evidence.evidence import Evidence, Round, merge
from zcurate.evidence.heldout import N_KEPT, TopKProbabilities
from zcurate.judge import thresholds
from zcurate.training import dynamics, planting, rounds
from zcurate.training.checkpoint import Checkpoint

N, C = 400, 50


def made(seed=0, n=N):
    """Probabilities of which all but `KEPT` classes share the rest evenly, whole and kept; and labels that are mostly the best class."""
    rng = np.random.default_rng(seed)
    kept = best_few(rng, n)
    whole = kept[:]
    label = np.where(rng.random(n) < 0.7, kept.code()[:, 0], kept.code()[:, rng.integers(0, N_KEPT)])
    return whole, kept, label


def best_few(rng, n):
    code = rng.permuted(np.tile(np.arange(C), (n, 1)), axis=1)[:, :N_KEPT]
    p = np.sort(rng.dirichlet(np.full(N_KEPT + 3, 0.3), n), 1)[:, ::-1][:, :N_KEPT]
    return TopKProbabilities(np.concatenate([p, code], 1, dtype=np.float32), C)


def test_all_probabilities_sum_to_one_and_those_kept_are_kept():
    whole, kept, _ = made()
    np.testing.assert_allclose(whole.sum(1), 1, atol=1e-5)
    assert whole.shape == kept.shape == (N, C) and whole.dtype == np.float32
    np.testing.assert_array_equal(np.take_along_axis(whole, kept.code(), 1), kept.p())
    np.testing.assert_array_equal(kept[5:9], whole[5:9])
    np.testing.assert_array_equal(kept[np.array([3, 1])], whole[[3, 1]])
    np.testing.assert_array_equal(np.asarray(heldout.take_rows(kept, np.arange(N) > 390)), whole[391:])
    assert kept.kept.nbytes == N * heldout.ROW_BYTES


@pytest.mark.parametrize("power", [None, 1.0, 2.5])
def test_margins_and_the_posterior_are_those_of_whole_probabilities(power):
    whole, kept, label = made()
    label[:3] = -1
    np.testing.assert_allclose(noise_model.margins(kept, label, power), noise_model.margins(whole, label, power), atol=1e-5)
    rng = np.random.default_rng(1)
    mixed = noise_model.with_diagonal(rng.dirichlet(np.ones(C), C) * 0.3)
    np.testing.assert_allclose(noise_model.p_wrong(kept, label, mixed, power or 1.0), noise_model.p_wrong(whole, label, mixed, power or 1.0), atol=1e-4)


def test_what_else_is_asked_is_what_whole_probabilities_say():
    whole, kept, label = made()
    other = np.random.default_rng(2).integers(0, C, N)
    for own in (label, other):
        np.testing.assert_array_equal(heldout.given_probability(kept, own), whole[np.arange(N), own])
        np.testing.assert_array_equal(kept[np.arange(N), own], whole[np.arange(N), own])
        np.testing.assert_array_equal(heldout.best_other(kept, own), heldout.best_other(whole, own))
    np.testing.assert_array_equal(heldout.most_probable(kept), heldout.most_probable(whole))
    np.testing.assert_allclose(noise_model.entropies(kept), noise_model.entropies(whole), atol=1e-4)
    one, two = noise_model.estimate_noise(kept, label), noise_model.estimate_noise(whole, label)
    np.testing.assert_allclose(one.ranking, two.ranking)
    assert (one.sharpness, one.explained, one.reliability) == pytest.approx((two.sharpness, two.explained, two.reliability), rel=1e-3)
    np.testing.assert_allclose(planting.confusion_rows(label, kept), planting.confusion_rows(label, whole), rtol=1e-4)
    evidence = [Evidence((), {}, {}, p, label) for p in (kept, whole)]
    np.testing.assert_allclose(thresholds.class_cutoffs(evidence[0]), thresholds.class_cutoffs(evidence[1]), atol=1e-4)
    np.testing.assert_array_equal(thresholds.predicted_labels(evidence[0], "crossing"), thresholds.predicted_labels(evidence[1], "crossing"))


def test_the_best_few_are_kept_and_the_own_class_in_place_of_the_last():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(C, 0.2), N).astype(np.float32)
    own = rng.integers(-1, C, N)
    kept = heldout.top_k_of(p, own)
    order = np.argsort(-p, 1)
    np.testing.assert_array_equal(kept.code()[:, : N_KEPT - 1], order[:, : N_KEPT - 1])
    assert ((kept.code() == own[:, None]).any(1) | (own < 0)).all()
    np.testing.assert_array_equal(heldout.given_probability(kept, np.maximum(own, 0))[own >= 0], p[np.arange(N), own][own >= 0])
    of_torch = dynamics.top_k_of_batch(torch.from_numpy(p)[None], torch.from_numpy(own)[None])[0].numpy()
    np.testing.assert_array_equal(of_torch, kept.kept)


def test_the_mean_of_rounds_keeps_the_best_of_the_mean():
    one, two = made(0), made(1)
    own = one[2]
    mean = heldout.mean_heldout([one[1], two[1]], own)
    whole = heldout.mean_heldout([one[0], two[0]], own)
    np.testing.assert_allclose(whole, (one[0] + two[0]) / 2)
    np.testing.assert_allclose(mean.p()[:, 0], whole.max(1), atol=1e-6)
    np.testing.assert_allclose(heldout.given_probability(mean, own), whole[np.arange(N), own], atol=1e-6)
    assert heldout.mean_heldout([one[1]], own) is one[1]


@pytest.mark.parametrize(("rows", "classes", "whole"), [(10_000, 1000, True), (10_000_000, 32, True), (60_000, 100, True), (200_000, 100, False)])
def test_when_probabilities_are_kept_whole(rows, classes, whole):
    assert heldout.is_dense(rows, classes) == whole


@pytest.fixture
def always_few(monkeypatch):
    """However few the rows, only the best few probabilities are kept."""
    for name in ("MAX_DENSE_CELLS", "MAX_ROWS_PER_EPOCH"):
        monkeypatch.setattr(heldout, name, 0)
    monkeypatch.setattr(rounds, "MAX_ROWS_PER_EPOCH", 0)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A table of 40 classes, one label in ten wrong; and which."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 40, 2400)
    x = rng.normal(0, 1, (40, 8))[y] * 2.5 + rng.normal(0, 1, (2400, 8))
    wrong = rng.random(2400) < 0.1
    given = np.where(wrong, (y + rng.integers(1, 40, 2400)) % 40, y)
    pq.write_table(pa.table({f"f{k}": x[:, k] for k in range(8)} | {"label": [f"c{one:02d}" for one in given]}), folder / "t.parquet")
    (folder / "m.toml").write_text('rounds = 2\nfolds = 2\nhidden = [48]\nbatch = 128\nensemble = []\nwitnesses = ["novelty"]\n')
    return folder, wrong


def scanned(folder, **settings):
    return zcurate.scan(str(folder / "t.parquet"), model=str(folder / "m.toml"), epochs=8, **settings)


def test_a_scan_of_many_classes_says_the_same_of_the_best_few(many, monkeypatch):
    folder, wrong = many
    monkeypatch.setattr(rounds, "MAX_ROWS_PER_EPOCH", 0)
    whole = scanned(folder)
    for name in ("MAX_DENSE_CELLS", "MAX_ROWS_PER_EPOCH"):
        monkeypatch.setattr(heldout, name, 0)
    few = scanned(folder)
    one, two = (found.table.column("p_incorrect").to_numpy() for found in (whole, few))
    assert np.corrcoef(one, two)[0, 1] > 0.995
    assert np.mean(np.array(whole.called("incorrect")) == np.array(few.called("incorrect"))) > 0.985
    np.testing.assert_allclose(few.table.column("p_given").to_numpy(), whole.table.column("p_given").to_numpy(), atol=0.05)
    assert np.array(few.called("incorrect"))[wrong].mean() > 0.85


def test_rows_in_files_keep_the_best_few_too(many, always_few, monkeypatch, tmp_path):
    from tests.small_runs import scan_memory_mapped
    from zcurate.pipeline import cost_model
    from zcurate.runtime.store import BlockSizes

    folder, wrong = many
    monkeypatch.setattr(cost_model, "min_bytes", lambda plan, shape: 0)
    settings = {"model": str(folder / "m.toml"), "epochs": 8, "output": str(tmp_path / "r.zcurate.parquet")}
    found = scan_memory_mapped(folder / "t.parquet", BlockSizes(judge_rows=1500), **settings)
    assert found.card["in_pieces"]
    assert np.array(found.called("incorrect"))[wrong].mean() > 0.85
    assert np.array(found.called("incorrect"))[~wrong].mean() < 0.05


def test_a_round_in_a_checkpoint_keeps_the_best_few(tmp_path):
    _, kept, label = made()
    nobody = planted.Planted.none()
    curves = {"error": np.zeros((2, N), np.float32)}
    one = Round(label, nobody, {"n_seen": np.ones(N, np.float32)}, kept, curves, 1.0, hard_heldout=np.zeros((0, C), np.float32))
    Checkpoint(str(tmp_path / "x.checkpoint"), {}).keep_round(0, one)
    again = Checkpoint(str(tmp_path / "x.checkpoint"), {}).round(0)
    assert isinstance(again.heldout, TopKProbabilities) and again.heldout.shape == (N, C)
    np.testing.assert_array_equal(again.heldout.kept, kept.kept)
    assert merge((again,), label).heldout is again.heldout
