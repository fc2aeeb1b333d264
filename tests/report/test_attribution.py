"""The columns that speak against a label."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import schema
from zcurate.data.dataset import InputInfo
from zcurate.report import attribution
from zcurate.report.attribution import attribute, format_numbers, format_value


def test_the_column_that_reveals_a_wrong_label_comes_first():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    size = np.where(y == 0, 1.0, 9.0) + rng.normal(0, 0.3, 200)
    noise = rng.normal(0, 1, 200)
    colour = np.where(y == 0, "red", "blue").astype(object)
    given = y.copy()
    given[0] = 1
    table = pa.table({"noise": noise, "size": size, "colour": pa.array(colour.tolist()), "label": pa.array([["a", "b"][v] for v in given])})
    data = schema.dataset(table, InputInfo("m", "arrow"), ScanOptions())
    words = attribute(data, np.array([0]), given, np.where(np.arange(200) == 0, 0, -1)).to_pylist()
    assert [word.split("=")[0] for word in words[0][:2]] in (["size", "colour"], ["colour", "size"])
    assert words[0][2].startswith("noise=")


def test_regression_shows_what_is_unusual():
    x = np.r_[np.random.default_rng(0).normal(0, 1, 99), 40.0]
    table = pa.table({"plain": np.random.default_rng(1).normal(0, 1, 100), "odd": x, "label": x + 0.5})
    data = schema.dataset(table, InputInfo("m", "arrow"), ScanOptions())
    zeros = np.zeros(100, np.int64)
    assert attribute(data, np.array([99]), zeros, zeros - 1).to_pylist()[0][0] == "odd=40"


def test_long_text_is_truncated_and_missing_values_are_named():
    assert format_value("x " * 100).endswith("…")
    assert format_value(None) == "(missing)"
    assert format_value(0.1234567891) == "0.123457"


def test_many_numbers_are_formatted_like_one():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=3000) * 10.0 ** rng.integers(-8, 12, 3000), [0.0, -0.0, 1e6, 999_999.4, 1e-4, np.inf, 3.0]])
    values = pa.array(x, mask=np.arange(len(x)) == 5)
    assert format_numbers(values).to_pylist() == [format_value(value) for value in values.to_pylist()]


def test_columns_come_by_strength_and_earlier_ones_first_among_equals():
    n = 400
    rng = np.random.default_rng(2)
    same = rng.integers(0, 4, n).astype(float) + 0.5
    table = pa.table({"label": pa.array(["a", "b"] * (n // 2)), **{f"x{k}": same if k in (1, 3, 4) else rng.integers(0, 4, n) + 0.5 for k in range(6)}})
    data = schema.dataset(table, InputInfo("m", "arrow"), ScanOptions())
    columns, row, given = list(data.roles.features), np.arange(n), np.arange(n) % 2
    classes, profiles = attribution.AttributionRows(given, 1 - given), attribution.ColumnProfiles(data.arrays, given, 2)
    strength = np.stack([attribution.column_evidence(data.arrays[c.name], c, row, classes, profiles) for c in columns])
    expected = np.argsort(-strength, axis=0, kind="stable")[:3].T
    np.testing.assert_array_equal(attribution.top_attributions(data, columns, row, classes, profiles), expected)


def test_profiles_of_a_sample_give_nearly_the_same_columns(monkeypatch):
    n = 4000
    rng = np.random.default_rng(4)
    y = np.arange(n) % 2
    table = pa.table(
        {
            "a": y + rng.normal(0, 0.3, n),
            "b": rng.normal(size=n),
            "c": pa.array(np.array(["u", "v"])[y ^ (rng.random(n) < 0.1)]),
            "label": pa.array(np.array(["p", "q"])[y]),
        }
    )
    data = schema.dataset(table, InputInfo("m", "arrow"), ScanOptions())
    row, other = np.arange(0, n, 10), 1 - y
    every = attribute(data, row, y, other).to_pylist()
    monkeypatch.setattr(attribution, "PROFILE_ROWS", 2000)
    some = attribute(data, row, y, other).to_pylist()
    assert np.mean([a[0] == b[0] for a, b in zip(every, some, strict=True)]) > 0.95
