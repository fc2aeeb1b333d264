import pyarrow as pa
import pytest

from zcurate.data.conversions import convert_text, infer_conversion, misfits
from zcurate.data.values import without_missing_words


def converted(values, **settings):
    text = without_missing_words(pa.array(values, pa.string()))
    array, conversion = convert_text(text, **settings)
    return array.to_pylist(), conversion.kind if conversion else None, misfits(text, array) if conversion else (0, "")


@pytest.mark.parametrize("marker", ["?", "-", ".", "None", "#N/A", "<NA>", "\\N", "n.a.", "(null)", "#DIV/0!", "--"])
def test_markers_of_missing_values_do_not_change_a_column_of_numbers(marker):
    values, kind, (n, example) = converted([f"{k}.5" for k in range(40)] + [marker] * 3)
    assert kind == "number"
    assert values[-4:] == [39.5, None, None, None]
    assert (n, example) == (3, marker)


@pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "null"])
def test_words_for_missing_are_no_misfits(word):
    assert converted(["1.5", "2.5", word])[2] == (0, "")


@pytest.mark.parametrize(("n", "kind"), [(9, None), (10, "number"), (100, "number")])
def test_a_stray_word_is_an_exception_from_ten_values_on(n, kind):
    assert converted([str(k) for k in range(n - 1)] + ["twelve"])[1] == kind


def test_more_than_one_exception_in_ten_leaves_text():
    assert converted([str(k) for k in range(88)] + [f"a{k}" for k in range(12)])[1] is None
    assert converted([str(k) for k in range(92)] + [f"a{k}" for k in range(8)])[1] == "number"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["yes", "no"], None),
        (["true", "FALSE"], "boolean"),
        (["12 Main St", "15 Oak Ave"], None),
        (["(0, 10]", "(10, 20]"], None),
        (["192.168.0.1", "10.0.0.1"], None),
        (["555-1234", "555-9999"], None),
        (["A1", "B2"], None),
        (["10:30", "11:45"], "number"),
        (["2020-01-01"] * 20 + ["never"], "time"),
        (["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"], "time"),
        (["[0.1, 0.2]", "[0.3, 0.4]"], "vector"),
        (["[0.1 0.2\n 0.5]", "[ 1. 2. 3.]"], "vector"),
        (["0.1;0.2;0.3", "1.5;2;3"], "vector"),
        (["+49 123 456789", "+49 987 654321"], None),
        (["5. 3. 2020", "17. 12. 2021"], "time"),
        (["12,34,567", "1,23,456"], "number"),
    ],
)
def test_text_becomes_what_it_is(values, kind):
    assert converted(values)[1] == kind


def test_a_failed_or_short_vector_is_missing():
    values, kind, (n, example) = converted(["[1, 2, 3]"] * 30 + ["[]", "[1, 2]"][:1])
    assert kind == "vector"
    assert values[-2:] == [[1.0, 2.0, 3.0], None]
    assert (n, example) == (1, "[]")


def test_a_conversion_from_a_sample_fits_any_batch():
    conversion = infer_conversion(pa.array(["1.234,5 kg", "12,25 kg", "7 kg"]))
    assert conversion.apply(pa.array(["2.000,5 kg", None, "many"])).to_pylist() == [2000.5, None, None]


def test_a_forced_kind_is_read_however_few_values_fit():
    assert converted(["red", "5", "blue"], forced="number")[0] == [None, 5.0, None]
    assert converted(["red", "blue"], forced="number")[1] is None
