"""What a stranger may do after a scan: odd files of decisions, outputs over other files, cut logs, labels of every type."""

from __future__ import annotations

import bz2
import json
import os
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import zcurate
import zcurate.errors
from zcurate.report.apply.change_log import undo

R = "blobs.zcurate.parquet"


@pytest.fixture
def here_with_report(here, scanned):
    for path in scanned[:2]:
        shutil.copy(path, here / path.name)
    return here


ODD = {
    "semicolons": b"row;decision;label\n5;keep;\n",
    "tabs": b"row\tdecision\n5\tkeep\n",
    "utf-16": "row,decision\n5,keep\n".encode("utf-16"),
    "latin-1": "row,decision,note\n5,keep,\xe4\n".encode("latin-1"),
}


@pytest.mark.parametrize("name", ODD)
def test_answers_are_never_appended_to_what_they_would_damage(name, run, here_with_report):
    (here_with_report / "d.csv").write_bytes(ODD[name])
    code, _, err = run("review", R, "-n", "2", "--decisions", "d.csv", stdin=b"k\nq\n")
    assert code == 2
    assert "answers cannot be appended to it" in err
    assert (here_with_report / "d.csv").read_bytes() == ODD[name]
    code, _, err = run("decisions", "import", "d.csv", "-o", "new.csv")
    assert code == 0
    assert run("review", R, "-n", "2", "--decisions", "new.csv", stdin=b"k\nq\n")[0] == 0
    assert len((here_with_report / "new.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "text"), [("d.csv", "row,decision\r\n5,keep"), ("d.csv", "row,decision\n5,keep"), ("d.jsonl", '{"row": 5, "decision": "keep"}')]
)
def test_an_unfinished_line_is_ended_first(name, text, run, here_with_report):
    (here_with_report / name).write_bytes(text.encode())
    assert run("review", R, "-n", "2", "--decisions", name, stdin=b"k\nc\n")[0] == 0
    assert run("update", R, "--decisions", name, "-o", "u.zcurate.parquet")[0] == 0
    assert zcurate.load_report("u.zcurate.parquet").card["answers"]["decisions"] == 3


def test_a_place_that_cannot_be_written_is_told_before_the_first_question(run, here_with_report):
    code, out, err = run("review", R, "-n", "2", "--decisions", "none/d.csv", stdin=b"k\nq\n")
    assert (code, out) == (2, "")
    assert "no folder" in err


@pytest.mark.slow
def test_no_command_writes_over_the_input(run, here_with_report):
    zcurate.scan("blobs.csv", label="label", id="key", epochs=1, output="own.zcurate.parquet")
    (here_with_report / "d.csv").write_text("row,decision\n1,keep\n")
    before = (here_with_report / "blobs.csv").read_bytes()
    for words in (
        ("diff", "own.zcurate.parquet", "own.zcurate.parquet", "-o", "blobs.csv"),
        ("check", "own.zcurate.parquet", "--max-incorrect", "1%", "--junit", "blobs.csv"),
        ("decisions", "import", "d.csv", "-o", "blobs.csv"),
        ("apply", "own.zcurate.parquet", "-o", "blobs.csv", "--force"),
        ("export", "own.zcurate.parquet", "--to", "weights", "-o", "blobs.csv"),
    ):
        code, _, err = run(*words)
        assert (code, len(err.strip().splitlines())) == (2, 1), words
        assert (here_with_report / "blobs.csv").read_bytes() == before


def test_nothing_is_written_into_a_folder_that_is_the_input(run, here):
    rng = np.random.default_rng(0)
    (here / "parts").mkdir()
    for name in ("a.csv", "b.csv"):
        pd.DataFrame({"x": rng.normal(size=60), "y": rng.normal(size=60), "label": rng.choice(["a", "b"], 60)}).to_csv(here / "parts" / name, index=False)
    zcurate.scan("parts", label="label", epochs=1, output="p.zcurate.parquet")
    for words in (("apply", "-o", "parts/sub"), ("apply", "-o", "parts/c.csv"), ("export", "--to", "hf", "-o", "parts/hf")):
        code, _, err = run(words[0], "p.zcurate.parquet", *words[1:])
        assert code == 2
        assert "the input, which would change" in err
    assert sorted(os.listdir(here / "parts")) == ["a.csv", "b.csv"]


def test_other_people_s_files_are_replaced_only_when_told(run, here_with_report):
    (here_with_report / "mine.csv").write_text("important\n")
    code, _, err = run("apply", R, "--data", "blobs.csv", "-o", "mine.csv")
    assert code == 2
    assert "replace it with --force" in err
    assert (here_with_report / "mine.csv").read_text() == "important\n"
    assert run("apply", R, "--data", "blobs.csv", "-o", "mine.csv", "--force")[0] == 0
    assert run("apply", R, "--data", "blobs.csv", "-o", "mine.csv", "--action", "drop")[0] == 0
    (here_with_report / "o.csv.changes.jsonl").mkdir()
    assert run("apply", R, "--data", "blobs.csv", "-o", "o.csv")[0] == 2
    assert not (here_with_report / "o.csv").exists()


def test_a_log_that_does_not_lead_back_changes_nothing(run, here_with_report):
    run("apply", R, "--data", "blobs.csv", "-o", "o.csv", "--action", "drop")
    log, before = here_with_report / "o.csv.changes.jsonl", (here_with_report / "o.csv").read_bytes()
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-1]))
    code, _, err = run("apply", "--undo", "o.csv.changes.jsonl")
    assert (code, "expected a whole change log" in err) == (2, True)
    entry = json.loads(lines[-1])
    log.write_text("".join(lines[:-1]) + json.dumps({**entry, "begin": entry["begin"] + 1, "end": entry["end"] + 1}) + "\n")
    code, _, err = run("apply", "--undo", "o.csv.changes.jsonl")
    assert (code, "does not lead back" in err) == (2, True)
    assert (here_with_report / "o.csv").read_bytes() == before
    run("apply", R, "--data", "blobs.csv", "-o", "x.parquet", "--action", "relabel")
    assert pq.read_schema("x.parquet").field("a").type == pa.float64()
    code, _, err = run("apply", "--undo", "x.parquet.changes.jsonl")
    assert (code, "written in another format" in err) == (2, True)
    assert pq.read_table("x.parquet").num_rows == 300


