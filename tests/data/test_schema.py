"""Inference of column roles and task."""

from __future__ import annotations

import pyarrow as pa
import pytest

from zcurate.config.options import ScanOptions
from zcurate.data import schema
from zcurate.data.dataset import InputInfo
from zcurate.errors import InputError, UsageError

WHERE = InputInfo("data.csv", "csv")


def dataset_of(columns, **options):
    return schema.dataset(pa.table(columns), WHERE, ScanOptions(**options))


def kinds(data):
    return {column.name: column.kind for column in data.roles.features}


def left_out(data):
    return {out.name: out.why for out in data.roles.left_out}


BASE = {"x": [0.5 * k for k in range(40)], "label": ["a", "b"] * 20}


def test_a_single_usual_label_name_is_found():
    assert dataset_of(BASE).roles.label == "label"
    assert dataset_of({"x": BASE["x"], "Target": BASE["label"]}).roles.label == "Target"


def test_a_missing_label_column_lists_columns_and_the_nearest():
    with pytest.raises(UsageError, match=r"no column 'lable' — columns: x, label — did you mean --label label\?"):
        dataset_of(BASE, label="lable")


def test_two_usual_label_names_are_refused():
    with pytest.raises(UsageError, match="could each be the label"):
        dataset_of({**BASE, "y": BASE["label"]})


def test_no_usual_label_name_is_refused():
    with pytest.raises(UsageError, match="which column holds the labels"):
        dataset_of({"x": BASE["x"], "species": BASE["label"]})


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["a", "b"] * 20, "binary"),
        (["a", "b", "c", "d"] * 10, "multiclass"),
        ([0, 1] * 20, "binary"),
        ([True, False] * 20, "binary"),
        (list(range(40)), "regression"),
        ([7 * (k % 4) for k in range(40)], "multiclass"),
        ([1.0, 2.0] * 20, "binary"),
        ([0.5 * k for k in range(40)], "regression"),
        (["1", "2", "3", "4"] * 10, "multiclass"),
        (["1.5", "2.5"] * 20, "regression"),
    ],
)
def test_the_task_follows_from_the_labels(labels, kind):
    assert dataset_of({"x": BASE["x"], "label": labels}).task.kind == kind


def test_many_integers_are_a_quantity():
    n = 60
    data = dataset_of({"x": [0.5 * k for k in range(n)], "label": list(range(n))})
    assert data.task.kind == "regression"
    assert "60 distinct values that measure something" in data.task.why


def test_labels_are_kept_as_written():
    data = dataset_of({"x": BASE["x"], "label": [" a ", "b"] * 20})
    assert set(data.task.classes) == {"a", "b"}
    assert dataset_of({"x": BASE["x"], "label": [True, False] * 20}).task.classes == ("false", "true")
    assert dataset_of({"x": BASE["x"], "label": [10, 9] * 20}).task.classes == ("9", "10")


@pytest.mark.parametrize("word", ["", "  ", None])
def test_an_empty_label_is_unlabelled(word):
    data = dataset_of({"x": BASE["x"], "label": [word, "b", "c", "b"] * 10})
    assert data.given.null_count == 10
    assert data.task.classes == ("b", "c")


@pytest.mark.parametrize("word", ["NA", "n/a", "null", "None", "NaN"])
def test_typed_words_are_classes_unless_missing_names_them(word):
    labels = [word, "b", "c", "b"] * 10
    assert word in dataset_of({"x": BASE["x"], "label": labels}).task.classes
    assert dataset_of({"x": BASE["x"], "label": labels}, missing=f"?,{word}").given.null_count == 10


def test_one_class_is_refused_before_the_number_of_rows():
    with pytest.raises(InputError, match="has one class, a"):
        dataset_of({"x": [1.5, 2.5], "label": ["a", "a"]})


def test_no_label_at_all_is_refused():
    with pytest.raises(InputError, match="0 of 40 rows have a label"):
        dataset_of({"x": BASE["x"], "label": [""] * 40})


def test_too_many_classes_are_refused():
    n = 1500
    with pytest.raises(InputError, match="1500 different labels in 1500 rows"):
        dataset_of({"x": [0.5 * k for k in range(n)], "label": [f"c{k}" for k in range(n)]})


def test_a_task_that_does_not_fit_is_refused_with_the_reason():
    with pytest.raises(UsageError, match="--task binary, but column 'label' has 4 classes"):
        dataset_of({"x": BASE["x"], "label": ["a", "b", "c", "d"] * 10}, task="binary")
    with pytest.raises(UsageError, match="holds 'a' — expected numbers"):
        dataset_of(BASE, task="regression")


