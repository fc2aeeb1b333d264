"""Columns that give the label away, and columns that merely predict it well."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

from zcurate.config.options import ScanOptions
from zcurate.data.inputs import read_input

N, NAMES = 1500, np.array(["ash tree", "birch", "cedar", "dog wood"])


def simulate(seed=0):
    """A table whose columns predict the true class, the given class of each row, and the true one."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 4, N)
    x = rng.normal(0, 2, (4, 4))[true] + rng.normal(size=(N, 4))
    given = np.where(rng.random(N) < 0.06, (true + rng.integers(1, 4, N)) % 4, true)
    return pd.DataFrame(x, columns=list("abcd")).assign(label=NAMES[given]), given, true


def leaks(table):
    return [leak.columns for leak in read_input(table, ScanOptions(label="label")).leaks]


def users_of(given, rng):
    """The number of a user for each row; each of 400 users has one label."""
    label_of_user = rng.integers(0, 4, 400)
    return np.array([rng.choice(np.flatnonzero(label_of_user == code)) for code in given])


@pytest.mark.parametrize(
    "column",
    [
        lambda given, rng: given + 1,
        lambda given, rng: np.char.upper(np.char.replace(NAMES[given], " ", "_")),
        lambda given, rng: np.char.add("Sp. ", np.char.title(NAMES[np.where(rng.random(N) < 0.05, rng.integers(0, 4, N), given)])),
        lambda given, rng: given + rng.random(N) / 2,
        lambda given, rng: -3.5 * given,
        lambda given, rng: given == 2,
        lambda given, rng: users_of(given, rng) * 7 + 3,
        lambda given, rng: np.char.add("u", users_of(given, rng).astype(str)),
        lambda given, rng: [f"user {user} of the site" for user in users_of(given, rng)],
    ],
    ids=["number", "other spelling", "old label", "score", "negative number", "one class", "number of a user", "name of a user", "words for a user"],
)
def test_a_column_that_gives_the_label_away_is_found(column):
    table, given, _ = simulate()
    assert leaks(table.assign(other=column(given, np.random.default_rng(1)))) == [("other",)]


@pytest.mark.parametrize(
    "columns", [lambda given: np.eye(4, dtype=int)[given], lambda given: np.eye(4)[given][:, :3] == 1, lambda given: np.stack([given & 1, given >> 1], 1)]
)
def test_columns_that_only_together_tell_the_label_are_found_together(columns):
    table, given, _ = simulate()
    parts = pd.DataFrame(columns(given)).add_prefix("is_")
    assert leaks(pd.concat([table, parts], axis=1)) == [tuple(parts.columns)]


@pytest.mark.parametrize(
    "column",
    [
        np.arange(N) + 0.5,
        np.where(np.arange(N) == 7, 6, np.arange(N)) + 0.5,
        pd.date_range("2024-03-01", periods=N, freq="7min"),
        pd.Series([datetime.date(2024, 1, 1) + datetime.timedelta(days=at // 8) for at in range(N)]),
        -(np.arange(N) ** 3) / 7,
    ],
    ids=["number", "one value twice", "time stamp", "date", "falling number"],
)
def test_a_column_by_which_the_rows_are_sorted_like_the_labels_is_found(column):
    table, given, _ = simulate()
    table = table.iloc[np.argsort(given, kind="stable")].reset_index(drop=True)
    assert leaks(table.assign(other=column)) == [("other",)]


def test_a_table_in_which_blocks_of_rows_were_labelled_one_class_at_a_time_is_found():
    table, _, _ = simulate()
    block = np.random.default_rng(2).integers(0, 4, 20).repeat(N // 20)
    assert leaks(table.assign(label=NAMES[block], at=np.arange(N) / 3)) == [("at",)]


@pytest.mark.parametrize("rows", [np.arange(N), np.r_[:N, :N], np.tile(np.arange(N), 7), np.random.default_rng(3).integers(0, N, 2 * N)])
def test_columns_that_predict_the_true_class_are_no_leak_even_if_rows_are_copied(rows):
    table, _, true = simulate()
    table = table.assign(kind=np.where(true < 2, "leaf", "needle"), code=true, user=np.random.default_rng(4).integers(0, 400, N))
    assert leaks(table.iloc[rows].reset_index(drop=True)) == []


@pytest.mark.parametrize("name", ["load_iris", "load_wine", "load_breast_cancer", "load_digits"])
def test_clean_data_that_are_easy_to_classify_have_no_leak(name):
    datasets = pytest.importorskip("sklearn.datasets")
    assert leaks(getattr(datasets, name)(as_frame=True).frame.rename(columns={"target": "label"})) == []


@pytest.mark.parametrize(
    ("change", "expected"), [(lambda y, e: 1.1 * y + 3, [("other",)]), (lambda y, e: -np.exp(y), [("other",)]), (lambda y, e: y + 0.1 * e, [])]
)
def test_a_number_in_the_order_of_the_targets_is_found(change, expected):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(800, 3))
    target = x @ [2.0, 1.0, 0.0]
    table = pd.DataFrame(x, columns=list("abc")).assign(label=target, other=change(target, rng.normal(size=800)))
    assert leaks(table) == expected


def test_the_warning_names_the_columns_and_what_to_type():
    table, given, _ = simulate()
    names = np.char.add("u", users_of(given, np.random.default_rng(1)).astype(str))
    (text,) = read_input(table.assign(**{"user id": names}), ScanOptions(label="label")).warnings
    assert text.startswith("column 'user id' has one label for each of its many values: wrong labels may look right — ")
    assert text.endswith("hold its rows out together with --group 'user id', or leave it out with --exclude 'user id'")
