"""Reading the slices of `--slices`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from zcurate.data.slices import MISSING, read_slices
from zcurate.errors import InputError


def test_slices_come_most_frequent_first():
    found = read_slices(pa.table({"who": ["b", "a", None, "a"]}), "who", "x.csv")
    assert found.names[0] == "a" and set(found.names) == {"a", "b", MISSING}
    assert [found.names[at] for at in found.code] == ["b", "a", MISSING, "a"]
    assert read_slices(pa.table({"who": ["b"]}), None, "x.csv") is None


def test_dictionaries_and_numbers_are_slices():
    table = pa.table({"who": pa.array(["x", "y", "x"]).dictionary_encode(), "year": [2001, 2002, 2001]})
    assert read_slices(table, "who", "x.csv").names == ("x", "y")
    found = read_slices(table, "year", "x.csv")
    assert (found.names, found.code.tolist()) == (("2001", "2002"), [0, 1, 0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a"] * 5, "has 1 different values — expected 2 to 1000 — leave it out"),
        (np.arange(1500), "has 1500 different values"),
        ([[1], [2]], "of type list<"),
    ],
)
def test_columns_that_are_no_slices_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        read_slices(pa.table({"who": values}), "who", "x.csv")
