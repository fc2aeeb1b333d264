"""What a scan says of columns that give the label away."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import zcurate
from zcurate.pipeline.checks import doubtful_noise


def simulate(n=800):
    rng = np.random.default_rng(11)
    true = rng.integers(0, 3, n)
    x = rng.normal(0, 2.5, (3, 4))[true] + rng.normal(size=(n, 4))
    wrong = rng.random(n) < 0.07
    given = np.where(wrong, (true + rng.integers(1, 3, n)) % 3, true)
    return pd.DataFrame(x, columns=list("abcd")).assign(label=np.array(["ash", "birch", "cedar"])[given]), given, wrong


@pytest.mark.slow
@pytest.mark.parametrize("leak", ["one-hot", "code", "words"])
def test_the_scan_says_what_it_would_find_without_the_columns_that_leak(leak):
    table, given, wrong = simulate()
    added = {
        "one-hot": pd.get_dummies(table.label, prefix="is"),
        "code": pd.DataFrame({"code": given * 10}),
        "words": pd.DataFrame({"name": np.char.add(table.label.to_numpy(str), " (tree)")}),
    }[leak]
    card = zcurate.scan(pd.concat([table, added], axis=1), label="label").card
    assert card["leaks"]["columns"] == [list(added.columns)]
    assert card["skill"]["value"] > 0.99
    assert card["leaks"]["skill"] == pytest.approx(0.91, abs=0.04)
    assert card["leaks"]["suspected"] == pytest.approx(wrong.sum(), rel=0.3)
    first, second = card["warnings"][:2]
    assert first.startswith("column")
    assert second.startswith("without ")
    assert second.endswith("".join(f" --exclude {name}" for name in added.columns))


@pytest.mark.slow
def test_a_column_that_leaks_may_be_the_only_one():
    table, given, _ = simulate()
    card = zcurate.scan(pd.DataFrame({"code": given, "label": table.label}), label="label").card
    assert card["leaks"] == {"columns": [["code"]]}


def card_of(estimate, low, high, why="labels are text with 3 distinct values", judged=True):
    return {
        "judged": judged, "noise_rate": {"estimate": estimate, "low": low, "high": high}, "columns": {"label": "grade"},
        "task": {"kind": "multiclass", "why": why},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (card_of(0.06, 0.02, 0.11), []),
        (card_of(0.4, 0.2, 0.6), []),
        (card_of(0.7, 0.1, 0.9, judged=False), []),
        (card_of(0.62, 0.5, 0.7), ["62% of the labels look wrong", "--label"]),
        (card_of(0.3, 0.05, 0.9), ["between 5% and 90% of the labels look wrong", "--label"]),
        (card_of(0.62, 0.5, 0.7, "labels are whole numbers with 30 distinct values"), ["--task regression", "--label"]),
    ],
)
def test_so_many_wrong_labels_or_so_wide_an_interval_throw_doubt_on_task_and_label(card, expected):
    found = doubtful_noise(card)
    assert len(found) == bool(expected)
    assert all(part in found[0] for part in expected)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_a_column_that_alone_predicts_almost_without_error_is_named(noise):
    rng = np.random.default_rng(3)
    n = 600
    code = rng.integers(0, 3, n)
    given = np.where(rng.random(n) < noise, (code + 1) % 3, code)
    table = pd.DataFrame(rng.normal(code[:, None], 1.5, (n, 4)), columns=list("abcd"))
    # Distinct numbers in bands that stand for the labels in no order.
    table["score"] = np.array([20.0, 90.0, 50.0])[given] + rng.random(n) * 3
    table["label"] = np.array(["ash", "birch", "cedar"])[given]
    card = zcurate.scan(table, label="label", model="linear").card
    assert card["leaks"]["columns"] == [["score"]]
    assert any("'score'" in text and "--exclude score" in text for text in card["warnings"])


def test_columns_that_predict_well_only_together_are_no_leak():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(600, 2))
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": np.where(x.sum(1) > 0, "up", "down")})
    assert "leaks" not in zcurate.scan(table, label="label", model="linear").card
