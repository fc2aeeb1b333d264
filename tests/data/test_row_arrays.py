"""Features and probabilities that the user brings: read, matched to rows and classes, and refused where they cannot be right."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from zcurate.config.options import ScanOptions
from zcurate.data import inputs
from zcurate.data.row_arrays import RowArrays
from zcurate.errors import InputError, UsageError, ZcurateError
from zcurate.pipeline.checks import check_first

CLASSES = ["bird", "cat", "dog"]


@pytest.fixture
def given(tmp_path):
    """A table of 30 rows with ids, and probabilities that agree with 27 of their labels."""
    rng = np.random.default_rng(0)
    label = np.arange(30) % 3
    p = np.full((30, 3), 0.1)
    p[np.arange(30), np.where(np.arange(30) < 27, label, (label + 1) % 3)] = 0.8
    table = pd.DataFrame({"key": [f"k{row}" for row in range(30)], "x": rng.normal(size=30), "label": [CLASSES[at] for at in label]})
    table.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path, table, p.astype(np.float32)


def read(folder, arrays=None, **options):
    return inputs.read_input(str(folder / "t.csv"), ScanOptions(**options), arrays)


def test_the_columns_of_an_array_are_the_sorted_classes(given):
    folder, _, p = given
    np.save(folder / "p.npy", p)
    data = read(folder, probabilities=str(folder / "p.npy"))
    assert np.allclose(data.probabilities, p, atol=1e-6) and data.task.classes == tuple(CLASSES)
    assert any("classes in sorted order: bird, cat, dog" in text for text in data.warnings)


def test_numbers_are_sorted_by_value_and_capitals_come_first(tmp_path):
    """As numpy.unique sorts them, which is not the order of the report's classes for words."""
    rng = np.random.default_rng(0)
    for names in (["2", "10", "1"], ["b", "C", "a"]):
        label = [names[at] for at in np.arange(30) % 3]
        pd.DataFrame({"x": rng.normal(size=30), "label": label}).to_csv(tmp_path / "t.csv", index=False)
        unique = list(map(str, np.unique(np.array([int(one) if one.isdigit() else one for one in label]))))
        p = np.array([[0.8 if name == one else 0.1 for name in unique] for one in label], np.float32)
        data = read(tmp_path, RowArrays(probabilities=p), probabilities="<array>")
        assert [data.task.classes[at] for at in data.probabilities.argmax(1)] == label


@pytest.mark.parametrize("prefix", ["", "p_", "prob of "])
def test_named_columns_are_matched_by_name_in_any_order(given, prefix):
    folder, _, p = given
    pd.DataFrame({f"{prefix}{CLASSES[at]}": p[:, at] for at in (2, 0, 1)}).to_parquet(folder / "p.parquet")
    data = read(folder, probabilities=str(folder / "p.parquet"))
    assert np.allclose(data.probabilities, p, atol=1e-6) and not data.warnings
    assert data.row_arrays["columns"] == "by name"


def test_classes_that_begin_alike_are_told_from_a_prefix(tmp_path):
    label = ["cat", "car"] * 15
    pd.DataFrame({"x": range(30), "label": label}).to_csv(tmp_path / "t.csv", index=False)
    p = np.array([[0.9, 0.1] if one == "cat" else [0.1, 0.9] for one in label])
    data = read(tmp_path, RowArrays(probabilities=pd.DataFrame(p, columns=["p_cat", "p_car"])), probabilities="<array>")
    assert data.probabilities[0].tolist() == pytest.approx([0.1, 0.9])


def test_rows_are_matched_by_id(given):
    folder, table, p = given
    frame = pd.DataFrame(p, columns=CLASSES)
    frame.insert(0, "key", table["key"])
    frame.sample(frac=1, random_state=3).to_parquet(folder / "p.parquet")
    data = read(folder, probabilities=str(folder / "p.parquet"), id="key")
    assert np.allclose(data.probabilities, p, atol=1e-6)
    frame.iloc[:-1].to_parquet(folder / "p.parquet")
    with pytest.raises(UsageError, match="1 rows of the input are missing, such as key 'k29'"):
        read(folder, probabilities=str(folder / "p.parquet"), id="key")
    pd.concat([frame, frame.iloc[:1]]).to_parquet(folder / "p.parquet")
    with pytest.raises(UsageError, match="key 'k0' is there more than once"):
        read(folder, probabilities=str(folder / "p.parquet"), id="key")


@pytest.mark.parametrize("wanted", ["p", "q_*"])
def test_columns_of_the_input_hold_probabilities_and_are_no_features(given, wanted):
    folder, table, p = given
    table.assign(p=[str(row.tolist()) for row in p], **{f"q_{name}": p[:, at] for at, name in enumerate(CLASSES)}).to_csv(folder / "t.csv", index=False)
    other = {"p": "q_*", "q_*": "p"}[wanted]
    data = read(folder, probabilities=wanted, exclude=(other,))
    assert np.allclose(data.probabilities, p, atol=1e-6)
    assert [column.name for column in data.roles.features] == ["x"]
    assert not data.leaks


