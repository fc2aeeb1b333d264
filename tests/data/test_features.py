import datetime as dt
import string

import numpy as np
import pyarrow as pa
import pytest

from zcurate.config.options import ScanOptions
from zcurate.data import schema
from zcurate.data.dataset import InputInfo
from zcurate.errors import InputError, UsageError

N = 200
RNG = np.random.default_rng(0)
LABEL = ["ab"[k % 2] for k in range(N)]


def read(columns, **options):
    table = pa.table({**columns, "label": LABEL})
    return schema.dataset(table, InputInfo("t.csv", "csv"), ScanOptions(**options))


def kinds(columns, **options):
    data = read({"x": RNG.normal(size=N), **columns}, **options)
    found = {column.name: column.kind for column in data.roles.features} | {column.name: column.why for column in data.roles.left_out}
    return {name: found[name] for name in columns}


def word(n, letters=string.ascii_lowercase):
    return "".join(RNG.choice(list(letters), n))


UNIQUE = {
    "address": [f"https://{word(6)}.{word(2)}/{word(4)}?id={k}" for k in range(N)],
    "dna": [word(40, "ACGT") for _ in range(N)],
    "name": [word(int(RNG.integers(4, 10))).title() for _ in range(N)],
    "mail": [f"{word(5)}.{word(7)}@{word(6)}.com" for _ in range(N)],
    "query": [f"{word(5)} {word(6)}" for _ in range(N)],
}
KEYS = {
    "number": [f"user_{k:05d}" for k in range(N)],
    "file": [f"scans/img-{k}.png" for k in range(N)],
    "hash": [bytes(RNG.integers(0, 256, 16, np.uint8)).hex() for _ in range(N)],
    "code": [word(10, string.ascii_uppercase + string.digits * 2) for _ in range(N)],
}


@pytest.mark.parametrize("name", UNIQUE)
def test_unique_text_is_text_also_with_one_row_twice(name):
    assert kinds({name: UNIQUE[name]}) == {name: "text"}
    assert kinds({name: [*UNIQUE[name][:-1], UNIQUE[name][0]]}) == {name: "text"}


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_identifiers_also_with_one_row_twice(name):
    assert kinds({name: KEYS[name]})[name].startswith("identifier")
    assert kinds({name: [*KEYS[name][:-1], KEYS[name][0]]})[name].startswith("identifier")


def test_whole_numbers_are_identifiers_in_order_without_gaps_or_by_name():
    income = RNG.permutation(10**6)[:N] + 1000
    assert kinds({"income": income}) == {"income": "number"}
    for name, values in {"at": np.arange(N), "at2": np.r_[np.arange(N - 1), 5], "shuffled": RNG.permutation(N) + 50, "customer_id": income}.items():
        assert kinds({name: values})[name].startswith("identifier"), name


def test_a_kind_can_be_forced():
    columns = {"zip": [f"{k % 7}0115" for k in range(N)], "key": KEYS["number"], "when": ["1/2/2020"] * N, "n": [str(k % 9) for k in range(N)]}
    assert kinds(columns) == {"zip": "number", "key": "identifier: codes that hardly repeat", "when": "constant", "n": "number"}
    forced = kinds(columns, kind=("zip=category", "k*=text", "when=date", "n=id"))
    assert forced == {"zip": "category", "key": "text", "when": "time", "n": "identifier, as asked for by --kind"}


@pytest.mark.parametrize(
    ("option", "words"), [("colour=number", "holds 'red'"), ("x=vector", "expected values that can be read as vector"), ("colour=date", "'red'")]
)
def test_a_kind_that_no_value_fits_is_refused(option, words):
    with pytest.raises(UsageError, match=words):
        kinds({"colour": ["red"] * N}, kind=(option,))


def test_a_kind_for_no_column_is_refused():
    with pytest.raises(UsageError, match="--kind colr=number matches no column .* did you mean --kind colour=number"):
        kinds({"colour": ["red"] * N}, kind=("colr=number",))


def test_values_that_do_not_fit_are_counted_and_named():
    values = [f"{k}.5" for k in range(N)]
    values[3], values[9] = "?", "about 5"
    (warning,) = read({"size": values}).warnings
    assert "column 'size' (2 of 200 values are no numbers, such as '?'): taken for missing — --kind size=text or =category" in warning


def test_many_columns_with_odd_values_make_one_warning():
    values = ["?", *[f"{k}.5" for k in range(N - 1)]]
    (warning,) = read({f"c{k}": values for k in range(9)}).warnings
    assert warning.startswith("columns 'c0' (1 of 200")
    assert "and 5 more columns: taken for missing" in warning


@pytest.mark.parametrize(
    ("odd", "words"), [([], "a list of 0 numbers, not 3"), ([1.0, 2.0], "a list of 2 numbers, not 3"), ([1.0] * 5, "a list of 5 numbers, not 3")]
)
def test_one_odd_list_does_not_drop_a_column_of_vectors(odd, words):
    data = read({"v": [odd, None, *[[1.0, 2.0, float(k)] for k in range(N - 2)]]})
    assert [column.kind for column in data.roles.features] == ["vector"]
    assert data.arrays["v"].to_pylist()[:3] == [None, None, [1.0, 2.0, 0.0]]
    assert words in data.warnings[0]


def test_columns_that_are_not_read_are_said():
    data = read({"x": RNG.normal(size=N), "nested": [{"a": 1}] * N, "lists": [[1.0] * (k % 9) for k in range(N)]})
    assert "left out: nested (values of type struct<a: int64> are not read), lists (lists of differing lengths)" in data.warnings


@pytest.mark.parametrize(
    "values",
    [
        pa.array([dt.timedelta(hours=k % 50) for k in range(N)], pa.duration("ms")),
        pa.array([2**63 + k % 50 for k in range(N)], pa.uint64()),
        pa.array([k % 7 for k in range(N)], pa.int8()).dictionary_encode(),
        pa.array([str(k % 7) for k in range(N)], pa.large_string()),
    ],
)
def test_every_type_of_number_is_a_number(values):
    assert kinds({"v": values}) == {"v": "number"}


def test_where_nothing_is_left_the_error_says_what_was_left_out_and_how_to_use_it():
    with pytest.raises(InputError, match=r"left out: key \(identifier: codes that hardly repeat\) — use one all the same with --kind key=text"):
        read({"key": KEYS["number"]})
    with pytest.raises(InputError, match="there is only the label"):
        read({})


@pytest.mark.parametrize("form", ["{}.20×10^3", "{}:07.3", "{}.5|{}.25"])
def test_numbers_of_an_unknown_form_are_not_left_out_in_silence(form):
    values = [form.format(k + 10, k) for k in range(N)]
    found = kinds({"size": values})
    assert found["size"] in ("text", "number") or any(
        "left out: size" in text and "--kind size=text" in text for text in read({"x": RNG.normal(size=N), "size": values}).warnings
    )
    assert not any("left out" in text for text in read({"x": RNG.normal(size=N), "order_id": [f"2024-{k:05d}" for k in range(N)]}).warnings)
