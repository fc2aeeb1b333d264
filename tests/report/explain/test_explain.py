"""`explain`: the facts about a row, checked against the report; rows by number, id and path; missing parts are named."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

import zcurate
from tests.conftest import ROOT
from tests.report.test_report import small
from zcurate.cli import app
from zcurate.cli.render import row_explanation
from zcurate.config.options import ScanOptions
from zcurate.data import tables
from zcurate.data.dataset import Column, InputInfo
from zcurate.errors import UsageError
from zcurate.report.explain import explain, similar_rows
from zcurate.report.report import Report
from zcurate.report.schema import CURVE_COLUMNS
from zcurate.report.storage import load

SAMPLES = ROOT / "sample_data"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with three scans of sample data: classes, targets (its first 400 rows) and pictures."""
    folder = tmp_path_factory.mktemp("explained")
    shutil.copy(SAMPLES / "penguins/penguins.csv", folder / "penguins.csv")
    lines = (SAMPLES / "flights/flights.csv").read_text().splitlines()[:401]
    (folder / "flights.csv").write_text("\n".join(lines) + "\n")
    zcurate.scan(folder / "penguins.csv", label="species", id="penguin", epochs=6, output=str(folder / "penguins.zcurate.parquet"))
    zcurate.scan(folder / "flights.csv", label="air_minutes", epochs=6, output=str(folder / "flights.zcurate.parquet"))
    zcurate.scan(SAMPLES / "digits/manifest.csv", epochs=4, output=str(folder / "digits.zcurate.parquet"))
    return folder


@pytest.fixture
def run(folder, capsys, monkeypatch):
    """Run the program in the folder, in this process: exit code, stdout, stderr."""

    def call(*words):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["zcurate", *map(str, words)])
        try:
            app.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return call


def one(folder, name, row):
    path = str(folder / f"{name}.zcurate.parquet")
    return explain.explain_rows(load(path), path, [row])[0]


def first(folder, name, verdict):
    table = load(str(folder / f"{name}.zcurate.parquet")).table
    ranked = sorted(table.to_pylist(), key=lambda row: row["rank"] or 10**9)
    return next(row["row"] for row in ranked if row["verdict"] == verdict)


def test_the_class_band_is_the_quantiles_of_the_rows_with_the_same_label(folder):
    facts = one(folder, "penguins", 1)
    rows = [row for row in load(str(folder / "penguins.zcurate.parquet")).table.to_pylist() if row["given"] == facts["given"]]
    for name in ("loss", "margin", "z"):
        curves = np.array([row[f"{name}_curve"] + [np.nan] * (6 - len(row[f"{name}_curve"])) for row in rows])
        expected = np.nanquantile(curves, [0.1, 0.5, 0.9], axis=0)
        found = facts["curves"][name]["class"]
        assert np.allclose([found["low"], found["middle"], found["high"]], expected, atol=6e-4)
    assert facts["curves"]["rows"] == len(rows)
    assert facts["curves"]["planted"] == load(str(folder / "penguins.zcurate.parquet")).card["bands"]["planted"] > 20


def test_planted_errors_are_harder_to_learn_than_the_class(folder):
    loss = one(folder, "penguins", 0)["curves"]["loss"]
    assert loss["planted"]["middle"][-1] > 5 * loss["class"]["middle"][-1]
    assert len(loss["planted"]["middle"]) == len(loss["row"]) == 6


def test_curves_agree_with_the_report_s_means(folder):
    facts = one(folder, "penguins", 1)
    mean = load(str(folder / "penguins.zcurate.parquet")).table.column("loss_mean")[1].as_py()
    assert facts["verdict"] == "incorrect"
    assert mean == pytest.approx(np.mean(facts["curves"]["loss"]["row"]), rel=0.5)


def test_clues_are_sorted_by_weight_times_percentile_rank(folder):
    facts = one(folder, "penguins", 1)
    card = load(str(folder / "penguins.zcurate.parquet")).card
    assert {entry["clue"] for entry in facts["clues"]} == set(card["clue_names"])
    assert {entry["clue"]: entry["weight"] for entry in facts["clues"] if entry["weight"]} == {clue: weight for clue, weight in card["clues"].items() if weight}
    counts = [entry["weight"] * entry["place"] for entry in facts["clues"]]
    assert counts == sorted(counts, reverse=True)


