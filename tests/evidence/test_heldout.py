"""Top-k held-out probabilities: every operation agrees with dense probabilities."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import zcurate
from zcurate.evidence import heldout, noise_model, planted
from zcurate.evidence.evidence import Evidence, Round, merge
from zcurate.evidence.heldout import TOP_K, TopKProbabilities
from zcurate.judge import thresholds
from zcurate.training import dynamics, planting, rounds
from zcurate.training.checkpoint import Checkpoint

N, C = 400, 50


def probabilities(seed=0, n=N):
    """The same probabilities dense and top-k, and labels that are mostly the most probable class."""
    rng = np.random.default_rng(seed)
    top_k = random_top_k(rng, n)
    dense = top_k[:]
    label = np.where(rng.random(n) < 0.7, top_k.code()[:, 0], top_k.code()[:, rng.integers(0, TOP_K)])
    return dense, top_k, label


def random_top_k(rng, n):
    code = rng.permuted(np.tile(np.arange(C), (n, 1)), axis=1)[:, :TOP_K]
    p = np.sort(rng.dirichlet(np.full(TOP_K + 3, 0.3), n), 1)[:, ::-1][:, :TOP_K]
    return TopKProbabilities(np.concatenate([p, code], 1, dtype=np.float32), C)


def test_dense_rows_sum_to_one_and_hold_the_stored_probabilities():
    dense, top_k, _ = probabilities()
    np.testing.assert_allclose(dense.sum(1), 1, atol=1e-5)
    assert dense.shape == top_k.shape == (N, C) and dense.dtype == np.float32
    np.testing.assert_array_equal(np.take_along_axis(dense, top_k.code(), 1), top_k.p())
    np.testing.assert_array_equal(top_k[5:9], dense[5:9])
    np.testing.assert_array_equal(top_k[np.array([3, 1])], dense[[3, 1]])
    np.testing.assert_array_equal(np.asarray(heldout.take_rows(top_k, np.arange(N) > 390)), dense[391:])
    assert top_k.packed.nbytes == N * heldout.ROW_BYTES


@pytest.mark.parametrize("power", [None, 1.0, 2.5])
def test_margins_and_the_posterior_equal_those_of_dense_probabilities(power):
    dense, top_k, label = probabilities()
    label[:3] = -1
    np.testing.assert_allclose(heldout.margins(top_k, label, power), heldout.margins(dense, label, power), atol=1e-5)
    rng = np.random.default_rng(1)
    transition = noise_model.with_diagonal(rng.dirichlet(np.ones(C), C) * 0.3)
    np.testing.assert_allclose(
        noise_model.p_wrong(top_k, label, transition, power or 1.0), noise_model.p_wrong(dense, label, transition, power or 1.0), atol=1e-4
    )


def test_lookups_and_the_noise_model_equal_those_of_dense_probabilities():
    dense, top_k, label = probabilities()
    other = np.random.default_rng(2).integers(0, C, N)
    for own in (label, other):
        np.testing.assert_array_equal(heldout.given_probability(top_k, own), dense[np.arange(N), own])
        np.testing.assert_array_equal(top_k[np.arange(N), own], dense[np.arange(N), own])
        np.testing.assert_array_equal(heldout.best_other(top_k, own), heldout.best_other(dense, own))
    np.testing.assert_array_equal(heldout.most_probable(top_k), heldout.most_probable(dense))
    np.testing.assert_allclose(heldout.entropies(top_k), heldout.entropies(dense), atol=1e-4)
    one, two = noise_model.estimate_noise(top_k, label), noise_model.estimate_noise(dense, label)
    np.testing.assert_allclose(one.transition, two.transition)
    assert (one.inverse_temperature, one.explained_share, one.reliability) == pytest.approx(
        (two.inverse_temperature, two.explained_share, two.reliability), rel=1e-3
    )
    np.testing.assert_allclose(planting.confusion_rows(label, top_k), planting.confusion_rows(label, dense), rtol=1e-4)
    evidence = [Evidence((), {}, {}, p, label) for p in (top_k, dense)]
    np.testing.assert_allclose(thresholds.class_cutoffs(evidence[0]), thresholds.class_cutoffs(evidence[1]), atol=1e-4)
    np.testing.assert_array_equal(thresholds.predicted_labels(evidence[0], "crossing"), thresholds.predicted_labels(evidence[1], "crossing"))


def test_the_top_k_are_stored_and_the_own_class_replaces_the_last():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(C, 0.2), N).astype(np.float32)
    own = rng.integers(-1, C, N)
    top_k = heldout.top_k_of(p, own)
    order = np.argsort(-p, 1)
    np.testing.assert_array_equal(top_k.code()[:, : TOP_K - 1], order[:, : TOP_K - 1])
    assert ((top_k.code() == own[:, None]).any(1) | (own < 0)).all()
    np.testing.assert_array_equal(heldout.given_probability(top_k, np.maximum(own, 0))[own >= 0], p[np.arange(N), own][own >= 0])
    of_torch = dynamics.top_k_of_batch(torch.from_numpy(p)[None], torch.from_numpy(own)[None])[0].numpy()
    np.testing.assert_array_equal(of_torch, top_k.packed)


def test_the_mean_of_rounds_stores_the_top_k_of_the_mean():
    one, two = probabilities(0), probabilities(1)
    own = one[2]
    mean = heldout.mean_heldout([one[1], two[1]], own)
    dense = heldout.mean_heldout([one[0], two[0]], own)
    np.testing.assert_allclose(dense, (one[0] + two[0]) / 2)
    np.testing.assert_allclose(mean.p()[:, 0], dense.max(1), atol=1e-6)
    np.testing.assert_allclose(heldout.given_probability(mean, own), dense[np.arange(N), own], atol=1e-6)
    assert heldout.mean_heldout([one[1]], own) is one[1]


def test_margins_and_rivals_equal_a_reference_row_by_row(monkeypatch):
    monkeypatch.setattr("zcurate.arrays.chunk.CHUNK_NUMBERS", 100)
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(3), 3000).astype(np.float32), rng.integers(0, 3, 3000)
    y[::9] = -1
    descending = np.sort(p, 1)[:, ::-1]
    rows = np.arange(len(y))
    others = np.where(np.arange(3)[None] == y[:, None], -1, p)
    expected = np.where(y >= 0, p[rows, y] - others.max(1), descending[:, 0] - descending[:, 1])
    np.testing.assert_array_equal(heldout.margins(p, y), expected)
    np.testing.assert_array_equal(heldout.best_other(p, np.maximum(y, 0))[y >= 0], others.argmax(1)[y >= 0])
    np.testing.assert_array_equal(heldout.most_probable(p), p.argmax(1))


@pytest.mark.parametrize(("rows", "classes", "dense"), [(10_000, 1000, True), (10_000_000, 32, True), (60_000, 100, True), (200_000, 100, False)])
def test_when_probabilities_are_stored_densely(rows, classes, dense):
    assert heldout.is_dense(rows, classes) == dense


@pytest.fixture
def always_top_k(monkeypatch):
    """Store top-k probabilities however few the rows."""
    for name in ("MAX_DENSE_CELLS", "MAX_ROWS_PER_EPOCH"):
        monkeypatch.setattr(heldout, name, 0)
    monkeypatch.setattr(rounds, "MAX_ROWS_PER_EPOCH", 0)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A table of 40 classes with one label in ten wrong, and the mask of wrong labels."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 40, 2400)
    x = rng.normal(0, 1, (40, 8))[y] * 2.5 + rng.normal(0, 1, (2400, 8))
    wrong = rng.random(2400) < 0.1
    given = np.where(wrong, (y + rng.integers(1, 40, 2400)) % 40, y)
    pq.write_table(pa.table({f"f{k}": x[:, k] for k in range(8)} | {"label": [f"c{one:02d}" for one in given]}), folder / "t.parquet")
    (folder / "m.toml").write_text('rounds = 2\nfolds = 2\nhidden = [48]\nbatch = 128\nensemble = []\nwitnesses = ["novelty"]\n')
    return folder, wrong


def scan(folder, **settings):
    return zcurate.scan(str(folder / "t.parquet"), model=str(folder / "m.toml"), epochs=8, **settings)


def test_a_scan_of_many_classes_is_nearly_the_same_with_top_k(many, monkeypatch):
    folder, wrong = many
    monkeypatch.setattr(rounds, "MAX_ROWS_PER_EPOCH", 0)
    dense = scan(folder)
    for name in ("MAX_DENSE_CELLS", "MAX_ROWS_PER_EPOCH"):
        monkeypatch.setattr(heldout, name, 0)
    compressed = scan(folder)
    one, two = (found.table.column("p_incorrect").to_numpy() for found in (dense, compressed))
    assert np.corrcoef(one, two)[0, 1] > 0.995
    assert np.mean(np.array(dense.called("incorrect")) == np.array(compressed.called("incorrect"))) > 0.985
    np.testing.assert_allclose(compressed.table.column("p_given").to_numpy(), dense.table.column("p_given").to_numpy(), atol=0.05)
    assert np.array(compressed.called("incorrect"))[wrong].mean() > 0.85


def test_a_memory_mapped_scan_stores_top_k_too(many, always_top_k, monkeypatch, tmp_path):
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


def test_a_checkpoint_round_stores_top_k(tmp_path):
    _, top_k, label = probabilities()
    curves = {"error": np.zeros((2, N), np.float32)}
    one = Round(label, planted.Planted.none(), {"n_seen": np.ones(N, np.float32)}, top_k, curves, 1.0, hard_heldout=np.zeros((0, C), np.float32))
    Checkpoint(str(tmp_path / "x.checkpoint"), {}).save_round(0, one)
    loaded = Checkpoint(str(tmp_path / "x.checkpoint"), {}).load_round(0)
    assert isinstance(loaded.heldout, TopKProbabilities) and loaded.heldout.shape == (N, C)
    np.testing.assert_array_equal(loaded.heldout.packed, top_k.packed)
    assert merge((loaded,), label).heldout is loaded.heldout
