"""One column in memory, of any library, as an Arrow array."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from zcurate.data.columns import column_array
from zcurate.data.values import decode_column
from zcurate.errors import UsageError


def values(column):
    """Values of a column as the readers see it."""
    return decode_column(pa.chunked_array([column_array(column, "column 'a'")])).to_pylist()


DAY = datetime.date(2020, 1, 2)
PANDAS = {
    "category": (pd.Categorical(["u", None, "u"]), ["u", None, "u"]),
    "category of integers": (pd.Categorical([3, 1, 3]), [3, 1, 3]),
    "category of intervals": (pd.Categorical(pd.arrays.IntervalArray.from_tuples([(0, 1), (1, 2), (0, 1)])), ["(0, 1]", "(1, 2]", "(0, 1]"]),
    "interval": (pd.arrays.IntervalArray.from_tuples([(0, 1), (1, 2)]), ["(0, 1]", "(1, 2]"]),
    "nullable integer": (pd.array([1, None, 3], dtype="Int64"), [1, None, 3]),
    "nullable float": (pd.array([1.5, None], dtype="Float64"), [1.5, None]),
    "nullable boolean": (pd.array([True, None], dtype="boolean"), [True, None]),
    "string": (pd.array(["x", None], dtype="string"), ["x", None]),
    "arrow float": (pd.array([1.5, None], dtype=pd.ArrowDtype(pa.float32())), [1.5, None]),
    "arrow string": (pd.array(["x", None], dtype=pd.ArrowDtype(pa.large_string())), ["x", None]),
    "arrow dictionary": (pd.array(["x", "y"], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))), ["x", "y"]),
    "sparse": (pd.arrays.SparseArray([0, 0, 1.5]), [0, 0, 1.5]),
    "sparse with missing values": (pd.arrays.SparseArray([np.nan, 1.0]), [None, 1.0]),
    "period": (pd.period_range("2020-01", periods=2, freq="M"), [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 2, 1)]),
    "mixed": (np.array([1, "a", 2.5, None], object), ["1", "a", "2.5", None]),
    "mixed with NaN and NaT": (np.array(["a", np.nan, pd.NaT, pd.NA, 1], object), ["a", None, None, None, "1"]),
    "large integers": (np.array([2**70, 1], object), [str(2**70), "1"]),
    "complex": (np.array([1 + 2j, 0j]), ["(1+2j)", "0j"]),
    "dates": (np.array([DAY, None], object), [DAY, None]),
    "lists": (np.array([[1.0, 2.0], [3.0, 4.0]], object), [[1.0, 2.0], [3.0, 4.0]]),
}


@pytest.mark.parametrize("name", PANDAS)
def test_a_pandas_series_of_any_kind_is_read(name):
    column, expected = PANDAS[name]
    assert values(pd.Series(list(column) if isinstance(column, np.ndarray) and column.ndim > 1 else column)) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([b"a", "ö".encode()]), ["a", "ö"]),
        (np.array([1.5, np.nan]), [1.5, None]),
        (np.array([1, 2], ">i4"), [1, 2]),
        (np.array([0.5, 1.5], np.longdouble), [0.5, 1.5]),
        (np.array([0.5, 1.5], np.float16), [0.5, 1.5]),
        (np.ma.masked_array([1, 2, 3], [False, True, False]), [1, None, 3]),
        (np.array(["2020-01", "2021-02"], "datetime64[M]"), [datetime.datetime(2020, 1, 1), datetime.datetime(2021, 2, 1)]),
        (np.array([1, "a", None], object), ["1", "a", None]),
        (np.arange(4.0).reshape(2, 2), [[0.0, 1.0], [2.0, 3.0]]),
        (np.arange(8.0)[::4], [0.0, 4.0]),
        (torch.tensor([1, 2]), [1, 2]),
        (list(torch.tensor([1.5, 2.5])), [1.5, 2.5]),
        ([1, None, float("nan")], [1, None, None]),
        ([True, False], [True, False]),
        ([True, 1, "x"], ["True", "1", "x"]),
        ([decimal.Decimal("1.5"), None], [1.5, None]),
        (range(3), [0, 1, 2]),
        ((k for k in "ab"), ["a", "b"]),
        ([np.array([1.0, 2.0]), np.array([3.0, 4.0])], [[1.0, 2.0], [3.0, 4.0]]),
        ([], []),
    ],
)
def test_arrays_and_sequences_are_read(column, expected):
    assert values(column) == expected


@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.uint32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string())], ids=str
)
@pytest.mark.parametrize("n_chunks", [1, 3])
def test_arrow_text_of_any_layout_is_read(kind, n_chunks):
    column = pa.chunked_array([pa.array(["x", None, "y"]).cast(kind)] * n_chunks)
    assert values(column) == ["x", None, "y"] * n_chunks


def test_dictionaries_and_structures_of_views_are_read():
    view = pa.array(["x", "y"]).cast(pa.string_view())
    assert values(pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.uint32()), view)) == ["y", None, "x"]
    picture = pa.array([{"bytes": b"p", "path": "a"}], pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())]))
    assert column_array(picture, "a").type == pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])


@pytest.mark.parametrize("column", [1, "abc", b"abc", None, {"a": 1}, {1, 2}, np.array(3), np.zeros(2, [("a", int)])])
def test_what_is_no_sequence_of_values_is_refused(column):
    with pytest.raises(UsageError, match=r"scan: column 'a' is .* — expected"):
        column_array(column, "column 'a'")
