"""The columns of several annotators and their consensus."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from zcurate.data.annotators import annotator_columns, consensus_of, read_annotations
from zcurate.errors import InputError, UsageError

NAMES = ["x", "who_a", "who_b", "other"]


def test_columns_are_named_by_comma_or_glob():
    assert annotator_columns(NAMES, "who_*", "d.csv") == ["who_a", "who_b"]
    assert annotator_columns(NAMES, "other, who_a", "d.csv") == ["other", "who_a"]
    assert annotator_columns(NAMES, None, "d.csv") == []
    with pytest.raises(UsageError, match=r"--annotators whom matches no column.*--annotators who_"):
        annotator_columns(NAMES, "whom", "d.csv")
    with pytest.raises(UsageError, match="expected two or more"):
        annotator_columns(NAMES, "who_a", "d.csv")


def test_labels_are_read_alike_whatever_their_type():
    table = pa.table({"a": [1.0, None, 2.0], "b": pa.array([" 1", "2", ""]), "c": pa.array([1, 2, None]), "d": pa.array(["1", "1", None]).dictionary_encode()})
    found = read_annotations(table, list("abcd"), "d.csv")
    assert found.names == ("1", "2")
    assert found.code.tolist() == [[0, 0, 0, 0], [-1, 1, 1, 0], [1, -1, -1, -1]]


@pytest.mark.parametrize(("column", "message"), [([[1], [2]], "of type list<"), ([None, None], "0 different labels"), (["a", "a"], "1 different labels")])
def test_what_is_no_label_is_refused(column, message):
    table = pa.table({"a": pa.array(column), "b": pa.array(column)})
    with pytest.raises(InputError, match=message):
        read_annotations(table, ["a", "b"], "d.csv")


def test_reliable_annotators_outvote_others():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    columns = {f"good{k}": truth for k in range(2)} | {f"bad{k}": rng.integers(0, 3, 400) for k in range(3)}
    annotations = read_annotations(pa.table({name: [f"c{value}" for value in values] for name, values in columns.items()}), list(columns), "d.csv")
    found = consensus_of(annotations).to_pylist()
    assert np.mean(np.array(found) == [f"c{value}" for value in truth]) > 0.99


def test_rows_that_nobody_labelled_have_no_consensus():
    annotations = read_annotations(pa.table({"a": ["x", None, "y"], "b": ["x", None, None]}), ["a", "b"], "d.csv")
    assert consensus_of(annotations).to_pylist() == ["x", None, "y"]