def test_a_table_may_hold_labels_alone_where_features_or_probabilities_are_given(given):
    folder, table, p = given
    table[["label"]].to_csv(folder / "t.csv", index=False)
    with pytest.raises(InputError, match="no column is left to learn from"):
        read(folder)
    assert read(folder, RowArrays(probabilities=p), probabilities="<array>").roles.features == ()
    data = read(folder, RowArrays(features=p), features="<array>")
    assert [(column.name, column.kind) for column in data.roles.features] == [("features", "vector")]
    assert data.arrays["features"].to_pylist()[0] == pytest.approx(p[0].tolist())


def test_features_do_not_take_the_name_of_a_column(given):
    folder, table, p = given
    table.rename(columns={"x": "features"}).to_csv(folder / "t.csv", index=False)
    data = read(folder, RowArrays(features=p), features="<array>")
    assert [column.name for column in data.roles.features] == ["features", "features_"]


def test_a_column_of_features_is_a_vector(given):
    folder, table, p = given
    table.assign(v=[str(row.tolist()) for row in p]).to_csv(folder / "t.csv", index=False)
    assert {column.name: column.kind for column in read(folder, features="v").roles.features} == {"v": "vector", "x": "number"}
    with pytest.raises(UsageError, match=r"--features x: the column is .* expected a list of numbers"):
        read(folder, features="x")