def test_columns_are_read_by_their_values():
    words = ["one two three four", "five six seven eight", "nine ten eleven and so on"]
    data = dataset_of(
        {
            **BASE,
            "flag": [True, None] * 20,
            "text_number": ["1", "2.5"] * 20,
            "day": [f"2024-01-{1 + k % 28:02d}" for k in range(40)],
            "colour": ["red", "blue", "", "red"] * 10,
            "note": [f"{words[k % 3]} {k} again" for k in range(40)],
            "vector": [[float(k), 1.0] for k in range(40)],
        }
    )
    assert kinds(data) == {
        "x": "number", "flag": "number", "text_number": "number", "day": "time", "colour": "category", "note": "text", "vector": "vector",
    }  # fmt: skip


def test_useless_columns_are_left_out_with_a_reason():
    data = dataset_of(
        {**BASE, "same": [1] * 40, "none": pa.nulls(40), "key": [f"k{k}" for k in range(40)], "number": list(range(100, 140)), "out": [1, 2] * 20},
        exclude=("ou*",),
    )
    assert left_out(data) == {
        "same": "constant", "none": "all missing", "key": "identifier: codes that hardly repeat",
        "number": "identifier: whole numbers that hardly repeat", "out": "excluded",
    }  # fmt: skip


def test_excluding_a_missing_column_is_refused():
    with pytest.raises(UsageError, match="--exclude colr matches no column"):
        dataset_of({**BASE, "colour": ["r"] * 40}, exclude=("colr",))


def test_a_leaking_column_is_used_with_a_warning():
    data = dataset_of({**BASE, "code": [7, 9] * 20})
    assert "code" in kinds(data)
    assert "column 'code' alone determines the label" in data.warnings[0]


def test_an_honest_column_is_no_leak():
    data = dataset_of({**BASE, "code": [7, 9, 9, 9] * 10})
    assert data.warnings == ()


def test_without_a_feature_column_the_error_lists_the_columns():
    with pytest.raises(InputError, match="no column is left to learn from — left out: same \\(constant\\)"):
        dataset_of({"same": [1] * 40, "label": BASE["label"]})


def test_a_header_without_rows_is_refused():
    with pytest.raises(InputError, match="no rows"):
        schema.dataset(pa.table({"x": pa.array([], pa.float64()), "label": pa.array([], pa.string())}), WHERE, ScanOptions())


def test_text_without_spaces_between_words_is_text_and_no_identifier():
    chinese = [f"今天天气很好我们去公园玩第{k}次" for k in range(60)]
    data = schema.dataset(pa.table({"note": chinese, "label": ["a", "b"] * 30}), InputInfo("t.csv", "csv"), ScanOptions())
    assert [(column.name, column.kind) for column in data.roles.features] == [("note", "text")]


def test_many_distinct_sentences_are_text_however_often_they_are_repeated():
    notes = [f"the same long sentence as row {k % 1100}" for k in range(6000)]
    data = schema.dataset(pa.table({"note": notes, "label": ["a", "b"] * 3000}), InputInfo("t.csv", "csv"), ScanOptions())
    assert data.roles.features[0].kind == "text"


@pytest.mark.parametrize("exclude", [("a,b",), ("a, b",), ("a", "b"), ("a,b*",), ("[ab]",)])
def test_columns_to_exclude_may_be_a_list_by_comma(exclude):
    data = dataset_of({**BASE, "a": BASE["x"], "b": BASE["x"]}, exclude=exclude)
    assert (kinds(data), left_out(data)) == ({"x": "number"}, {"a": "excluded", "b": "excluded"})


def test_a_comma_in_the_name_of_a_column_to_exclude_is_kept():
    data = dataset_of({**BASE, "a,b": BASE["x"], "a": BASE["x"]}, exclude=("a,b",))
    assert (list(kinds(data)), list(left_out(data))) == (["x", "a"], ["a,b"])


@pytest.mark.parametrize("values", [["g"] * 40, [7] * 40, [True] * 40])
def test_a_single_group_is_refused(values):
    with pytest.raises(InputError, match=r"--group g is '\w+' in all 40 rows — expected two groups or more"):
        dataset_of({**BASE, "g": values}, group="g")


@pytest.mark.parametrize("values", [["g"] * 39 + ["h"], ["g"] * 39 + [None], [None] * 40])
def test_rows_without_a_group_and_a_second_group_are_no_obstacle(values):
    assert dataset_of({**BASE, "g": values}, group="g").roles.group == "g"


def test_the_index_of_a_pandas_frame_is_no_feature(tmp_path):
    import pandas as pd

    from zcurate.config.options import ScanOptions
    from zcurate.data.inputs import read_input

    frame = pd.DataFrame({"a": [1.0, 2.5, 3.1, 0.2] * 5, "label": ["x", "y"] * 10}).sample(frac=1, random_state=0)
    frame.to_parquet(tmp_path / "shuffled.parquet")
    roles = read_input(str(tmp_path / "shuffled.parquet"), ScanOptions(label="label")).roles
    assert [column.name for column in roles.features] == ["a"]
    assert [(column.name, column.why) for column in roles.left_out] == [("__index_level_0__", "index of a pandas frame")]
