"""`zcurate scan`: which reports it replaces, and inputs that are not what they should be."""

from __future__ import annotations

import os

import pytest
from PIL import Image

from tests.report.test_report import small


def last(err):
    return err.strip().splitlines()[-1]


@pytest.fixture
def table(here):
    """Thirty rows with two columns of labels and one of numbers."""
    lines = [f"{k}.5,k{k},{'ab'[k % 2]},{'xyz'[k % 3]},{k % 7}.25" for k in range(30)]
    (here / "t.csv").write_text("x,key,label,kind,size\n" + "\n".join(lines) + "\n")
    return "t.csv"


def test_only_a_scan_of_the_same_question_replaces_a_report(run, here, table):
    assert run("scan", table, "-q", "--epochs", 1)[0] in (0, 3)
    before = (here / "t.zcurate.parquet").read_bytes()
    for words, told in (
        (["--label", "kind"], "is a report with --label label, this scan has --label kind"),
        (["--id", "key"], "is a report with no --id, this scan has --id key"),
        (["--label", "size", "--task", "regression"], "--label label --task binary, this scan has --label size --task regression"),
        (["--exclude", "kind"], "is a report with no --exclude, this scan has --exclude kind"),
        (["--group", "kind"], "is a report with no --group, this scan has --group kind"),
    ):
        code, out, err = run("scan", table, "--epochs", 1, *words)
        assert (code, out) == (2, "") and told in last(err)
        assert last(err).endswith("nothing was written — overwrite it with --force, or name another with -o")
        assert (here / "t.zcurate.parquet").read_bytes() == before
    assert run("scan", table, "-q", "--epochs", 1, "--label", "label", "--threshold", 0.7, "--max-bad", "9%", "-v")[0] in (0, 3)
    assert run("scan", table, "-q", "--epochs", 1, "--label", "kind", "--force")[0] in (0, 3)


def test_a_task_that_the_data_imply_is_compared_before_training(run, here, table):
    assert run("scan", table, "-q", "--epochs", 1, "--label", "size")[0] in (0, 3)
    before = (here / "t.zcurate.parquet").read_bytes()
    (here / "t.csv").write_text("x,size\n" + "".join(f"{k}.5,{'ab'[k % 2]}\n" for k in range(30)))
    code, _, err = run("scan", table, "--label", "size", "--epochs", 1)
    assert code == 2 and "is a report with --task regression, this scan has --task binary" in last(err)
    assert (here / "t.zcurate.parquet").read_bytes() == before


@pytest.mark.parametrize("name", ["dta.csv", "dta.parquet", "dta", "dta/", "./dta.csv", "dta.csv.gz"])
@pytest.mark.parametrize("command", [["scan"], ["trial"], ["info"], ["scan", "--estimate"]])
def test_a_missing_input_is_no_such_file_whatever_lies_beside_it(run, here, table, name, command):
    small(path="/elsewhere/other.csv").save("dta.zcurate.parquet")
    (here / "data.csv").write_text("x,label\n")
    code, out, err = run(*command, name)
    assert (code, out) == (2, "")
    assert last(err).startswith(f"error: {name}: no such file")
    assert "report" not in last(err) and "zcurate.parquet" not in last(err)


def test_a_missing_glob_matches_nothing_whatever_lies_beside_it(run, here):
    small(path="/elsewhere/other.csv").save("data.zcurate.parquet")
    code, _, err = run("scan", "nothing*.csv")
    assert code == 2 and "nothing*.csv: matches no file" in last(err)


def test_a_near_name_in_the_same_folder_is_suggested(run, here):
    (here / "sub").mkdir()
    (here / "sub" / "flowers.csv").write_text("x,label\n")
    assert "did you mean flowers.csv?" in last(run("scan", "sub/flower.csv")[2])


@pytest.mark.parametrize("command", [["scan"], ["trial"], ["scan", "--estimate"]])
def test_a_report_is_no_data(run, here, command):
    from tests.report.parted import save_parts

    small().save("a.zcurate.parquet")
    small().save("renamed.parquet")
    save_parts(small(), "parts.zcurate.parquet", 3)
    os.rename("parts.zcurate.parquet", "parts")
    for name in ("a.zcurate.parquet", "renamed.parquet", "parts"):
        code, out, err = run(*command, name)
        assert (code, out) == (2, "")
        assert f"{name}: is a zcurate report, not data" in last(err) and last(err).endswith(f"zcurate report {name}")


