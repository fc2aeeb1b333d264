"""What the shell offers, asked for as the shell does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from zcurate.cli import completion
from zcurate.config.options import DEVICES, TASKS
from zcurate.config.verdicts import VERDICTS
from zcurate.plugins import FORMATS, MODELS, READERS


@pytest.fixture
def complete(run, monkeypatch):
    """Complete the last of some words as bash does."""

    def call(*words):
        monkeypatch.setenv("_ZCURATE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(["zcurate", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        code, out, err = run()
        assert (code, err) == (0, "")
        return out.split("\n")[:-1] if out.strip() else []

    return call


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["scan", "--task", ""], TASKS),
        (["trial", "--task", "r"], ("regression",)),
        (["info", "--task", "b"], ("binary",)),
        (["scan", "--device", ""], DEVICES),
        (["scan", "--input-format", ""], tuple(READERS)),
        (["scan", "--model", ""], ("auto", *MODELS, "none")),
        (["scan", "--model", "my.toml"], ()),
        (["report", "--format", ""], ("auto", *FORMATS)),
        (["report", "--format", "j"], ("json", "jsonl")),
        (["report", "--verdict", ""], VERDICTS),
        (["report", "--verdict", "incorrect,h"], ("incorrect,hard",)),
        (["report", "--verdict", "hard,h"], ()),
        (["scan", "--lab"], ("--label",)),
    ],
)
def test_values_are_offered(complete, here, words, offered):
    assert complete(*words) == list(offered)


@pytest.fixture
def files(here):
    for name in ("a.csv", "b.parquet", "b.tsv.gz", "train-images-idx3-ubyte", "notes.md", "a.zcurate.parquet", ".hidden.csv"):
        (here / name).write_text("")
    (here / "pictures" / "cat").mkdir(parents=True)
    (here / "c.zcurate.parquet").mkdir()
    return here


def test_data_completes_folders_and_files_that_have_a_reader(complete, files):
    data = ["a.csv", "b.parquet", "b.tsv.gz", "pictures/", "train-images-idx3-ubyte"]
    assert complete("scan", "") == complete("trial", "") == data
    assert complete("scan", "b") == ["b.parquet", "b.tsv.gz"]
    assert complete("scan", ".h") == [".hidden.csv"]
    assert complete("scan", "./a") == ["./a.csv"]
    assert complete("scan", "gone/") == []


def test_report_completes_reports(complete, files):
    assert complete("report", "") == complete("explain", "") == ["a.zcurate.parquet", "c.zcurate.parquet", "pictures/"]
    assert complete("info", "a") == ["a.csv", "a.zcurate.parquet"]


def test_a_single_folder_is_offered_with_its_content(complete, files):
    (files / "pictures" / "list.csv").write_text("")
    assert complete("scan", "pi") == ["pictures/", "pictures/cat/", "pictures/list.csv"]


@pytest.mark.parametrize("name", ["two words.csv", "semi;colon.csv", "größe.csv"])
def test_names_that_must_be_quoted_are_left_to_the_shell(complete, here, name):
    (here / name).write_text("")
    assert complete("scan", name[:2]) == []


def test_completion_imports_nothing_heavy(here):
    script = "import sys\nfrom zcurate.cli.app import main\ntry:\n    main()\nexcept SystemExit:\n    pass\nsys.exit(', '.join({'torch', 'pandas', 'pyarrow', 'numpy'} & set(sys.modules)) or 0)"
    env = {**os.environ, "_ZCURATE_COMPLETE": "complete_bash", "COMP_WORDS": "zcurate scan ", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, "")


def test_bash_falls_back_to_files_where_nothing_is_offered(run, monkeypatch):
    monkeypatch.setenv("_ZCURATE_COMPLETE", "source_bash")
    code, out, _ = run()
    assert code == 0 and "complete -o default -F _zcurate_completion zcurate" in out


def test_a_name_shows_that_a_file_is_readable():
    assert all(map(completion.is_readable, ("a.CSV", "a.jsonl.zst", "x.arrow", "t10k-images-idx3-ubyte.gz")))
    assert not any(map(completion.is_readable, ("a.zcurate.parquet", "a.md", "a.gz", "csv")))
