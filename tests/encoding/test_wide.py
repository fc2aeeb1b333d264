"""Tables with more columns than rows: normal scores, zeros and ones of categories, principal coordinates."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.encoding.wide import MAX_WIDE_ROWS, encode_wide, indicators, is_wide, normal_scores


@pytest.mark.parametrize("unit", [lambda x: x, lambda x: 1000 * x - 7, np.exp, lambda x: x**3])
def test_normal_scores_do_not_depend_on_the_unit_of_a_column(unit):
    x = np.random.default_rng(0).normal(size=(50, 3))
    expected = normal_scores(x.astype(np.float32))
    assert np.array_equal(expected, normal_scores(unit(x).astype(np.float32)))


def test_normal_scores_of_equal_values_are_equal_and_the_middle_of_their_ranks():
    x = np.array([[1.0], [2.0], [2.0], [3.0]], np.float32)
    first, second, third, last = normal_scores(x)[:, 0]
    assert second == third == 0
    assert first == pytest.approx(-1.1503, abs=1e-4)
    assert last == pytest.approx(1.1503, abs=1e-4)


@pytest.mark.parametrize(("values", "expected"), [([0, 1, 1, 0], [-1, 1, 1, -1]), ([5, 5, 5, 5], [-1, -1, -1, -1])])
def test_two_values_become_minus_one_and_one(values, expected):
    assert normal_scores(np.array(values, np.float32)[:, None])[:, 0].tolist() == expected


def test_indicators_have_a_column_for_each_value_of_two_rows_or_more():
    codes = np.array([[2, 5], [2, 6], [3, 5], [4, 5]])
    assert indicators(codes).tolist() == [[1, 1], [1, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize("n_columns", [40, 200])
def test_principal_coordinates_keep_all_inner_products(n_columns):
    x = np.random.default_rng(1).normal(size=(30, n_columns)).astype(np.float32)
    found = encode_wide(x, None)
    gram = found.columns @ found.columns.T
    assert found.coordinates.shape == (30, 30)
    assert np.allclose(found.coordinates @ found.coordinates.T, gram / np.trace(gram) * 30, atol=1e-4)


def test_numbers_and_categories_are_encoded_together():
    rng = np.random.default_rng(2)
    found = encode_wide(rng.normal(size=(20, 25)).astype(np.float32), rng.integers(0, 3, (20, 2)) + np.array([0, 3]))
    assert found.columns.shape == (20, 31)
    assert np.allclose(found.columns.mean(0), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "expected"),
    [(200, 201, True), (200, 200, False), (60, 8000, True), (MAX_WIDE_ROWS + 1, 9000, False), (1500, 2_000_000, False)],
)
def test_a_table_is_wide_with_more_columns_than_rows_up_to_a_size(n_rows, n_columns, expected):
    assert is_wide(n_rows, n_columns) is expected