def test_the_words_of_a_clue_are_qualified_by_its_percentile_rank():
    entry = {"place": 0.9, "weight": 1.0, "words": "it is odd"}
    assert row_explanation.clue_words(entry) == "it is odd"
    assert row_explanation.clue_words({**entry, "place": 0.6}) == "weakly: it is odd"
    assert row_explanation.clue_words({**entry, "place": 0.2, "weight": 0.0}) == "not so: it is odd (not used)"
    assert row_explanation.clue_words({**entry, "place": None}) == "cannot tell"


def test_the_nearest_rows_are_the_nearest_and_carry_labels_and_values(folder):
    nearest = one(folder, "penguins", 1)["nearest"]
    with (folder / "penguins.csv").open() as file:
        written = list(csv.DictReader(file))
    distances = [entry["distance"] for entry in nearest["rows"]]
    assert distances == sorted(distances)
    assert len(nearest["rows"]) == similar_rows.N_NEAREST
    assert nearest["itself"]["row"] == 1
    assert 1 not in [entry["row"] for entry in nearest["rows"]]
    for entry in (nearest["itself"], *nearest["rows"]):
        assert (entry["id"], entry["given"]) == (written[entry["row"]]["penguin"], written[entry["row"]]["species"])
        assert entry["values"]
        for name, value in entry["values"].items():
            assert value in (written[entry["row"]][name].removesuffix(".0"), written[entry["row"]][name] or "(missing)")


def test_texts_are_compared_by_their_words():
    fruit, vegetable = "red apple pie with cream number", "hot green pea soup with bread number"
    texts = [f"{fruit if at % 2 else vegetable} {chr(97 + at)}{chr(97 + at)}{at // 2}" for at in range(20)]
    data = tables.dataset(pa.table({"text": texts, "label": ["a", "b"] * 10}), InputInfo("memory", "arrow"), ScanOptions(label="label"))
    data = dataclasses.replace(data, roles=dataclasses.replace(data.roles, features=(Column("text", "text"),)))
    found = similar_rows.similar_rows(data, [0, 3])
    assert found.measure == similar_rows.BY_TEXT
    assert [{near % 2 for near, _ in found.of[row]} for row in (0, 3)] == [{0}, {1}]
    assert [row in [near for near, _ in found.of[row]] for row in (0, 3)] == [False, False]
    assert all(0 <= distance < 0.9 for _, distance in found.of[0])


def test_rows_go_by_number_id_or_both(folder, run):
    code, out, err = run("explain", "penguins.zcurate.parquet", "P002", "1", "0", "--json")
    assert (code, err) == (0, "")
    assert [(facts["row"], facts["id"]) for facts in map(json.loads, out.splitlines())] == [(1, "P002"), (0, "P001")]


