import numpy as np
import pyarrow as pa
import pytest

from zcurate.config.options import ScanOptions
from zcurate.data import ordering, schema
from zcurate.data.dataset import FileNotes, InputInfo
from zcurate.data.labels import labels_of_task
from zcurate.encoding.targets import class_codes
from zcurate.errors import InputError, UsageError

N = 300
RNG = np.random.default_rng(1)


def read(labels, is_text=True, columns=None, **options):
    table = pa.table({**(columns or {"x": RNG.normal(size=len(labels))}), "label": labels})
    return schema.dataset(table, InputInfo("t.csv", "csv"), ScanOptions(**options), notes=FileNotes(is_text=is_text))


@pytest.mark.parametrize(
    ("one", "other"),
    [("ash", "Ash"), ("1", "1.0"), ("TRUE", "True"), ("caf\u00e9", "cafe\u0301"), ("red  oak", "red oak"), ("STRASSE", "straße"), ("-2", "-2.00")],
)
def test_labels_that_differ_in_spelling_only_are_one_class(one, other):
    labels = [one, one, other, "other"] * 20
    data = read(labels)
    assert data.task.classes == tuple(sorted((one, "other"), key=str.lower))
    assert len(set(class_codes(data)[:3])) == 1
    assert data.given.to_pylist() == labels
    assert f"'{other}' (20 rows) for '{one}' — --keep-spelling keeps them apart" in data.warnings[0]
    assert len(read(labels, keep_spelling=True).task.classes) == 3


@pytest.mark.parametrize("pair", [("01", "1"), ("a", "b"), ("1.5", "1"), ("ash", "ash tree")])
def test_other_labels_stay_apart(pair):
    assert set(read([*pair, "other"] * 20).task.classes) == {*pair, "other"}


@pytest.mark.parametrize("word", ["NA", "n/a", "null", "NaN"])
def test_words_taken_for_missing_labels_are_said_in_text(word):
    data = read([word, "b", "c", "b"] * 20)
    assert data.given.null_count == 20
    assert f"20 labels are taken for missing, as they are written {word} — --missing '' makes it a class" in data.warnings[0]
    assert word in read([word, "b", "c", "b"] * 20, missing="").task.classes
    assert word in read([word, "b", "c", "b"] * 20, is_text=False).task.classes


def test_missing_sets_the_words():
    data = read(["?", "b", "unknown", "NA"] * 20, missing="?,unknown")
    assert data.task.classes == ("b", "NA")
    assert data.given.null_count == 40


def quantity(form, n=N, spread=1.0):
    x = RNG.normal(size=(n, 3))
    return {f"x{k}": x[:, k] for k in range(3)}, form(x[:, 0] + 0.5 * x[:, 1] + spread * RNG.normal(0, 0.2, n))


@pytest.mark.parametrize(
    "form",
    [
        lambda s: np.clip(40 + 14 * s, 18, 95).round().astype(int),
        lambda s: np.clip(50 + 15 * s, 0, 100).round().astype(int),
        lambda s: np.exp(2 + s).round().astype(int),
        lambda s: (1000 * np.exp(s / 3)).round().astype(int) * 10,
    ],
)
@pytest.mark.parametrize("n", [200, 1000, 3000])
def test_whole_numbers_that_measure_something_are_a_quantity_at_any_size(form, n):
    columns, labels = quantity(form, n)
    data = read(labels, columns=columns)
    assert data.task.kind == "regression"
    assert "measure something" in data.task.why


@pytest.mark.parametrize("n_classes", [12, 60, 100])
@pytest.mark.parametrize("n", [1200, 4000])
def test_whole_numbers_that_name_classes_are_classes_at_any_size(n_classes, n):
    centers = RNG.normal(0, 3, (n_classes, 5))
    code = np.arange(n) % n_classes
    x = centers[code] + RNG.normal(size=(n, 5))
    data = read(100 + 3 * code, columns={f"x{k}": x[:, k] for k in range(5)})
    assert (data.task.kind, len(data.task.classes)) == ("multiclass", n_classes)
    assert "name classes" in data.task.why


def test_where_the_columns_do_not_tell_the_scan_says_which_task_to_add():
    many = read(RNG.integers(0, 80, 2000))
    assert (many.task.kind, many.warnings) == (
        "regression",
        ("column 'label' has 80 different whole numbers: taken for a quantity — if they name classes, add --task multiclass",),
    )
    few = read(RNG.integers(0, 30, 2000))
    assert few.task.kind == "multiclass"
    assert "if they measure something, add --task regression" in few.warnings[0]
    assert not read(RNG.integers(0, 5, 2000)).warnings


