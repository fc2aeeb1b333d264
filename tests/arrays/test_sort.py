"""Samples, chunks, sorting and ranks agree with naive references."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.arrays import chunk, sample, sort


@pytest.fixture
def tied():
    return np.random.default_rng(0).integers(0, 40, 500).astype(np.float32) / 40


def test_sample_is_all_rows_up_to_the_limit_and_repeatable_beyond(monkeypatch):
    monkeypatch.setattr(sample, "MAX_FIT_ROWS", 50)
    np.testing.assert_array_equal(sample.sample(50), np.arange(50))
    some = sample.sample(1000)
    assert len(np.unique(some)) == 50 and (np.diff(some) > 0).all() and some.max() < 1000
    np.testing.assert_array_equal(some, sample.sample(1000))
    assert len(sample.sample(1000, 7)) == 7
    which = np.arange(1000) % 3 == 0
    assert which[sample.sample_where(which)].all() and len(sample.sample_where(which)) == 50
    np.testing.assert_array_equal(sample.sample_where(which[:60]), np.flatnonzero(which[:60]))


def test_chunks_cover_every_row_once():
    for n, width in ((0, 1), (1, 5), (300_000, 1), (5000, 1000)):
        covered = np.concatenate([np.arange(n)[part] for part in chunk.chunk_slices(n, width)] or [np.zeros(0)])
        np.testing.assert_array_equal(covered, np.arange(n))


def test_mid_ranks_count_smaller_values_and_half_of_the_ties(tied):
    order, middle = sort.mid_ranks(tied)
    expected = [(tied < v).sum() + (tied == v).sum() / 2 for v in tied[order]]
    assert middle.tolist() == expected
    query = np.array([-1, 0.5, 0.51, 2], np.float32)
    assert sort.mid_rank_in(query, np.sort(tied)).tolist() == [(tied < v).sum() + (tied == v).sum() / 2 for v in query]
    assert len(sort.mid_ranks(tied[:0])[1]) == 0


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "i4", "u2", "constant", "extremes"])
@pytest.mark.parametrize("n", [0, 1, 2000])
def test_argsort_is_the_stable_order(kind, n):
    rng = np.random.default_rng(0)
    if kind[0] == "f" and kind != "extremes":
        x = rng.normal(0, 100, n).round(1).astype(kind)
        x[::5], x[1::50], x[2::70] = np.where(rng.random(len(x[::5])) < 0.5, -0.0, 0.0), np.inf, -np.inf
        x[3::9] *= 1e-40 if kind == "f4" else 1e-320
    elif kind == "extremes":
        x = rng.choice([np.iinfo(np.int64).min, -1, 0, np.iinfo(np.int64).max], n)
    else:
        x = np.full(n, 7) if kind == "constant" else rng.integers(0, 60_000, n).astype(kind) * (1 if kind == "u2" else 3)
    original = x.copy()
    np.testing.assert_array_equal(sort.argsort(x), np.argsort(x, kind="stable"))
    np.testing.assert_array_equal(x, original)


def test_argsort_descending_is_stable(tied):
    np.testing.assert_array_equal(sort.argsort_descending(tied), np.argsort(-tied, kind="stable"))


def test_top_k_is_sorted_with_ties_in_index_order():
    scores = np.random.default_rng(1).integers(0, 3, (6, 300)).astype(float)
    expected = np.argsort(-scores, axis=0, kind="stable")
    np.testing.assert_array_equal(sort.top_k(scores.copy(), 3), expected[:3])
    assert sort.top_k(scores[:2].copy(), 3).shape == (2, 300)