def frame(labels, n=120, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(0, 0.5, (n, 2)) + 3 * y[:, None]
    given = np.where(rng.random(n) < 0.1, 1 - y, y)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": np.array(labels)[given]})


@pytest.mark.parametrize(("labels", "decided"), [([3, 7], "7.0"), ([False, True], "TRUE"), ([1.0, 2.0], "2")])
def test_labels_of_every_type_go_the_whole_way(labels, decided, here):
    data = frame(labels)
    pq.write_table(pa.Table.from_pandas(data), "t.parquet")
    report = zcurate.scan("t.parquet", label="label", task="binary", epochs=2, output="t.zcurate.parquet")
    row = int(np.flatnonzero(data["label"] == labels[0])[0])
    changed = report.update([{"row": row, "decision": "relabel", "label": decided}, {"row": row + 1, "decision": "drop"}])
    flagged = changed.flagged
    assert flagged.loc[flagged["row"] == row, "decided"].tolist() == [labels[1]]
    changed.apply("new.parquet", data="t.parquet", verdict="outlier")
    after = pd.read_parquet("new.parquet")
    assert after["label"].dtype == data["label"].dtype
    assert after["label"][row] == labels[1]
    if labels[0] != 1.0:
        assert (after["zcurate_suggested"].dropna() == after["label"][after["zcurate_suggested"].notna()]).mean() > 0.7


def test_whole_targets_stay_whole_and_decimal_commas_stay_commas(here):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 2))
    y = np.round(x[:, 0] * 100)
    y[:6] += 900
    pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "y": y.astype(np.int64)}), "t.parquet")
    report = zcurate.scan("t.parquet", label="y", task="regression", epochs=6, output="t.zcurate.parquet")
    report.apply("n.parquet", action="relabel", data="t.parquet", threshold=0.3)
    assert pq.read_schema("n.parquet").field("y").type == pa.int64()
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y / 7}).to_csv("c.csv", sep=";", decimal=",", index=False)
    report = zcurate.scan("c.csv", label="y", task="regression", epochs=6, output="c.zcurate.parquet")
    report.apply("n.csv", action="relabel", data="c.csv", threshold=0.3)
    report.apply("w.csv", action="weight", data="c.csv")
    for name in ("n.csv", "w.csv"):
        assert all(kind.kind == "f" for kind in pd.read_csv(name, sep=";", decimal=",").dtypes)


