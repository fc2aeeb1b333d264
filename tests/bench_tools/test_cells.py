"""Cell-by-cell comparison of tables."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.bench.cells import differing

NAN = float("nan")
TABLE = {
    "row": pa.array([0, 1, 2]),
    "p": pa.array([0.5, NAN, None], pa.float32()),
    "verdict": pa.array(["clean", "hard", "clean"]).dictionary_encode(),
    "curve": pa.array([[1.0, NAN], [], None], pa.list_(pa.float32())),
    "reasons": pa.array([["a"], ["b", "c"], []]),
}


def test_a_table_equals_itself_with_nan_null_and_other_chunks():
    table = pa.table(TABLE)
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert differing(table, pa.table(TABLE)) == []
    assert differing(table, chunked) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("row", pa.array([0, 1, 3])),
        ("p", pa.array([0.5, 0.0, None], pa.float32())),
        ("p", pa.array([0.5, None, None], pa.float32())),
        ("p", pa.array([0.5, NAN, None], pa.float64())),
        ("verdict", pa.array(["clean", "clean", "clean"]).dictionary_encode()),
        ("curve", pa.array([[1.0, 2.0], [], None], pa.list_(pa.float32()))),
        ("curve", pa.array([[1.0], [NAN], None], pa.list_(pa.float32()))),
        ("reasons", pa.array([["a"], ["b", "d"], []])),
    ],
)
def test_a_differing_cell_names_its_column(column, value):
    assert differing(pa.table(TABLE), pa.table({**TABLE, column: value})) == [column]


def test_the_order_of_dictionary_values_does_not_matter():
    other = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.int32()), pa.array(["hard", "clean"]))
    assert differing(pa.table(TABLE), pa.table({**TABLE, "verdict": other})) == []


def test_columns_of_only_one_table_are_named():
    table = pa.table(TABLE)
    assert differing(table, table.drop(["p"])) == ["p"]
    assert differing(table.drop(["p", "row"]), table) == ["p", "row"]