BAD = {
    "fewer rows": (lambda p: p[:-1], "29 rows — expected 30"),
    "a class more": (lambda p: np.concatenate([p, 0 * p[:, :1]], 1), "4 columns — expected 3"),
    "a class less": (lambda p: p[:, :2], "2 columns — expected 3"),
    "NaN": (lambda p: np.where(np.arange(30)[:, None] == 7, np.nan, p), "row 7 holds NaN or infinity, 1 rows do"),
    "infinity": (lambda p: np.where(np.arange(30)[:, None] == 7, np.inf, p), "row 7 holds NaN or infinity"),
    "sums": (lambda p: p * np.where(np.arange(30) == 4, 0.9, 1)[:, None], r"row 4 adds to 0\.9, 1 rows do not add to 1"),
    "logits": (lambda p: 20 * p - 9, "of logits take the softmax"),
    "one column": (lambda p: p[:, 0], r"an array of shape 30 .* numpy\.stack"),
    "words": (lambda p: p.astype(str), "expected numbers"),
    "complex": (lambda p: p.astype(complex), "expected numbers"),
    "empty": (lambda p: p[:0], "shape 0x3"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("in_memory", [False, True])
def test_what_cannot_be_probabilities_is_refused(given, name, in_memory):
    folder, _, p = given
    change, message = BAD[name]
    np.save(folder / "p.npy", change(p))
    arrays, wanted = (RowArrays(probabilities=change(p)), "<array>") if in_memory else (None, str(folder / "p.npy"))
    with pytest.raises(ZcurateError, match=message):
        read(folder, arrays, probabilities=wanted)


def test_half_precision_adds_to_one_nearly(given):
    folder, _, p = given
    np.save(folder / "p.npy", p.astype(np.float16))
    assert read(folder, probabilities=str(folder / "p.npy")).probabilities.sum(1) == pytest.approx(1, abs=1e-6)


def test_probabilities_of_other_rows_or_other_columns_are_noticed(tmp_path):
    label = np.arange(300) % 3
    pd.DataFrame({"x": range(300), "label": [CLASSES[at] for at in label]}).to_csv(tmp_path / "t.csv", index=False)
    p = np.eye(3)[label] * 0.7 + 0.1
    with pytest.raises(UsageError, match=r"agrees with 0\.0% of the labels, by chance 33\.3% .* check the order"):
        read(tmp_path, RowArrays(probabilities=p[:, [1, 2, 0]]), probabilities="<array>")
    assert any("agrees with every label" in text for text in read(tmp_path, RowArrays(probabilities=p), probabilities="<array>").warnings)


def test_files_are_data_and_broken_ones_are_refused(given):
    folder, _, p = given
    path, touched = folder / "p.npy", folder / "PWNED"

    class Attack:
        def __reduce__(self):
            return open, (str(touched), "w")

    np.save(path, np.array([Attack()], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"not a whole \.npy file of plain numbers"):
        read(folder, probabilities=str(path))
    path.write_bytes(pickle.dumps(Attack()))
    with pytest.raises(InputError, match=r"not a whole \.npy file"):
        read(folder, probabilities=str(path))
    assert not touched.exists()
    np.save(path, p)
    whole = path.read_bytes()
    for content in (b"", whole[:50], whole[:-40], whole.replace(b"(30, 3)", b"(90, 3)"), b"x" * 300):
        path.write_bytes(content)
        with pytest.raises(ZcurateError):
            read(folder, probabilities=str(path))
    (folder / "p.parquet").write_bytes(b"PAR1 none")
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read(folder, probabilities=str(folder / "p.parquet"))


def test_what_is_not_there_is_named(given):
    folder, _, _ = given
    with pytest.raises(UsageError, match=r"--probabilities none\.npy: no such file"):
        ScanOptions(probabilities="none.npy").check()
    with pytest.raises(
        UsageError, match=r"--probabilities labl is no column and no .npy or .parquet file — columns: key, x, label — did you mean --probabilities label\?"
    ):
        read(folder, probabilities="labl")
    with pytest.raises(UsageError, match=r"--features tim:x: no kind of network 'tim' .* did you mean timm\?"):
        ScanOptions(features="tim:x").check()
    with pytest.raises(UsageError, match=r"--features timm:: names no network — expected timm:NAME"):
        ScanOptions(features="timm:").check()
    with pytest.raises(UsageError, match=r"--model none: nothing to judge by"):
        check_first(ScanOptions(model="none"))
    (folder / "m.toml").write_text('name = "none"\n')
    with pytest.raises(UsageError, match=r"--model none: nothing to judge by"):
        check_first(ScanOptions(model=str(folder / "m.toml")))


def test_features_of_other_length_or_with_gaps_are_refused(given):
    folder, _, p = given
    with pytest.raises(UsageError, match="29 rows — expected 30"):
        read(folder, RowArrays(features=p[:-1]), features="<array>")
    with pytest.raises(UsageError, match="features <array>|features: row 3 holds NaN or infinity"):
        read(folder, RowArrays(features=np.where(np.arange(30)[:, None] == 3, np.nan, p)), features="<array>")


def test_targets_have_no_probabilities(given):
    folder, table, p = given
    table.assign(label=np.linspace(0, 1, 30) ** 2).to_csv(folder / "t.csv", index=False)
    with pytest.raises(UsageError, match="regression"):
        read(folder, RowArrays(probabilities=p), probabilities="<array>")


def test_ids_that_are_there_twice_or_missing_match_nothing(given):
    folder, table, p = given
    frame = pd.DataFrame(p, columns=CLASSES)
    frame.to_parquet(folder / "p.parquet")
    with pytest.raises(UsageError, match="has no column 'key' — expected that of --id"):
        read(folder, probabilities=str(folder / "p.parquet"), id="key")
    frame.insert(0, "key", table["key"])
    frame.to_parquet(folder / "p.parquet")
    table.assign(key=["k0", "k0", *table["key"][2:]]).to_csv(folder / "t.csv", index=False)
    with pytest.raises(UsageError, match=r"t\.csv: key 'k0' is there more than once"):
        read(folder, probabilities=str(folder / "p.parquet"), id="key")


def test_numbers_that_were_text_are_ordered_as_the_labels_say(tmp_path):
    label = np.array(["1", "2", "10", "1"] * 30)
    pd.DataFrame({"x": range(120), "label": label}).to_csv(tmp_path / "t.csv", index=False)
    for order in (["1", "10", "2"], ["1", "2", "10"]):
        p = np.array([[0.8 if name == one else 0.1 for name in order] for one in label])
        data = read(tmp_path, RowArrays(probabilities=p), probabilities="<array>")
        assert [data.task.classes[at] for at in data.probabilities.argmax(1)] == label.tolist()
        assert any(f"sorted order: {', '.join(order)}" in text for text in data.warnings)


@pytest.mark.parametrize(
    ("label", "columns"), [([True, False], ["p_True", "p_False"]), ([1.0, 0.0], ["1", "0"]), (["Red Fox", "cat"], ["red fox", "Cat"]), ([1, 0], ["1.0", "0.0"])]
)
def test_names_match_whatever_their_case_and_form(tmp_path, label, columns):
    pd.DataFrame({"x": range(40), "label": label * 20}).to_parquet(tmp_path / "t.parquet")
    p = np.array([[0.9, 0.1], [0.1, 0.9]] * 20)
    data = inputs.read_input(str(tmp_path / "t.parquet"), ScanOptions(probabilities="<array>"), RowArrays(probabilities=pd.DataFrame(p, columns=columns)))
    assert data.row_arrays["columns"] == "by name"
    assert [data.task.classes[at] for at in data.probabilities[:2].argmax(1)] == data.given[:2].to_pylist()


def test_swapped_columns_of_few_rows_are_refused(tmp_path):
    pd.DataFrame({"x": range(60), "label": ["a", "b"] * 30}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UsageError, match="check the order of rows and of columns"):
        read(tmp_path, RowArrays(probabilities=np.array([[0.1, 0.9], [0.9, 0.1]] * 30)), probabilities="<array>")


def test_a_class_without_labels_and_text_are_named(given):
    folder, _, p = given
    frame = pd.DataFrame(np.concatenate([p * 0.9, np.full((30, 1), 0.1)], 1), columns=[*CLASSES, "horse"])
    with pytest.raises(UsageError, match="no label is 'horse': drop these columns"):
        read(folder, RowArrays(probabilities=frame), probabilities="<array>")
    with pytest.raises(UsageError, match=r"--probabilities label: column 'label' is text"):
        read(folder, probabilities="label")


def test_two_digits_add_to_one_nearly(given):
    folder, _, p = given
    assert read(folder, RowArrays(probabilities=np.round(p * 0.987 + 0.004, 2)), probabilities="<array>").probabilities.sum(1) == pytest.approx(1, abs=1e-6)
