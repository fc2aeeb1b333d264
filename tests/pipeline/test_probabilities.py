"""Scans with the user's probabilities: as the only model, and beside the members."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

import zcurate
from zcurate.cli import app
from zcurate.errors import UsageError

N, CLASSES = 900, ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def noisy():
    """Labels of which a tenth are wrong, and probabilities of a model that is right on nine rows of ten and sure of most."""
    rng = np.random.default_rng(1)
    true = rng.integers(0, 4, N)
    given = np.where(rng.random(N) < 0.1, (true + rng.integers(1, 4, N)) % 4, true)
    logits = rng.normal(0, 1.2, (N, 4))
    logits[np.arange(N), true] += 4
    p = np.exp(logits)
    return np.array(CLASSES)[given], (p / p.sum(1, keepdims=True)).astype(np.float32), given != true


def run(monkeypatch, *words):
    """Run the program in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["zcurate", *words])
    try:
        app.main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def wrong_first(report, wrong):
    """Share of the wrong rows among as many that are ranked first."""
    rank = report.table.column("rank").to_numpy()
    return wrong[rank <= wrong.sum()].mean()


def test_probabilities_alone_are_judged_without_training(noisy):
    label, p, wrong = noisy
    report = zcurate.scan({"label": label}, probabilities=p)
    card, table = report.card, report.table
    assert card["model"]["name"] == "none" and card["model"]["n_epochs"] == [0] and card["heldout"] == {"probabilities": 1.0}
    flagged = np.array(table.column("verdict").to_pylist()) == "incorrect"
    assert wrong[flagged].mean() > 0.9 and flagged[wrong].mean() > 0.85
    assert wrong_first(report, wrong) > 0.85
    # No error was planted, so that no recall is known; the number of wrong labels rests on the surest rows.
    assert card["expected"]["recall"] is None and card["calibration"][0]["planted"] == 0
    assert card["noise_rate"]["low"] <= wrong.mean() <= card["noise_rate"]["high"] + 0.02
    assert "hard" in table.column("verdict").to_pylist()
    for name in ("z_score", "mask_frequency", "loss_mean"):
        assert table.column(name).null_count == N
    assert np.allclose(table.column("p_given").to_numpy(), p[np.arange(N), [CLASSES.index(one) for one in label]], atol=1e-5)


def test_a_scan_without_a_model_trains_nothing(noisy, monkeypatch):
    label, p, _ = noisy
    monkeypatch.setattr("zcurate.training.rounds.train", lambda *_: pytest.fail("trained"))
    report = zcurate.scan({"x": np.arange(N) % 7, "label": label}, label="label", probabilities=p, model="none")
    assert report.card["model"]["name"] == "none"


@pytest.mark.slow
def test_better_probabilities_than_the_members_take_over(noisy):
    label, p, wrong = noisy
    noise = np.random.default_rng(2).normal(size=(N, 3))
    alone = zcurate.scan(noise, label, epochs=3)
    both = zcurate.scan(noise, label, probabilities=pd.DataFrame(p[:, [2, 0, 1, 3]], columns=["c", "a", "b", "d"]), epochs=3)
    assert both.card["heldout"]["probabilities"] >= 0.75
    assert not alone.card["judged"] and wrong_first(both, wrong) > 0.8


@pytest.mark.slow
def test_probabilities_that_say_nothing_are_left_aside(noisy):
    label, _, _ = noisy
    x = np.random.default_rng(3).normal(size=(N, 2)) + 3 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[[CLASSES.index(one) for one in label]]
    random = np.random.default_rng(4).dirichlet(np.ones(4), N)
    report = zcurate.scan(x, label, probabilities=random, epochs=5)
    assert report.card["heldout"].get("probabilities", 0) <= 0.25


def test_unlabelled_and_single_rows_keep_their_place(noisy):
    label, p, _ = noisy
    label = label.astype(object)
    label[5] = None
    report = zcurate.scan({"label": label}, probabilities=p)
    assert len(report) == N and report.table.column("verdict")[5].as_py() == "unlabelled"


@pytest.mark.slow
def test_features_in_python_are_one_more_column(noisy):
    label, p, wrong = noisy
    report = zcurate.scan({"label": label}, features=np.log(p), epochs=5)
    assert report.card["columns"]["features"] == [{"name": "features", "kind": "vector"}] and wrong_first(report, wrong) > 0.7


def test_the_program_scans_reports_and_explains(noisy, tmp_path, monkeypatch, capsys):
    label, p, _ = noisy
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"label": label}).to_csv("t.csv", index=False)
    np.save("p.npy", p)
    for words in ("scan t.csv --probabilities p.npy", "report --top 3", "explain t.zcurate.parquet 0", "report --with-data --top 2"):
        assert run(monkeypatch, *words.split()) == 0
    out, err = capsys.readouterr()
    assert "sorted order: a, b, c, d" in err and "no errors were planted" in err and "recall" not in err
    assert "planted" not in out and "has no columns by which rows could be compared" in " ".join(out.split())


def test_a_report_opens_no_file_of_probabilities(noisy, tmp_path, monkeypatch, capsys):
    label, p, _ = noisy
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"x": np.arange(N) % 5, "label": label}).to_csv("t.csv", index=False)
    np.save("p.npy", p)
    zcurate.scan("t.csv", label="label", probabilities="p.npy", model="none", output="r.zcurate.parquet")
    (tmp_path / "p.npy").unlink()
    assert run(monkeypatch, "explain", "r.zcurate.parquet", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["nearest"]["rows"]


def test_a_trial_takes_no_probabilities(noisy, tmp_path, monkeypatch, capsys):
    label, p, _ = noisy
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"x": np.arange(N) % 5, "label": label}).to_csv("t.csv", index=False)
    np.save("p.npy", p)
    assert run(monkeypatch, "trial", "t.csv", "--probabilities", "p.npy") == 2
    assert "errors planted in a copy cannot be in them" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_the_arrays_are_part_of_a_finished_scan(noisy, tmp_path):
    label, p, _ = noisy
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": np.arange(N) % 5, "label": label}).to_csv(path, index=False)
    settings = {"label": "label", "epochs": 3, "output": str(tmp_path / "r.zcurate.parquet"), "resume": True}
    before = zcurate.scan(path, probabilities=p, **settings)
    again = zcurate.scan(path, probabilities=p, **settings)
    other = zcurate.scan(path, probabilities=np.roll(p, 1, 0) * 0.5 + p * 0.5, **settings)
    assert again.card["seconds"] == before.card["seconds"] != other.card["seconds"]


@pytest.mark.slow
def test_many_classes_keep_their_most_probable_ones():
    rng = np.random.default_rng(0)
    n, n_classes = 52_000, 300
    true = rng.integers(0, n_classes, n)
    p = np.full((n, n_classes), 0.2 / (n_classes - 1), np.float32)
    p[np.arange(n), true] = 0.8
    given = np.where(rng.random(n) < 0.1, rng.integers(0, n_classes, n), true)
    report = zcurate.scan({"label": given}, task="multiclass", probabilities=p, model="none")
    flagged = np.array(report.table.column("verdict").to_pylist()) == "incorrect"
    assert (flagged == (given != true)).mean() > 0.999
    with pytest.raises(UsageError, match="too many to blend — try --model none"):
        zcurate.scan({"x": given % 7, "label": given}, label="label", task="multiclass", probabilities=p)
