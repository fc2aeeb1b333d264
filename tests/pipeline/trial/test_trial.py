"""A trial from end to end: what is planted, what is left alone, what is refused."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pyarrow as pa
import pytest

from tests import conftest
from zcurate.cli.render import trial_tables
from zcurate.config.options import TrialOptions
from zcurate.errors import InputError, UsageError
from zcurate.evidence.planted import Planted
from zcurate.pipeline.opening import open_dataset
from zcurate.pipeline.trial import trial
from zcurate.runtime.context import RunContext


def run_trial(data, **settings):
    return trial.run_trial(data, TrialOptions(**settings), RunContext())


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """One trial for all tests: its result, the rows that were wrong as given, the file and its bytes before."""
    path, wrong = conftest.blobs_csv.__wrapped__(tmp_path_factory.mktemp("blobs"))
    before = path.read_bytes()
    return run_trial(str(path), id="key", epochs=10, prioritise=True), wrong, path, before


@pytest.fixture
def targets():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 200)
    return pa.table({"x": x, "label": 10 * x + rng.normal(0, 0.5, 200) + 100})


def test_the_input_is_left_as_it_is(blobs):
    _, _, path, before = blobs
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_tenth_of_the_rows_is_planted_in_equal_parts(blobs):
    facts = blobs[0].facts
    assert facts["n_planted"] == 24
    assert [(row["kind"], row["planted"]) for row in facts["kinds"]] == [("uniform", 8), ("confused", 8), ("boundary", 8), ("all", 24)]
    assert sum(row["shown"] != row["given"] for row in facts["rows"]) == 24


def test_the_labels_that_were_given_are_as_in_the_file(blobs):
    with blobs[2].open() as file:
        written = [row["label"] for row in csv.DictReader(file)]
    for row in blobs[0].facts["rows"]:
        assert row["given"] == written[row["row"]]


def test_rows_suspected_as_given_are_hardly_ever_planted(blobs):
    result, wrong, _, _ = blobs
    assert len(wrong & {row["row"] for row in result.facts["rows"]}) <= 1


def test_the_counts_are_those_of_the_two_reports(blobs):
    facts, (first, second) = blobs[0].facts, blobs[0].reports
    planted = {row["row"] for row in facts["rows"]}
    flagged = {at for at, word in enumerate(second.table.column("verdict").to_pylist()) if word == "incorrect"}
    before = {at for at, word in enumerate(first.table.column("verdict").to_pylist()) if word == "incorrect"}
    cut = facts["at_cut"]
    assert cut["flagged"] == len(flagged)
    assert cut["planted"] == len(flagged & planted) == facts["kinds"][-1]["found"]
    assert cut["before"] == len(flagged - planted & before)
    assert [row["verdict"] for row in facts["rows"]] == [second.table.column("verdict")[row["row"]].as_py() for row in facts["rows"]]
    changed = [at for at, (a, b) in enumerate(zip(*(one.table.column("given").to_pylist() for one in (first, second)), strict=True)) if a != b]
    assert set(changed) == planted


def test_separated_blobs_are_found_and_put_first(blobs):
    facts = blobs[0].facts
    assert facts["kinds"][-1]["recall"] > 0.7
    rankings = {row["ranking"]: row for row in facts["rankings"]}
    assert rankings["zcurate"]["auroc"] > 0.95
    assert rankings["chance"]["auroc"] == 0.5
    assert set(rankings) == {"zcurate", "held-out loss", "training loss", "chance"}


def test_loss_prioritised_budgets_go_to_planted_rows(blobs):
    table = blobs[0].facts["prioritise"]
    assert len(table) == 1 + 4 * 4
    assert table[0]["planted"] == pytest.approx(0.1)
    for row in table:
        assert sum(row[name] for name in ("planted", "suspected", "hard", "outlier", "clean")) == pytest.approx(1)
        # Nothing is learned yet in the first quarter.
        if row["rule"] == "top quarter by loss" and row["part"] > 1:
            assert row["planted"] > 0.25


def test_networks_trained_by_loss_learn_the_planted_errors(blobs):
    table = {row["rule"]: row for row in blobs[0].facts["prioritise_trained"]}
    assert list(table) == ["at random", "CDF(loss)^1", "CDF(loss)^2", "top quarter by loss", "top quarter, reducible"]
    assert table["at random"]["planted"] == pytest.approx(0.1, abs=0.03)
    assert table["top quarter by loss"]["planted"] > 0.2
    assert table["top quarter, reducible"]["planted"] < 0.15
    assert table["at random"]["accuracy"] > table["top quarter by loss"]["accuracy"]


def test_the_same_seed_gives_the_same_trial(blobs):
    again = run_trial(str(blobs[2]), id="key", epochs=10, prioritise=True)
    assert again.facts == blobs[0].facts


def test_the_tables_fit_eighty_columns(blobs, capsys):
    trial_tables.print_trial(blobs[0].facts, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert "24 errors planted in a copy, 10 % of the labelled rows" in lines
    assert "…" not in "".join(lines)
    assert "\x1b" not in "".join(lines)


def test_the_verdicts_of_missed_errors_are_under_their_headings(blobs):
    facts = blobs[0].facts
    table = trial_tables.kind_table(facts)
    cells = {re.sub(r"\[.*?\]", "", str(column.header)): list(column.cells) for column in table.columns}
    for word in ("hard", "clean", "outlier"):
        assert cells[word] == [str(row[word]) for row in facts["kinds"]]


def test_the_facts_are_plain_json(blobs):
    facts = blobs[0].facts
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_targets_are_planted_in_their_own_unit(targets):
    result = run_trial(targets, kinds="shift", share="15%")
    facts = result.facts
    assert [row["kind"] for row in facts["kinds"]] == ["shift", "all"]
    assert facts["n_planted"] == 30
    given = targets.column("label").to_pylist()
    for row in facts["rows"]:
        assert row["given"] == given[row["row"]]
        assert 4 < abs(row["shown"] - row["given"]) < 100
    assert facts["kinds"][0]["recall"] > 0.5
    assert "restored" not in [column.header for column in trial_tables.kind_table(facts).columns]


def test_a_swap_that_became_a_shift_is_not_planted_with_kinds_swap(targets):
    facts = run_trial(targets, kinds="swap", share="20%", epochs=4).facts
    assert {row["kind"] for row in facts["rows"]} == {"swap"}
    assert 10 < facts["n_planted"] < 40


def test_the_copy_differs_in_the_planted_labels_only():
    table = pa.table({"x": [k + 0.5 for k in range(40)], "label": ["a", "b", None, "a"] * 10})
    data = open_dataset(table, TrialOptions(), RunContext())
    copy = trial.with_planted(data, Planted(np.array([0, 3]), np.array([1, 1]), np.array(["uniform"] * 2)))
    assert copy.given.to_pylist() == ["b", "b", None, "b", *data.given.to_pylist()[4:]]
    assert data.given.to_pylist()[:4] == ["a", "b", None, "a"]
    assert copy.given.type == data.given.type
    assert copy.table is data.table


def test_missing_targets_stay_missing():
    table = pa.table({"x": [k * 1.5 + 0.25 for k in range(80)], "label": [None, *(k + 0.5 for k in range(79))]})
    data = open_dataset(table, TrialOptions(), RunContext())
    copy = trial.with_planted(data, Planted(np.array([1]), np.array([77.25]), np.array(["shift"])))
    assert copy.given.to_pylist()[:3] == [None, 77.25, 1.5]
    assert copy.given.type == data.given.type


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": "unifrom"}, "did you mean --kinds uniform?"),
        ({"kinds": "swap"}, "'swap' does not fit"),
        ({"share": "60%"}, "--share: 60% is out of range"),
        ({"label": "lable"}, "no column 'lable'"),
        ({"model": "mpl"}, "did you mean mlp?"),
    ],
)
def test_invalid_options_are_refused(blobs, settings, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        run_trial(str(blobs[2]), **settings)


def test_one_class_is_refused_as_by_scan():
    with pytest.raises(InputError, match="has one class"):
        run_trial(pa.table({"x": [float(k) for k in range(30)], "label": ["a"] * 30}))


def test_too_few_rows_are_not_judged():
    table = pa.table({"x": [k % 2 * 5 + k / 100 for k in range(16)], "label": ["a", "b"] * 8})
    facts = run_trial(table, epochs=2).facts
    assert not facts["judged"]
    assert "16 labelled rows, 20 needed" in facts["why_unjudged"]


def test_too_small_a_share_is_not_judged(blobs):
    result = run_trial(str(blobs[2]), share="0.5%", epochs=4)
    assert len(result.reports) == 1
    assert "--share 0.5% comes to 1 planted errors, 3 needed" in result.facts["why_unjudged"]
    assert run_trial(str(blobs[2]), share="0.1%", epochs=4).facts["why_unjudged"].startswith("--share 0.1% comes to 0 planted errors")


def test_the_time_limit_is_shared_between_the_scans():
    assert trial.half_limit("10m") == "300.000000s"
    assert trial.half_limit(None) is None
