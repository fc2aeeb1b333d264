import json

import pandas as pd
import pytest

from zcurate.config.options import ScanOptions
from zcurate.data import discovery, readers
from zcurate.errors import InputError

FRAME = pd.DataFrame({"x": [k / 2 for k in range(40)], "colour": ["red", "blue"] * 20, "label": [f"{'abc'[k % 3]}" for k in range(40)]})


def read(path):
    return readers.read(discovery.locate(str(path), None), ScanOptions(label="label"))


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
def test_what_pandas_writes_is_read_in_every_orientation(tmp_path, orient):
    FRAME.to_json(tmp_path / "t.json", orient=orient)
    data = read(tmp_path / "t.json")
    assert data.given.to_pylist() == FRAME["label"].tolist()
    assert data.table.column("x").to_pylist() == FRAME["x"].tolist()


@pytest.mark.parametrize(
    "document",
    [
        FRAME.to_dict("list"),
        {"data": FRAME.to_dict("records")},
        {"version": 2, "rows": FRAME.to_dict("records"), "tags": ["a", "b"]},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": None, "properties": row} for row in FRAME.to_dict("records")]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_that_holds_the_rows(tmp_path, document, indent):
    (tmp_path / "t.json").write_text(json.dumps(document, indent=indent))
    assert read(tmp_path / "t.json").given.to_pylist() == FRAME["label"].tolist()


@pytest.mark.parametrize("document", [{"x": [1, 2, 3], "label": ["a"]}, {"a": {"b": {"c": 1}}, "d": [1]}])
def test_an_object_without_rows_is_refused(tmp_path, document):
    (tmp_path / "t.json").write_text(json.dumps(document, indent=1))
    with pytest.raises(InputError, match="one object that holds no rows — expected one object per line, an array of objects, or columns of equal length"):
        read(tmp_path / "t.json")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**70 + k % 9 * 2**60 for k in range(40)], "number"),
        (["\ud800", "ok"] * 20, "category"),
        ([1, "two"] * 20, "category"),
        ([{"a": 1}, 2] * 20, "category"),
    ],
)
def test_odd_values_are_carried(tmp_path, values, kind):
    rows = [{"v": value, "x": k / 2, "label": "ab"[k % 2]} for k, value in enumerate(values)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = read(tmp_path / "t.jsonl")
    assert (data.n_rows, {column.name: column.kind for column in data.roles.features}["v"]) == (40, kind)


def test_broken_and_deep_json_is_refused(tmp_path):
    (tmp_path / "t.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="line 1: JSON nested more than 100 levels deep"):
        read(tmp_path / "t.json")
    (tmp_path / "u.jsonl").write_text('{"label": "a", "x": 1}\n{"label": "b", "x": ' + "[" * 100_000 + "\n")
    with pytest.raises(InputError, match="line 2: JSON nested more than 100 levels deep"):
        read(tmp_path / "u.jsonl")
