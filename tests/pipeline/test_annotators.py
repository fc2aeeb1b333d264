"""`--annotators`: a scan of the consensus of several people."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import zcurate
from zcurate.errors import UsageError

PEOPLE = {"ann": 0.95, "bob": 0.7, "cid": 0.5}


@pytest.fixture(scope="module")
def data():
    """900 rows of three classes, each labelled by one to three people; and the true classes."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    x = rng.normal(0, 1, (900, 3)) + 2.5 * np.eye(3)[truth]
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    for name, share in PEOPLE.items():
        said = np.where(rng.random(900) < share, truth, (truth + rng.integers(1, 3, 900)) % 3)
        frame[f"who_{name}"] = np.where(rng.random(900) < 0.6, np.array(["x", "y", "z"])[said], None)
    return frame, np.array(["x", "y", "z"])[truth]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "spec.toml"
    path.write_text("rounds = 1\nensemble = []\n")
    return str(path)


@pytest.fixture(scope="module")
def report(data, spec):
    return zcurate.scan(data[0], annotators="who_*", model=spec)


def test_the_consensus_is_scanned_and_mended(report, data):
    frame, truth = data
    given, suggested = (np.array(report.table.column(name).to_pylist(), object) for name in ("given", "suggested"))
    labelled = frame[[f"who_{name}" for name in PEOPLE]].notna().any(axis=1).to_numpy()
    assert ((given == None) == ~labelled).all()  # noqa: E711
    known = labelled & (suggested != None)  # noqa: E711
    assert (suggested[known] == truth[known]).mean() > (given[known] == truth[known]).mean() + 0.05
    assert report.card["columns"]["label"] == "consensus"
    assert not {feature["name"] for feature in report.card["columns"]["features"]} & {f"who_{name}" for name in PEOPLE}


def test_people_are_ordered_by_their_reliability(report):
    found = report.card["annotators"]
    assert [entry["name"] for entry in found["annotators"]] == ["who_cid", "who_bob", "who_ann"]
    for entry in found["annotators"]:
        assert entry["reliability"] == pytest.approx(PEOPLE[entry["name"].removeprefix("who_")], abs=0.12)
    wants = report.table.column("wants_label").to_pylist()
    assert sum(filter(None, wants)) == found["want_label"] > 0


def test_the_number_of_wrong_labels_stays_that_of_the_judge(report):
    p = report.table.column("p_incorrect").to_numpy(zero_copy_only=False)
    assert np.nanmean(p) == pytest.approx(report.card["noise_rate"]["estimate"], abs=0.01)


def test_the_report_is_whole(report, tmp_path):
    report.save(str(tmp_path / "r.zcurate.parquet"))
    again = zcurate.load_report(str(tmp_path / "r.zcurate.parquet"))
    assert again.card["annotators"] == report.card["annotators"]
    again.html(str(tmp_path / "r.html"))


def test_a_label_of_its_own_is_judged_where_there_is_one(data, spec):
    frame, truth = data
    found = zcurate.scan(frame.assign(label=truth), label="label", annotators="who_*", model=spec)
    assert found.table.column("given").to_pylist() == truth.tolist()
    assert np.nanmean(found.table.column("agreement").to_numpy(zero_copy_only=False)) > 0.6


def test_targets_have_no_annotators(data, spec):
    frame = data[0].assign(label=np.random.default_rng(0).normal(size=900))
    with pytest.raises(UsageError, match="--annotators: targets to predict"):
        zcurate.scan(frame, label="label", annotators="who_*", model=spec)


def test_long_tables_have_a_consensus_too(monkeypatch, data, spec):
    from zcurate.data import values

    monkeypatch.setattr(values, "DICTIONARY_ROWS", 10)
    assert zcurate.scan(data[0], annotators="who_*", model=spec).card["judged"]


def test_the_budget_holds_and_votes_are_a_reason(data, spec):
    found = zcurate.scan(data[0], annotators="who_*", model=spec, budget=20)
    assert found.counts()["incorrect"] <= 20
    reasons = np.array([reason[:1] for reason in found.table.column("reasons").to_pylist()], object)
    assert any(one == ["annotators_disagree"] for one in reasons[found.called("incorrect")])
    assert not any(one for one in reasons[found.called("clean")])