def test_a_picture_is_no_data(run, here):
    for name in ("cat.png", "cat.JPG", "cat.webp"):
        Image.new("L", (4, 4)).save(here / name)
        code, _, err = run("scan", name)
        assert code == 2 and f"{name}: a single picture — expected a folder with a sub-folder of pictures per class" in last(err)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scan"], "scan: no DATA — expected a table, a folder of pictures, or - for standard input — try zcurate scan t.csv"),
        (["trial"], "try zcurate trial t.csv"),
        (["scan", "t.csv", "kind"], "if it is the column with the labels: zcurate scan t.csv --label kind"),
        (["trial", "t.csv", "two words"], "zcurate trial t.csv --label 'two words'"),
        (["info", "t.csv", "kind"], "zcurate info t.csv --label kind"),
        (["scan", "kind", "t.csv"], "zcurate scan t.csv --label kind"),
        (["scan", "t.csv", "u.csv"], "expected one input, not 2 — name their folder, or put the pattern in quotes: zcurate scan '*.csv'"),
        (["scan", "t.csv", "label=kind"], "expected options with dashes — zcurate scan t.csv --label kind"),
        (["scan", "t.csv", "-label", "kind"], "zcurate scan t.csv --label kind"),
        (
            ["t.csv", "-l", "kind"],
            "t.csv: a path — expected a command first: apply, check, decisions, diff, explain, export, html, info, report, review, scan, trial, update — zcurate scan t.csv -l kind",
        ),
        (["scan", "t.csv", "--exclude", "kind,siez"], "--exclude siez matches no column"),
        (["report", "t", "hard"], "zcurate report t --verdict hard"),
        (["report", "t", "20"], "zcurate report t --top 20"),
        (["scan", "t.csv", "--task", "classification"], "--task multiclass, or --task binary for two classes"),
        (["scan", "t.csv", "--label", "Kind"], "did you mean --label kind?"),
        (["scan", "t.csv", "--label", " kind"], "did you mean --label kind?"),
        (["scan", "t.csv", "--id", "KEY"], "did you mean --id key?"),
    ],
)
def test_a_slip_is_refused_with_what_to_type(run, here, table, words, told):
    (here / "u.csv").write_text("x,label\n")
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert told in last(err)


def test_an_option_that_does_not_exist_suggests_the_nearest(run, table):
    code, _, err = run("scan", table, "--lable", "kind")
    assert code == 2 and "No such option: --lable" in err and "--label" in err


def test_shares_and_counts_are_read_as_they_are_typed(run, here, table):
    from zcurate.report.storage import load

    words = ["--time-limit", "10min", "--memory", "4g", "--max-bad", "5 %", "--device", "CPU", "--epochs", "1_0"]
    for cut, value in (("--precision", "95%"), ("--threshold", "60%"), ("--budget", "1_000")):
        assert run("scan", table, "-q", *words, cut, value)[0] in (0, 3)
        assert load("t.zcurate.parquet").card["options"][cut[2:]] == {"95%": 0.95, "60%": 0.6, "1_000": 1000}[value]
    assert run("report", "--min-p", "10%", "--top", "1_000")[0] == 0


def test_a_path_alone_says_which_command_reads_it(run, here, table):
    small().save("two words.zcurate.parquet")
    code, _, err = run("two words.zcurate.parquet", "--top", 3)
    assert code == 2 and last(err).endswith("zcurate report 'two words.zcurate.parquet' --top 3")
    assert "No such command 'nothing'" in run("nothing")[2]


def test_a_workbook_is_no_table(run, here):
    (here / "t.xlsx").write_bytes(b"PK")
    code, _, err = run("scan", "t.xlsx")
    assert code == 2 and "t.xlsx: a workbook — expected a table in a format of its own — save the sheet as CSV" in last(err)
