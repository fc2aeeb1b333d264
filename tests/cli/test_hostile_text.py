"""Labels, column and file names that a terminal, a spreadsheet or a browser would obey."""

from __future__ import annotations

import csv
import io
import os
import random
import sys

import pytest

import zcurate
from zcurate.cli import app

ESCAPES = ("\x1b", "\x07", "\x9b", "\u202e", "\r")
LABELS = ["\x1b[31mred\x1b]0;t\x07", "[red]x[/red] :bomb: <script>alert(1)</script> ![i](http://evil/x.png)"]
NAMES = ["\x9bkey", "=cmd|x!A1", "[link=http://evil]b[/link]\u202e", "label\x1b[2J"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A table with hostile labels, names of columns and a hostile name of its own; and its report."""
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "\x1b[32mt.csv"
    rng = random.Random(1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES)
        for row in range(150):
            k = row % 2
            given = k if rng.random() > 0.1 else 1 - k
            writer.writerow([f"=1+{row}\x1b[1m", f"{k + rng.gauss(0, 0.3):.3f}", f"{rng.gauss(0, 1):.3f}", LABELS[given]])
    zcurate.scan(path, label=NAMES[3], id=NAMES[0], epochs=6, output=str(folder / "\x1b[33mr.zcurate.parquet"))
    return folder


@pytest.fixture
def run_there(hostile, run, monkeypatch):
    monkeypatch.chdir(hostile)
    return run


SHOWN = [
    ["report", "\x1b[33mr.zcurate.parquet", "--format", "table", "--top", "9"],
    ["report", "\x1b[33mr.zcurate.parquet", "--format", "table", "--top", "9", "--with-data"],
    ["report", "--format", "markdown", "--top", "9", "--with-data"],
    ["report", "--format", "jsonl", "--top", "9", "--with-data"],
    ["report", "--format", "json", "--top", "9", "--with-data"],
    ["report", "--format", "csv", "--safe-cells", "--top", "9", "--with-data"],
    ["report", "--format", "tsv", "--safe-cells", "--top", "9"],
    ["report", "--format", "ids", "--safe-cells", "--top", "9"],
    ["report", "--class", "\x1b[31mnone"],
    ["report", "--columns", "\x1b[31mnone"],
    ["explain", "--by-row", "0"],
    ["explain", "--by-row", "0", "--json"],
    ["explain", "\x1b[31mnone"],
    ["info", "\x1b[33mr.zcurate.parquet"],
    ["info", "\x1b[33mr.zcurate.parquet", "--json"],
    ["info", "\x1b[32mt.csv", "--label", NAMES[3]],
    ["info", "\x1b[32mnone.csv"],
    ["scan", "\x1b[32mt.csv", "--label", NAMES[3], "--id", NAMES[0], "--epochs", "3", "-v", "-o", "\x1b[34mx.parquet", "--force"],
    ["scan", "\x1b[32mt.csv", "--label", NAMES[3], "--id", NAMES[0], "--epochs", "3", "-q", "--json", "-o", "\x1b[34mx.parquet", "--force"],
    ["scan", "\x1b[32mt.csv", "--label", "\x1b[31mnone"],
    ["scan", "\x1b[32mnone.csv"],
    ["trial", "\x1b[32mt.csv", "--label", NAMES[3], "--id", NAMES[0], "--epochs", "3", "-v"],
]  # fmt: skip


@pytest.mark.parametrize("words", SHOWN, ids=lambda words: " ".join(words)[:40].encode("unicode_escape").decode())
def test_nothing_that_a_terminal_obeys_is_shown(words, run_there):
    code, out, err = run_there(*words)
    assert code in (0, 2, 3)
    shown = (out + err).replace("\r\n", "\n")
    assert not any(character in shown for character in ESCAPES), ascii(shown)
    # Markup and emoji codes are text.
    if "[red]" in words or ("explain" in words and "--json" not in words and code == 0):
        assert "[red]x[/red] :bomb:" in " ".join(shown.split()) or r"\x1b[31mred" in shown


def test_machine_formats_in_a_pipe_are_exact(run_there):
    rows = list(csv.DictReader(io.StringIO(run_there("report", "--format", "csv", "--top", "9", "--with-data")[1], newline="")))
    assert all(row["id"].startswith("=1+") and row["id"].endswith("\x1b[1m") and row["given"] in LABELS for row in rows)
    assert set(NAMES[1:3]) <= set(rows[0])
    assert all(key.endswith("\x1b[1m") for key in run_there("report", "--format", "ids", "--top", "9")[1].splitlines())


def rows_in(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), delimiter="\t" if path.suffix == ".tsv" else ","))


def test_files_for_spreadsheets_have_safe_cells_and_it_is_told(run_there, hostile):
    for name, words in (("a.csv", []), ("a.tsv", []), ("b.csv", ["--safe-cells"])):
        code, _, err = run_there("report", "--top", "9", "-o", name, *words)
        rows = rows_in(hostile / name)
        assert code == 0 and all(row["id"].startswith("'=1+") and row["id"].endswith(r"\x1b[1m") for row in rows)
        assert "warning: " in err and "--no-safe-cells writes them as they are" in err
    code, _, err = run_there("report", "--top", "9", "-o", "c.csv", "--no-safe-cells")
    rows = rows_in(hostile / "c.csv")
    assert code == 0 and "--no-safe-cells" not in err and all(row["id"].startswith("=1+") for row in rows)


def test_a_redirected_csv_has_safe_cells(run_there, hostile, monkeypatch):
    with (hostile / "d.csv").open("w+", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "argv", ["zcurate", "report", "--top", "3", "--columns", "id"])
        with pytest.raises(SystemExit):
            app.main()
        file.seek(0)
        assert file.read().splitlines()[1].startswith("'=1+")


def test_a_workbook_marks_text_and_tells(run_there, hostile):
    openpyxl = pytest.importorskip("openpyxl")
    for name, words, quoted in (("a.xlsx", [], True), ("b.xlsx", ["--no-safe-cells"], False)):
        code, _, err = run_there("report", "--top", "9", "-o", name, "--columns", "id", *words)
        cell = openpyxl.load_workbook(hostile / name).active["A2"]
        assert code == 0 and cell.data_type == "s" and cell.value.startswith("=1+") and bool(cell.quotePrefix) == quoted
        assert ("are marked as text" in err) == quoted


def test_markdown_is_neither_html_nor_links(run_there):
    out = run_there("report", "--format", "markdown", "--top", "99", "--columns", "given,suggested")[1]
    assert "&lt;script&gt;" in out
    assert "<" not in out and "](" not in out and "![" not in out
    assert all(line.count("|") == 3 for line in out.splitlines())


def test_names_of_pictures_are_shown_escaped(run, tmp_path, monkeypatch):
    import numpy as np
    from PIL import Image

    for k in range(24):
        folder = tmp_path / f"d/{'ab'[k % 2]}\x1b[31m"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 100 * (k % 2) + k, np.uint8)).save(folder / f"{k}\x07\n.png")
    (tmp_path / "d/a\x1b[31m/broken\x1b.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    code, out, err = run("scan", "d", "--epochs", "2", "--max-bad", "50%", "-v")
    assert code in (0, 3) and not any(character in out + err for character in ESCAPES)
    for words in (["report", "--top", "3", "--format", "table"], ["info", "d"], ["explain", "--by-row", "0"]):
        code, out, err = run(*words)
        assert code == 0 and not any(character in out + err for character in ESCAPES), words
    keys = run("report", "--format", "ids", "--top", "9", "-0")[1].split("\0")
    assert all(os.path.exists(key) for key in keys[:-1])
