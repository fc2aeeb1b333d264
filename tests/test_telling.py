"""The columns that speak against a label."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zcurate import infer
from zcurate.dataset import Origin
from zcurate.options import ScanOptions
from zcurate.telling import shown, telling


def test_the_column_that_gives_a_wrong_label_away_comes_first():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    size = np.where(y == 0, 1.0, 9.0) + rng.normal(0, 0.3, 200)
    noise = rng.normal(0, 1, 200)
    colour = np.where(y == 0, "red", "blue").astype(object)
    given = y.copy()
    given[0] = 1
    table = pa.table({"noise": noise, "size": size, "colour": pa.array(colour.tolist()), "label": pa.array([["a", "b"][v] for v in given])})
    data = infer.dataset(table, Origin("m", "arrow"), ScanOptions())
    words = telling(data, np.array([0]), given, np.where(np.arange(200) == 0, 0, -1)).to_pylist()
    assert [word.split("=")[0] for word in words[0][:2]] in (["size", "colour"], ["colour", "size"])
    assert words[0][2].startswith("noise=")


def test_regression_shows_what_is_unusual():
    x = np.r_[np.random.default_rng(0).normal(0, 1, 99), 40.0]
    table = pa.table({"plain": np.random.default_rng(1).normal(0, 1, 100), "odd": x, "label": x + 0.5})
    data = infer.dataset(table, Origin("m", "arrow"), ScanOptions())
    zeros = np.zeros(100, np.int64)
    assert telling(data, np.array([99]), zeros, zeros - 1).to_pylist()[0][0] == "odd=40"


def test_long_text_is_cut_and_missing_values_are_named():
    assert shown("x " * 100).endswith("…")
    assert shown(None) == "(missing)"
    assert shown(0.1234567891) == "0.123457"
