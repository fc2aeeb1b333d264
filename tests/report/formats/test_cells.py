"""Whole columns are formatted like single values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from zcurate.report.formats.cells import cell_text, column_texts

rng = np.random.default_rng(0)
VALUES = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-20, 20, 500), [0, -0.0, 1, 1e16, 1e-5, 3.4e38, np.nan, np.inf]])


@pytest.mark.parametrize(
    "array",
    [
        pa.array(VALUES.astype(np.float32), mask=rng.random(508) < 0.1),
        pa.array(VALUES, mask=rng.random(508) < 0.1),
        pa.array([3, None, -(2**60)]),
        pa.array(["a b", None, ""]),
        pa.array([True, None, False]),
        pa.array(["x", None, "x"]).dictionary_encode(),
        pa.array([["a", "b"], None, [], ["c"]], pa.list_(pa.string())),
        pa.array([["a", None], None], pa.list_(pa.string())),
        pa.array([[0.1, None, 1 / 3], None], pa.list_(pa.float32())),
        pa.array([], pa.float32()),
    ],
    ids=lambda array: str(array.type),
)
def test_a_column_is_formatted_like_its_values(array):
    for column in (pa.chunked_array([array]), pa.chunked_array([array, array])):
        assert column_texts(column) == [cell_text(value, column.type) for value in column.to_pylist()]
