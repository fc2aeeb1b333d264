"""`zcurate review` and `update`: answers from a pipe, on the disk at once, undone, gone on with, and learned from."""

from __future__ import annotations

import csv
import io
import shutil

import numpy as np
import pytest

from zcurate.cli.render import inline_pictures


@pytest.fixture
def here_with_report(here, scanned):
    for path in scanned[:2]:
        shutil.copy(path, here / path.name)
    return here


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_answers_are_written_undone_and_gone_on_with(run, here_with_report):
    report = "blobs.zcurate.parquet"
    code, out, err = run("review", report, "-n", "4", "--data", "blobs.csv", "--by", "me", stdin=b"k\nz\nd\nu\nc\nq\n")
    assert (code, err) == (0, "")
    assert "0 of 4" in out
    assert "z is no answer here" in out
    assert "next       zcurate update blobs.zcurate.parquet --decisions blobs.decisions.csv" in out
    path = here_with_report / "blobs.decisions.csv"
    assert [row["decision"] for row in rows(path)] == ["keep", "unsure"]
    assert {row["by"] for row in rows(path)} == {"me"}
    first = {row["row"] for row in rows(path)}
    code, out, _ = run("review", report, "-n", "4", stdin=b"t\nbeee\nbee\n2\n\nq\n")
    assert code == 0
    assert "label 'beee' is no class" in out
    after = rows(path)
    assert len(after) == 4
    assert not first & {row["row"] for row in after[2:]}


def test_the_end_of_the_answers_stops(run, here_with_report):
    code, out, _ = run("review", "blobs.zcurate.parquet", "-n", "3", stdin=b"k\n")
    assert code == 0
    assert "1 of 3: about" in out


def test_a_list_is_a_decisions_file(run, here_with_report):
    code, out, _ = run("review", "blobs.zcurate.parquet", "--list", "-n", "10", "--seed", "3")
    assert code == 0
    table = list(csv.DictReader(io.StringIO(out)))
    assert list(table[0]) == ["row", "id", "fingerprint", "given", "suggested", "p_incorrect", "draw_probability", "decision", "label"]
    assert len(table) == 10
    for row in table:
        row["decision"] = "keep"
    with open("d.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    before = (here_with_report / "blobs.zcurate.parquet").read_bytes()
    code, _, err = run("update", "blobs.zcurate.parquet", "--decisions", "d.csv", "-o", "new.zcurate.parquet")
    assert code == 0
    assert "10 decisions: 0 of 10 labels wrong" in err
    assert (here_with_report / "blobs.zcurate.parquet").read_bytes() == before
    code, _, err = run("update", "new.zcurate.parquet", "--undo")
    assert (code, "restored" in err) == (0, True)


@pytest.mark.parametrize("how", ["teach", "top", "hard", "random"])
def test_every_pick_picks(how, run, here_with_report):
    code, out, err = run("review", "blobs.zcurate.parquet", "--list", "--pick", how, "-n", "5")
    table = list(csv.DictReader(io.StringIO(out)))
    if how == "hard" and code == 2:
        assert "no row is left to ask about" in err
        return
    assert 1 <= len(table) <= 5
    assert all(0 < float(row["draw_probability"]) <= 1 for row in table)


BAD = [
    (("review", "none.zcurate.parquet"), "no such report"),
    (("review", "blobs.zcurate.parquet", "--pick", "best"), "--pick"),
    (("review", "blobs.zcurate.parquet", "-n", "0"), "-n: 0 is out of range"),
    (("review", "blobs.zcurate.parquet", "--decisions", "a.parquet"), "expected a name ending in .csv or .jsonl"),
    (("update", "blobs.zcurate.parquet"), "expected either --decisions FILE or --undo"),
    (("update", "blobs.zcurate.parquet", "--undo"), "never updated"),
    (("update", "blobs.zcurate.parquet", "--decisions", "none.csv"), "none.csv: no such file"),
    (("update", "blobs.zcurate.parquet", "--decisions", "other.csv"), "none of 1 decisions finds its row"),
    (("update", "blobs.zcurate.parquet", "--decisions", "ok.csv", "-o", "blobs.csv"), "name ending in .zcurate.parquet"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=range(len(BAD)))
def test_bad_input_is_told_and_nothing_written(words, message, run, here_with_report):
    (here_with_report / "other.csv").write_text("fingerprint,decision\n0123456789abcdef,keep\n")
    (here_with_report / "ok.csv").write_text("row,decision\n1,keep\n")
    before = {path.name: path.read_bytes() for path in here_with_report.iterdir()}
    code, _, err = run(*words)
    assert code == 2
    assert message in err
    assert {path.name: path.read_bytes() for path in here_with_report.iterdir()} == before


def test_pictures_are_shown_where_the_terminal_can():
    assert inline_pictures.protocol({"TERM": "xterm-kitty"}, True) == "kitty"
    assert inline_pictures.protocol({"TERM_PROGRAM": "iTerm.app"}, True) == "iterm"
    assert inline_pictures.protocol({"TERM": "xterm", "COLORTERM": "truecolor"}, True) == "blocks"
    assert inline_pictures.protocol({"TERM": "xterm"}, True) is None
    assert inline_pictures.protocol({"TERM": "xterm-kitty"}, False) is None
    assert inline_pictures.protocol({"TERM": "xterm-kitty", "NO_COLOR": "1"}, True) is None


def test_a_picture_becomes_what_the_protocol_sends():
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.full((600, 300, 3), 77, np.uint8)).save(stream, "PNG")
    blocks = inline_pictures.picture_text(stream.getvalue(), "blocks")
    assert blocks.count("\n") == 24
    assert "38;2;77;77;77;48;2;77;77;77m▀" in blocks
    assert inline_pictures.picture_text(stream.getvalue(), "kitty").startswith("\x1b_Ga=T,f=100,m=")
    assert inline_pictures.picture_text(stream.getvalue(), "iterm").startswith("\x1b]1337;File=inline=1")
    assert inline_pictures.picture_text(b"no picture", "blocks") == ""
