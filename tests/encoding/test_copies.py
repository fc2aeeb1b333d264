"""Exact copies of rows, and rows that are equal by chance."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.encoding.copies import find_copies, find_copies_by_sample, hash_rows, hash_terms
from zcurate.encoding.groups import fold_keys


def find(*parts):
    return find_copies(hash_rows(parts), parts)


def numbers(n, width=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.r_[:500, :500], 500),
        (np.r_[:500, :7], 7),
        (np.r_[:300, :300, :300, :100], 700),
        (np.r_[200:500, np.repeat(np.arange(20), 12)], 220),
        (np.r_[:31, :31], 31),
    ],
)
def test_records_that_stand_twice_or_more_often_are_copies(rows, expected):
    x = numbers(500)[np.random.default_rng(1).permutation(rows)]
    found = find(x)
    assert found.n == expected
    assert len(np.unique(found.key)) == len(rows) - expected
    assert all(len(np.unique(found.key[(x == one).all(1)])) == 1 for one in x[:50])


def test_a_sample_drawn_with_replacement_has_copies():
    rows = np.random.default_rng(3).integers(0, 400, 600)
    assert find(numbers(400)[rows]).n == 600 - len(np.unique(rows))


@pytest.mark.parametrize(
    "codes",
    [
        np.random.default_rng(0).integers(0, 2, (10_000, 3)),
        np.random.default_rng(1).integers(0, 6, (10_000, 4)),
        (np.random.default_rng(2).random((8000, 16)) < np.linspace(0.05, 0.5, 16)).astype(np.int64),
        np.eye(6, dtype=np.int64)[np.random.default_rng(3).integers(0, 6, (3000, 3))].reshape(3000, 18),
    ],
    ids=["8 combinations", "1296 combinations", "yes and no", "one-hot"],
)
def test_rows_that_are_equal_by_chance_are_no_copies(codes):
    assert find(codes) is None


@pytest.mark.parametrize("n_constant", [40, 200])
def test_a_common_combination_of_values_is_no_copy_but_other_rows_are(n_constant):
    x = np.concatenate([np.zeros((n_constant, 4), np.float32), np.repeat(numbers(400), 2, 0)])
    found = find(x)
    assert found.n == 400
    assert len(np.unique(found.key[:n_constant])) == n_constant


def test_a_table_of_categories_with_one_column_of_numbers_has_copies_when_it_is_doubled():
    codes = np.random.default_rng(4).integers(0, 2, (500, 3))
    assert find(np.repeat(numbers(500, 1), 2, 0), np.repeat(codes, 2, 0)).n == 500


@pytest.mark.parametrize(
    "x", [numbers(2000), np.random.default_rng(5).integers(0, 256, (300, 3, 8, 8), dtype=np.uint8), np.random.default_rng(6).integers(0, 2**40, (900, 2))]
)
def test_different_rows_have_no_copies(x):
    assert find(x) is None


@pytest.mark.parametrize("shape", [(60, 3, 8, 8), (60, 1, 5, 7)])
def test_the_same_pictures_are_copies(shape):
    pictures = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    assert find(np.concatenate([pictures, pictures[:9]])).n == 9


def test_a_negative_zero_is_a_zero_and_columns_are_not_exchanged():
    x = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]], np.float32)
    first, second, third = hash_rows([x])
    assert first == second != third


def test_texts_with_the_same_terms_have_the_same_hash():
    term, start = np.array([4, 7, 9, 7, 4, 4, 7]), np.array([0, 2, 3, 5, 5, 7])
    hashes = hash_terms(term, start)
    assert hashes[0] == hashes[2] == hashes[4]
    assert len(set(hashes.tolist())) == 3


def test_memory_mapped_rows_are_counted_by_a_sample_of_their_hashes(monkeypatch):
    monkeypatch.setattr("zcurate.encoding.copies.SAMPLE_HASHES", 1000)
    x = np.random.default_rng(8).permutation(np.repeat(numbers(4000), 2, 0))
    row_hash = hash_rows([x])
    found = find_copies_by_sample(row_hash, [x], lambda thing: [thing])
    assert found.is_estimate
    assert found.n == pytest.approx(4000, rel=0.15)
    assert len(np.unique(found.key)) == 4000


def test_memory_mapped_rows_that_are_equal_by_chance_are_no_copies():
    codes = np.random.default_rng(9).integers(0, 6, (9000, 4))
    assert find_copies_by_sample(hash_rows([codes]), [codes], lambda thing: [thing]) is None


def test_groups_that_share_a_copy_share_a_fold():
    x = numbers(6)[[0, 1, 2, 3, 4, 0]]
    group = np.array([0, 0, 1, 1, 2, 3])
    keys = fold_keys(group, find(np.concatenate([x, numbers(90, seed=2)])[: len(x)]))
    assert keys[0] == keys[1] == keys[5]
    assert keys[2] == keys[3]
    assert len(np.unique(keys)) == 3


def test_without_copies_groups_are_as_they_were():
    group = np.array([3, 3, 8, 1])
    assert fold_keys(group, None) is group


@pytest.mark.parametrize(("n", "text"), [(1, "1 row is an exact copy of other rows"), (412, "412 rows are exact copies of other rows: ")])
def test_the_number_of_copies_is_said(n, text):
    found = find(np.concatenate([numbers(500), numbers(500)[:n]]))
    assert found.text().startswith(text)