def test_without_a_report_the_newest_is_named_on_stderr(folder, run):
    os.utime(folder / "penguins.zcurate.parquet", (2**31, 2**31))
    code, out, err = run("explain", "P002")
    assert (code, err) == (0, "penguins.zcurate.parquet\n")
    assert out.startswith("row 1 · id P002\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["p002"], "did you mean P002?"),
        (["344"], "or a row number, 0 to 343"),
        (["P002", "--by-row"], "P002: no such row"),
        ([], "no row named"),
    ],
)
def test_an_unknown_row_is_a_usage_error(run, words, message):
    code, out, err = run("explain", "penguins.zcurate.parquet", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_missing_report_is_a_usage_error(run):
    code, _, err = run("explain", "gone.zcurate.parquet", "1")
    assert (code, "no such report" in err) == (2, True)


def test_where_ids_are_numbers_a_number_is_an_id_without_by_row():
    report = small()
    report = Report(report.table.append_column("id", pa.array(range(5, 17))), {**report.card, "columns": {"id": "key"}})
    assert explain.find_rows(report, ["5", "16"], by_row=False) == [0, 11]
    assert explain.find_rows(report, ["5"], by_row=True) == [5]
    with pytest.raises(UsageError, match="0 to 11, need --by-row"):
        explain.find_rows(report, ["3"], by_row=False)


def test_an_id_of_many_rows_is_refused_and_of_few_gives_all():
    report = small(60)
    ids = ["many"] * 50 + ["few"] * 2 + [f"k{at}" for at in range(8)]
    report = Report(report.table.append_column("id", pa.array(ids)), {**report.card, "columns": {"id": "key"}})
    assert explain.find_rows(report, ["few"], by_row=False) == [50, 51]
    with pytest.raises(UsageError, match="50 rows have this id"):
        explain.find_rows(report, ["many"], by_row=False)


def test_pictures_go_by_path_as_written_or_relative_to_here(folder, run):
    relative = os.path.relpath(SAMPLES / "digits/images/003.png", folder)
    code, out, _ = run("explain", "digits.zcurate.parquet", "images/003.png", relative, "4", "--data", SAMPLES / "digits/manifest.csv", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(facts["row"], facts["path"]) for facts in found] == [(3, "images/003.png"), (4, "images/004.png")]
    assert all(entry["path"].startswith("images/") for entry in found[0]["nearest"]["rows"])
    code, out, _ = run("explain", "digits.zcurate.parquet", "3", "--data", SAMPLES / "digits/manifest.csv")
    assert code == 0
    assert "features of a pre-trained network" in out and "Typical pictures" in out
    (folder / "digits.zcurate.parquet.features").rename(folder / "elsewhere")
    try:
        code, out, _ = run("explain", "digits.zcurate.parquet", "3", "--data", SAMPLES / "digits/manifest.csv")
    finally:
        (folder / "elsewhere").rename(folder / "digits.zcurate.parquet.features")
    assert code == 0 and "coarse brightness" in out and "Typical pictures" not in out


def test_a_target_is_explained_by_residual_and_interval(folder, run):
    row = first(folder, "flights", "incorrect")
    facts = one(folder, "flights", row)
    assert facts["heldout"]["residual"] == pytest.approx(facts["given"] - facts["predicted"])
    assert "top_classes" not in facts["missing"]
    assert "lies outside" in facts["meaning"]
    code, out, _ = run("explain", "flights.zcurate.parquet", row)
    assert code == 0
    assert "90 % of right targets" in out
    assert "the middle 80 % of all rows (400)" in out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["penguins", "flights", "digits"])