def test_names_and_quantities_are_told_apart_by_what_near_rows_carry():
    x = RNG.normal(size=(800, 2))
    assert ordering.compare_orderings(x, (10 * x[:, 0]).round()).evidence > 0.3
    code = RNG.integers(0, 20, 800)
    assert ordering.compare_orderings(RNG.normal(0, 4, (20, 3))[code] + RNG.normal(size=(800, 3)), code).evidence < -0.05


def test_a_target_with_stray_cells_is_a_number_with_a_warning():
    labels = [f"{k * 1.25:.2f}" for k in range(N)]
    labels[5] = "?"
    data = read(labels)
    assert data.task.kind == "regression"
    assert data.given.to_pylist()[4:7] == [5.0, None, 7.5]
    assert "1 of 300 targets are no numbers, such as '?': those rows are unlabelled" in data.warnings[0]


def test_a_target_with_a_unit_is_a_number():
    data = read([f"{k * 1.25:.2f} kg" for k in range(N)])
    assert data.given.to_pylist()[:2] == [0.0, 1.25]
    assert read(["5 mg", "10 mg", "2.5 mg"] * 50).task.classes == ("10 mg", "2.5 mg", "5 mg")


def test_labels_that_hardly_repeat_are_refused_with_advice():
    with pytest.raises(InputError, match="300 different labels in 300 rows — expected labels that many rows share — name another with --label COL"):
        read([f"row {k}" for k in range(N)])
    with pytest.raises(InputError, match="try --task regression, or name another"):
        read([f"{k * 1.25}" for k in range(N)], task="multiclass")


def test_advice_goes_in_no_circle():
    labels = [f"word {k}" for k in range(N)]
    with pytest.raises(UsageError, match="holds 'word 0' — expected numbers — name another with --label COL"):
        read(labels, task="regression")
    with pytest.raises(UsageError, match="expected numbers — try --task multiclass"):
        read(["a", "b"] * 150, task="regression")


@pytest.mark.parametrize("marker", [".", "?", "#N/A"])
def test_markers_among_classes_that_are_numbers_are_missing_labels(marker):
    data = read(["0", "1", marker, "1"] * 20)
    assert (data.task.classes, data.given.null_count) == (("0", "1"), 20)
    assert f"20 labels '{marker}' among numbers are taken for missing — --missing '' makes them classes" in data.warnings[0]
    assert marker in read(["0", "1", marker, "1"] * 20, missing="").task.classes


def test_the_error_for_one_class_names_what_made_it_one():
    with pytest.raises(InputError, match="has one class, a — expected two or more — --keep-spelling keeps 'A', 'a' apart"):
        read(["a", "a", "A"] * 20)
    with pytest.raises(InputError, match="--missing '' makes the words that are taken for missing a class"):
        read(["NA", "Grvl"] * 30)


def test_points_between_thousands_of_a_target():
    data = read([("980", "1.250", "12.400", "2.510")[k % 4] for k in range(80)])
    assert sorted(set(data.given.to_pylist())) == [980.0, 1250.0, 2510.0, 12400.0] or set(data.task.classes) == {"980", "1.250", "12.400", "2.510"}


@pytest.mark.parametrize("form", [lambda x: np.clip(x * 15 + 60, 0, 100).astype(int), lambda x: np.round(8 * x)])
def test_a_quantity_that_one_column_tells_exactly_is_no_name(form):
    x = RNG.normal(size=800)
    assert read(form(x), columns={"x": x}).task.kind == "regression"


def test_many_classes_of_few_rows_are_doubted():
    labels = [f"lot {k % 90}" for k in range(400)]
    assert any("90 classes in 400 rows: few rows to judge each by" in text for text in read(labels, columns={"x": RNG.normal(size=400)}).warnings)


def test_markers_in_several_spellings_leave_no_class_behind():
    data = read(["0", "1", "none", "None", "1"] * 20)
    assert (data.task.classes, data.task.variants) == (("0", "1"), {})
    assert set(class_codes(data).tolist()) == {-1, 0, 1}


def test_markers_are_missing_in_later_batches_too():
    task = read(["0", "1", "?", "1"] * 20).task
    assert labels_of_task(pa.array(["1", "?", "0"]), task).to_pylist() == ["1", None, "0"]


@pytest.mark.slow
def test_long_texts_are_no_names_of_classes():
    labels = [f"{'long text ' * 3000}{k % 9}" for k in range(180)]
    with pytest.raises(InputError, match="9 labels of up to 30001 characters — expected names of classes — is it a text"):
        read(labels, columns={"x": RNG.normal(size=180)})