@pytest.mark.slow
def test_bz2_is_applied_too(here, scanned):
    (here / "a.csv.bz2").write_bytes(bz2.compress(scanned[0].read_bytes()))
    report = zcurate.scan("a.csv.bz2", label="label", id="key", epochs=1, output="a.zcurate.parquet")
    log = report.apply("b.csv.bz2", [{"row": 5, "decision": "drop"}], data="a.csv.bz2", action="drop", verdict="outlier")
    assert bz2.decompress((here / "b.csv.bz2").read_bytes()).count(b"\n") == 300
    undo(log, None)
    assert bz2.decompress((here / "b.csv.bz2").read_bytes()) == scanned[0].read_bytes()


@pytest.mark.slow
def test_json_rows_without_a_label_get_one_and_names_are_not_doubled(here, scanned):
    rows = pd.read_csv(scanned[0]).to_dict("records")
    del rows[3]["label"]
    (here / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = zcurate.scan("a.jsonl", label="label", id="key", epochs=1, output="a.zcurate.parquet")
    report.apply("b.jsonl", [{"row": 3, "decision": "relabel", "label": "cat"}], data="a.jsonl")
    after = [json.loads(line) for line in (here / "b.jsonl").read_text().splitlines()]
    assert after[3]["label"] == "cat"
    again = zcurate.scan("b.jsonl", label="label", id="key", epochs=1, output="b.zcurate.parquet")
    again.apply("c.jsonl", data="b.jsonl")
    assert "zcurate_verdict_" in json.loads((here / "c.jsonl").read_text().splitlines()[0])
    assert not any(name["name"].startswith("zcurate_") for name in again.card["columns"]["features"])


def test_decisions_that_are_ignored_are_told(here_with_report):
    report = zcurate.load_report(R)
    given = report.table.column("given")[4].as_py()
    other = "bee" if given != "bee" else "cat"
    for row, message in (
        ({"row": 4, "given": given, "label": other, "decision": ""}, "a label without a decision"),
        ({"row": 4, "given": given, "label": other, "decision": "keep"}, "expected relabel, or no label"),
    ):
        with pytest.raises(zcurate.errors.UsageError, match=message):
            report.update([row])
    with pytest.raises(zcurate.errors.UsageError, match="expected the path of a file"):
        report.update({"row": 1, "decision": "keep"})


def test_earlier_decisions_that_no_longer_count_are_told(run, here_with_report):
    for name, rows in (("one", (1, 2, 3)), ("two", (3, 4)), ("none", ())):
        (here_with_report / f"{name}.csv").write_text("row,decision\n" + "".join(f"{row},keep\n" for row in rows))
    assert run("update", R, "--decisions", "one.csv")[0] == 0
    err = run("update", R, "--decisions", "two.csv")[2]
    assert "2 decisions of the update before are not in it and no longer count" in err
    err = run("update", R, "--decisions", "none.csv")[2]
    assert "the judgement is the scan's own" in err
    assert "2 decisions of the update before" in err


def test_a_drop_says_nothing_of_how_many_labels_are_wrong(here_with_report):
    report = zcurate.load_report(R)
    clean = np.flatnonzero(report.called("clean"))[:8]
    dropped = report.update([{"row": int(row), "decision": "drop"} for row in clean])
    assert dropped.card["noise_rate"] == report.card["noise_rate"]
    assert dropped.called("incorrect")[clean].all()
    assert all(dropped.table.column(name).take(clean).null_count == len(clean) for name in ("suggested", "p_suggested"))


def test_a_relabel_without_a_label_takes_the_report_s_suggestion(here_with_report):
    report = zcurate.load_report(R)
    row = int(report.table.sort_by("rank").column("row")[0].as_py())
    changed = report.update([{"row": row, "decision": "relabel"}])
    assert changed.table.column("decided")[row].as_py() == report.table.column("suggested")[row].as_py()
    clean = int(np.flatnonzero(report.called("clean"))[0])
    with pytest.raises(zcurate.errors.UsageError, match="none is suggested"):
        report.update([{"row": clean, "decision": "relabel"}])


def test_a_report_of_version_1_makes_a_page(here_with_report):
    report = zcurate.load_report(R)
    card = json.loads(json.dumps(report.card))
    del card["expected"]["precision_cautious"], card["thresholds"]["review"]
    card["schema_version"] = 1
    table = report.table.drop_columns(["fingerprint"]).replace_schema_metadata({b"zcurate": json.dumps(card)})
    pq.write_table(table, "old.zcurate.parquet")
    zcurate.load_report("old.zcurate.parquet").html("old.html")
    assert (here_with_report / "old.html").stat().st_size > 10_000