def test_a_page_in_a_pipe_fits_80_columns_without_colour(folder, name):
    table = load(str(folder / f"{name}.zcurate.parquet")).table
    words = [str(table.column("verdict").to_pylist().index(verdict)) for verdict in set(table.column("verdict").to_pylist())]
    command = [sys.executable, "-m", "zcurate", "explain", f"{name}.zcurate.parquet", "--by-row", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TRACES": "200"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.stdout
    assert [line for line in lines if line != line.rstrip()] == []
    assert sum(line.startswith("row ") and line.split()[1] in words for line in lines) >= len(words)
    assert done.stderr == ""


def test_changed_data_are_named_and_the_rest_is_shown(folder, run):
    before = (folder / "penguins.csv").read_bytes()
    try:
        (folder / "penguins.csv").write_bytes(before + b"\n")
        code, out, _ = run("explain", "penguins.zcurate.parquet", "P002")
        facts = json.loads(run("explain", "penguins.zcurate.parquet", "P002", "--json")[1])
    finally:
        (folder / "penguins.csv").write_bytes(before)
    assert code == 0
    assert "has changed since the scan" in " ".join(out.split())
    assert facts["nearest"] is None
    assert "has changed since the scan" in facts["nearest_missing"]
    assert facts["curves"]["loss"]["row"]


def test_missing_columns_of_an_older_version_are_named(folder, run):
    whole = load(str(folder / "penguins.zcurate.parquet"))
    card = {name: value for name, value in whole.card.items() if name not in ("bands", "clue_names")}
    Report(whole.table.drop_columns(list(CURVE_COLUMNS)), card).save(str(folder / "old.parquet"))
    code, out, _ = run("explain", "old.parquet", "P002")
    facts = json.loads(run("explain", "old.parquet", "P002", "--json")[1])
    assert code == 0
    assert "older zcurate: no loss_curve" in out
    assert "Threshold" in out
    assert facts["missing"] == list(CURVE_COLUMNS)
    assert (facts["curves"], facts["clues"], facts["heldout"]) == (None, None, None)


def test_unlabelled_and_unjudged_rows_say_so(tmp_path):
    rng = np.random.default_rng(0)
    label = rng.choice(["a", "b"], 60).tolist()
    label[3] = None
    report = zcurate.scan(pa.table({"x": rng.normal(size=60), "label": label}), epochs=2)
    unjudged, unlabelled = explain.explain_rows(report, "x", [0, 3])
    assert (unjudged["verdict"], unlabelled["verdict"]) == ("unjudged", "unlabelled")
    assert unjudged["cut"] is None and unjudged["clues"] is None and unlabelled["curves"] is None
    assert len(unjudged["curves"]["z"]["row"]) == 2
    assert "No row of this scan is judged" in unjudged["meaning"]
    assert "has no label" in unlabelled["meaning"]
    assert "a table in memory" in unjudged["nearest_missing"]
    for facts in (unjudged, unlabelled):
        row_explanation.print_row(facts)


def test_a_skipped_row_is_shown_with_its_reason(tmp_path, capsys):
    lines = [f"{k % 2 * 4 + k / 100},{'ab'[k % 2]}" for k in range(60)]
    lines[7] = "1,a,b,c,d"
    (tmp_path / "bad.csv").write_text("x,label\n" + "\n".join(lines) + "\n")
    report = zcurate.scan(str(tmp_path / "bad.csv"), epochs=3)
    (facts,) = explain.explain_rows(report, "x", [7])
    assert facts["verdict"] == "skipped"
    assert facts["skipped"] in facts["meaning"]
    assert facts["nearest"] is None and facts["telling"] == []
    row_explanation.print_row(facts)
    assert "could not be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verdict", "p", "words"),
    [("incorrect", 0.9, "more likely wrong than right:"), ("incorrect", 0.3, "threshold is below one half"), ("clean", 0.7, "your threshold is higher"),
     ("clean", 0.1, "nothing to do"), ("hard", 0.1, "keep it"), ("outlier", 0.1, "unlike the rest")],
)  # fmt: skip
def test_the_last_sentence_follows_the_verdict_and_the_threshold(verdict, p, words):
    heldout = [{"class": "dog", "p": 0.9}, {"class": "cat", "p": 0.1}]
    facts = {"verdict": verdict, "p_incorrect": p, "task": "binary", "heldout": heldout, "given": "cat", "skipped": None, "why_unjudged": ""}
    text = explain.meaning(facts)
    assert words in text
    assert "prefer dog (p 0.90) to cat (p 0.10)" in text


def test_markup_in_names_is_printed_literally_and_long_ids_become_numbers(folder, capsys):
    facts = one(folder, "penguins", 1)
    near = facts["nearest"]
    for at, entry in enumerate((near["itself"], *near["rows"])):
        entry["id"] = f"http://example.org/a/long/path/[bold]{at}[/bold]"
        entry["values"] = {"size [red]": "[red]5[/red]"}
    row_explanation.print_row({**facts, "id": "[red]7[/red]"})
    out = capsys.readouterr().out
    assert out.startswith("row 1 · id [red]7[/red]\n")
    assert "row  given" in out
    assert "size [red]" in out
    assert "[red]5[/red]" in out
    facts["nearest"]["itself"]["values"] = {}
    for entry in near["rows"]:
        entry["values"] = {}
    row_explanation.print_row(facts)
    assert "[bold]1[/bold]" in capsys.readouterr().out


def test_a_row_with_a_planted_label_in_the_first_round_shows_a_later_one(folder, tmp_path, capsys):
    """Later rounds are shorter, and so are the curves of rows that had a planted label in the first."""
    report = load(str(folder / "penguins.zcurate.parquet"))
    at = [name for name in report.table.column_names if name.endswith("_curve")]
    table = report.table
    for name in at:
        curves = table.column(name).to_pylist()
        curves[0] = curves[0][:2]
        table = table.set_column(table.column_names.index(name), name, pa.array(curves, table.schema.field(name).type))
    path = str(tmp_path / "cut.zcurate.parquet")
    Report(table, report.card).save(path)
    shown = explain.explain_rows(load(path), path, [0, 1])
    for facts, expected in zip(shown, (True, False), strict=True):
        assert facts["curves"]["later_round"] is expected
        row_explanation.print_row(facts)
        assert ("carried a planted label" in capsys.readouterr().out) is expected
