"""Tables in memory: every kind gives the same data set, labels may come apart, and what cannot be read says what to pass."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from zcurate.data.inputs import read_input
from zcurate.data.memory import prepare
from zcurate.errors import UsageError
from zcurate.pipeline.api import options_from

ROWS = 30
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 2))
Y = np.array(["ant", "bee"])[np.arange(ROWS) % 2]
FRAME = pd.DataFrame(X, columns=["a", "b"]).assign(label=Y)
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)


class Stream:
    """Anything with Arrow's C stream interface."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def read(data, y=None, **settings):
    table, settings = prepare(data, y, settings)
    return read_input(table, options_from(settings))


def facts(data):
    """What a scan sees of a data set."""
    names = [column.name for column in data.roles.features]
    values = [data.arrays[name].to_pylist() for name in names]
    return names, values, data.given.to_pylist(), data.roles.label, data.task.kind, data.warnings


EXPECTED = (["a", "b"], X.T.tolist(), Y.tolist(), "label", "binary", ())
WHOLE = {
    "pandas": lambda: FRAME,
    "pandas with an index": lambda: FRAME.set_axis(range(100, 100 + ROWS)),
    "pandas with an index of levels": lambda: FRAME.set_axis(pd.MultiIndex.from_product([range(3), range(10)])),
    "arrow": lambda: TABLE,
    "record batch": lambda: TABLE.to_batches()[0],
    "reader": lambda: TABLE.to_reader(),
    "C stream": lambda: Stream(TABLE),
    "C stream in batches": lambda: Stream(pa.Table.from_batches(TABLE.to_batches(7))),
    "polars": lambda: pytest.importorskip("polars").DataFrame(TABLE),
    "dictionary of arrays": lambda: {"a": X[:, 0], "b": X[:, 1], "label": Y},
    "dictionary of lists": lambda: {"a": X[:, 0].tolist(), "b": tuple(X[:, 1]), "label": Y.tolist()},
    "dictionary of all kinds": lambda: {"a": FRAME["a"], "b": TABLE["b"], "label": pd.Categorical(Y)},
    "records": lambda: FRAME.to_dict("records"),
    "named tuples": lambda: list(map(namedtuple("Row", "a b label")._make, FRAME.itertuples(index=False))),
    "structured array": lambda: FRAME.to_records(index=False),
    "structured array of bytes": lambda: np.array(list(zip(*X.T, Y.astype("S"), strict=True)), [("a", ">f8"), ("b", "f8"), ("label", "S3")]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_kind_of_table_gives_the_same_data_set(name):
    assert facts(read(WHOLE[name]())) == EXPECTED


Y_KINDS = {
    "array": lambda: Y,
    "list": lambda: Y.tolist(),
    "tuple": lambda: tuple(Y),
    "generator": lambda: (label for label in Y),
    "series": lambda: FRAME["label"],
    "series without a name": lambda: pd.Series(Y),
    "category": lambda: FRAME["label"].astype("category"),
    "frame of one column": lambda: FRAME[["label"]],
    "array of one column": lambda: Y[:, None],
    "objects": lambda: Y.astype(object),
    "bytes": lambda: Y.astype("S"),
    "arrow": lambda: TABLE["label"],
    "polars": lambda: pytest.importorskip("polars").Series("label", Y),
}
X_KINDS = {
    "pandas": lambda: FRAME[["a", "b"]],
    "polars": lambda: pytest.importorskip("polars").DataFrame(FRAME[["a", "b"]]),
    "dictionary": lambda: {"a": X[:, 0], "b": X[:, 1]},
}


@pytest.mark.parametrize("name", Y_KINDS)
def test_labels_may_come_apart(name):
    for rows in X_KINDS.values():
        assert facts(read(rows(), Y_KINDS[name]())) == EXPECTED


ARRAYS = {
    "array": lambda: X,
    "Fortran order": lambda: np.asfortranarray(X),
    "list of lists": lambda: X.tolist(),
    "list of arrays": lambda: list(X),
    "tuple of tuples": lambda: tuple(map(tuple, X)),
    "tensor": lambda: torch.tensor(X),
    "matrix of objects": lambda: X.astype(object),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_columns_of_arrays_are_numbered(name):
    assert facts(read(ARRAYS[name](), Y)) == (["x0", "x1"], *EXPECTED[1:])


def test_texts_are_a_column_of_their_own():
    texts = [f"the {'good' if k % 2 else 'bad'} thing number {k} is here" for k in range(ROWS)]
    data = read(texts, Y)
    assert [(column.name, column.kind) for column in data.roles.features] == [("x0", "text")]
    assert [column.name for column in read(pd.Series(texts, name="review"), Y).roles.features] == ["review"]


def test_a_label_column_of_an_array_is_named_by_its_number():
    data = read(np.c_[X.astype(object), Y], label="x2")
    assert ([column.name for column in data.roles.features], data.given.to_pylist()) == (["x0", "x1"], Y.tolist())


@pytest.mark.parametrize(
    ("y", "settings", "label"),
    [
        (Y, {}, "label"),
        (Y, {"label": "species"}, "species"),
        (pd.Series(Y, name="species"), {}, "species"),
        (pd.Series(Y, name="a"), {}, "a.1"),
        (pd.Series(Y, name=7), {}, "7"),
    ],
)
def test_labels_that_come_apart_have_a_name(y, settings, label):
    assert read(FRAME[["a", "b"]], y, **settings).roles.label == label


def test_records_may_lack_keys():
    rows = [{"a": k / 4, "label": Y[k]} | ({"b": k % 5} if k >= 3 else {}) for k in range(ROWS)]
    data = read(rows)
    assert data.table.column_names == ["a", "label", "b"]
    assert data.table.column("b").to_pylist()[:5] == [None, None, None, 3, 4]


@pytest.mark.parametrize(
    ("names", "settings", "label"),
    [
        (range(3), {"label": 2}, "2"),
        (range(3), {"label": np.int64(2)}, "2"),
        (range(3), {"label": "2"}, "2"),
        ([("x", "a"), ("x", "b"), ("y", "")], {"label": ("y", "")}, "y"),
        ([("x", "a"), ("x", "b"), ("y", "")], {"label": "y"}, "y"),
        ([" a", "b", " kind "], {"label": " kind "}, "kind"),
        ([1.5, 2.5, "kind"], {"label": "kind"}, "kind"),
    ],
)
def test_columns_are_named_as_in_the_data(names, settings, label):
    frame = FRAME.set_axis(pd.MultiIndex.from_tuples(names) if isinstance(names, list) and isinstance(names[0], tuple) else list(names), axis=1)
    data = read(frame, **settings)
    assert (data.roles.label, data.given.to_pylist()) == (label, Y.tolist())


@pytest.mark.parametrize("exclude", [0, [0], "0", ["0"], (0,)])
def test_excluded_columns_are_named_as_in_the_data(exclude):
    data = read(FRAME.set_axis(range(3), axis=1), label=2, exclude=exclude)
    assert [column.name for column in data.roles.features] == ["1"]


def test_repeated_names_are_told_and_never_guessed():
    frame = FRAME.set_axis(["a", "a", "label"], axis=1)
    data = read(frame)
    assert [column.name for column in data.roles.features] == ["a", "a.1"]
    assert data.warnings == ("several columns are named 'a': all but the first are called a.1 and so on",)
    with pytest.raises(UsageError, match="label = 'a' — 2 columns have this name"):
        read(frame, label="a")


def test_indexes_that_differ_are_told_and_shuffled_ones_are_refused():
    rows = FRAME[["a", "b"]]
    moved = FRAME["label"].set_axis(range(50, 50 + ROWS))
    assert read(rows, moved).warnings == ("the data and y have different indexes: labels are joined to rows by position",)
    with pytest.raises(UsageError, match=r"in another order — .* — pass y.loc\[X.index\]"):
        read(rows, FRAME["label"][::-1])


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (Y[:9], "y has 9 labels, the data have 30 rows"),
        (Y.tolist() * 2, "y has 60 labels, the data have 30 rows"),
        ([], "y has 0 labels"),
        ("label", "to name a column of the data: label='label'"),
        (3, "y of type int"),
        ({"label": Y}, "y of type dict"),
        (set(Y), "y of type set"),
        (np.eye(2)[np.arange(ROWS) % 2], r"y has 2 columns — .* y.argmax\(1\)"),
        (FRAME, "y has 3 columns"),
        (object(), "y of type object"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y, told):
    with pytest.raises(UsageError, match=f"scan: .*{told}"):
        read(X, y)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (X, r"rows without labels — .* — pass scan\(X, y\), or label='x1'"),
        (X.tolist(), r"rows without labels"),
        (X[:, 0], "an array of shape 30 — expected rows x columns"),
        (np.zeros((4, 3, 3)), "an array of shape 4x3x3 — .* — save pictures as .npz"),
        (scipy.sparse.csr_matrix(X), r"a sparse matrix — .* X.toarray\(\)"),
        ([[1, 2], [3]], "row 1 has 1 values — expected 2"),
        ([1, 2, 3], "data of type list, of int"),
        (["a", "b"], "data of type list, of str"),
        ([{"a": 1}, 2], "data of type list, of dict"),
        ([], "data of type list, which is empty"),
        ({"a": [1, 2], "label": ["x"]}, "column 'label' has 1 values, 'a' has 2"),
        ({"a": 1, "label": Y}, "column 'a' is of type int"),
        (5, "data of type int — expected a path; a pandas, polars"),
        (None, "data of type NoneType"),
        ({1, 2}, "data of type set"),
        (FRAME.set_index("label"), "label = 'label' is in the index — .* — pass frame.reset_index"),
    ],
)
def test_what_is_no_table_is_refused(data, told):
    with pytest.raises(UsageError, match=f"scan: .*{told}"):
        read(data, label="label") if isinstance(data, pd.DataFrame) else read(data)


def test_a_column_that_y_and_label_both_name_is_refused():
    with pytest.raises(UsageError, match="label = 'label' names a column, and y holds labels too"):
        read(FRAME, Y, label="label")


def test_a_lazy_frame_says_to_collect_it():
    polars = pytest.importorskip("polars")
    with pytest.raises(UsageError, match=r"data of type LazyFrame — .* — pass .collect\(\) of it"):
        read(polars.DataFrame(TABLE).lazy())


def test_polars_columns_of_every_kind_are_read():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({
        "label": pl.Series(Y, dtype=pl.Categorical), "enum": pl.Series(["u", "v", "w"] * 10, dtype=pl.Enum(["u", "v", "w"])),
        "list": [[k / 4, 1.0] for k in range(ROWS)], "array": pl.Series([[k / 4, 1.0] for k in range(ROWS)], dtype=pl.Array(pl.Float32, 2)),
        "truth": [k % 3 == 0 for k in range(ROWS)], "byte": pl.Series([k % 9 for k in range(ROWS)], dtype=pl.UInt8),
        "huge": pl.Series([k % 5 for k in range(ROWS)], dtype=pl.Int128),
    })  # fmt: skip
    data = read(frame)
    kinds = {column.name: column.kind for column in data.roles.features}
    assert kinds == {"enum": "category", "list": "vector", "array": "vector", "truth": "number", "byte": "number", "huge": "number"}
    assert data.given.to_pylist() == Y.tolist()
    assert data.origin.format == "polars"


def test_a_report_is_no_data():
    from tests.report.test_report import small

    with pytest.raises(UsageError, match=r"a zcurate report, not data — .* — report.top\(100\)"):
        read(small())
