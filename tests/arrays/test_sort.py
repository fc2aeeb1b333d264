"""Samples, pieces and places of very many rows: the same as the slow way that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.arrays import chunk, sample, sort


@pytest.fixture
def tied():
    return np.random.default_rng(0).integers(0, 40, 500).astype(np.float32) / 40


def test_up_to_the_bound_a_sample_is_all_rows_and_beyond_it_the_same_ones_each_time(monkeypatch):
    monkeypatch.setattr(sample, "MAX_FIT_ROWS", 50)
    np.testing.assert_array_equal(sample.sample(50), np.arange(50))
    some = sample.sample(1000)
    assert len(np.unique(some)) == 50 and (np.diff(some) > 0).all() and some.max() < 1000
    np.testing.assert_array_equal(some, sample.sample(1000))
    assert len(sample.sample(1000, 7)) == 7
    which = np.arange(1000) % 3 == 0
    assert which[sample.sample_where(which)].all() and len(sample.sample_where(which)) == 50
    np.testing.assert_array_equal(sample.sample_where(which[:60]), np.flatnonzero(which[:60]))


def test_pieces_cover_every_row_once():
    for n, width in ((0, 1), (1, 5), (300_000, 1), (5000, 1000)):
        covered = np.concatenate([np.arange(n)[part] for part in chunk.chunk_slices(n, width)] or [np.zeros(0)])
        np.testing.assert_array_equal(covered, np.arange(n))


def test_places_count_those_below_and_half_of_those_equal(tied):
    order, middle = sort.mid_ranks(tied)
    expected = [(tied < v).sum() + (tied == v).sum() / 2 for v in tied[order]]
    assert middle.tolist() == expected
    asked = np.array([-1, 0.5, 0.51, 2], np.float32)
    assert sort.mid_rank_in(asked, np.sort(tied)).tolist() == [(tied < v).sum() + (tied == v).sum() / 2 for v in asked]
    assert len(sort.mid_ranks(tied[:0])[1]) == 0


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "i4", "u2", "constant", "far apart"])
@pytest.mark.parametrize("n", [0, 1, 2000])
def test_argsort_is_the_stable_order(kind, n):
    rng = np.random.default_rng(0)
    if kind[0] == "f" and kind != "far apart":
        x = rng.normal(0, 100, n).round(1).astype(kind)
        x[::5], x[1::50], x[2::70] = np.where(rng.random(len(x[::5])) < 0.5, -0.0, 0.0), np.inf, -np.inf
        x[3::9] *= 1e-40 if kind == "f4" else 1e-320
    elif kind == "far apart":
        x = rng.choice([np.iinfo(np.int64).min, -1, 0, np.iinfo(np.int64).max], n)
    else:
        x = np.full(n, 7) if kind == "constant" else rng.integers(0, 60_000, n).astype(kind) * (1 if kind == "u2" else 3)
    given = x.copy()
    np.testing.assert_array_equal(sort.argsort(x), np.argsort(x, kind="stable"))
    np.testing.assert_array_equal(x, given)


def test_falling_is_a_stable_order(tied):
    np.testing.assert_array_equal(sort.argsort_descending(tied), np.argsort(-tied, kind="stable"))


def test_the_leading_ones_come_largest_first_and_earlier_ones_first_among_equals():
    strength = np.random.default_rng(1).integers(0, 3, (6, 300)).astype(float)
    expected = np.argsort(-strength, axis=0, kind="stable")
    np.testing.assert_array_equal(sort.top_k(strength.copy(), 3), expected[:3])
    assert sort.top_k(strength[:2].copy(), 3).shape == (2, 300)
