"""Standard streams that are closed, full, or whose reader leaves: one line, the right exit code, and a scan that is not lost."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from zcurate.cli import streams
from zcurate.plugins import FORMATS

PENGUINS = str(ROOT / "sample_data" / "penguins" / "penguins.csv")
REPORT = "p.zcurate.parquet"
QUICK = ["scan", PENGUINS, "--label", "species", "--epochs", "1", "--model", "linear.toml"]
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a report in it."""
    found = tmp_path_factory.mktemp("streams")
    (found / "linear.toml").write_text("name = 'linear'\nensemble = []\nrounds = 1\n")
    assert zcurate(found, *QUICK, "-q", "-o", REPORT).returncode == 0
    return found


def zcurate(folder, *words, redirect="", **settings):
    """Run the program in a shell, with redirections behind its words; `$?` is its exit code even before a pipe."""
    command = f'"$@" {redirect}; exit ${{PIPESTATUS[0]}}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
    program = [sys.executable, "-m", "zcurate", *words]
    return subprocess.run(["bash", "-c", command, "bash", *program], cwd=folder, capture_output=True, text=True, check=False, env=environment)


REDIRECTIONS = [pytest.param("> /dev/full", 2, 1, marks=needs_full), ("| true", 0, 0), ("2>&1 | true", 0, 0), (">&-", 0, 0), (">&- 2>&- <&-", 0, 0)]
"""Redirection, exit code, lines on stderr."""


@pytest.mark.slow
@pytest.mark.parametrize(("redirect", "code", "lines"), REDIRECTIONS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_ends_quietly_or_with_one_line(folder, form, redirect, code, lines):
    found = zcurate(folder, "report", REPORT, "--verdict", "clean", "--format", form, redirect=redirect)
    assert (found.returncode, found.stderr.count("\n")) == (code, lines)
    assert not lines or found.stderr.startswith("error: standard output: No space left on device — ")
    assert found.stdout == ""


@pytest.mark.parametrize(("redirect", "code", "lines"), REDIRECTIONS)
def test_help_ends_quietly_or_with_one_line(folder, redirect, code, lines):
    found = zcurate(folder, "--help", redirect=redirect)
    assert (found.returncode, found.stderr.count("\n")) == (code, lines)


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--version"], ["info"], ["info", REPORT, "--json"], ["explain", REPORT, "3"], ["explain", REPORT, "3", "--json"]])
@pytest.mark.parametrize(("redirect", "code", "lines"), REDIRECTIONS)
def test_every_command_ends_quietly_or_with_one_line(folder, words, redirect, code, lines):
    found = zcurate(folder, *words, redirect=redirect)
    assert (found.returncode, found.stderr.count("\n")) == (code, lines)


@pytest.mark.slow
@pytest.mark.parametrize("redirect", ["| true", "2>&1 | true", "2>&-", ">&- 2>&- <&-", pytest.param("2> /dev/full", marks=needs_full)])
@pytest.mark.parametrize("words", [[], ["--json"], ["-v"]])
def test_a_scan_is_not_lost_because_nobody_listens(folder, words, redirect):
    (folder / "other.parquet").unlink(missing_ok=True)
    found = zcurate(folder, *QUICK, "-o", "other.parquet", *words, redirect=redirect)
    assert found.returncode == 0
    assert (folder / "other.parquet").exists()


@pytest.mark.slow
def test_closed_standard_input_is_empty(folder):
    found = zcurate(folder, "scan", "-", "--input-format", "csv", redirect="<&-")
    assert found.returncode == 2
    assert found.stderr.startswith("error: -: standard input is empty")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "ascii:strict"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_terminal_without_umlauts_shows_them_escaped(folder, settings):
    rows = "".join(f"{number % 7},{'Öß'[number % 7 > 3]}\n" for number in range(200))
    (folder / "größe.csv").write_text(f"länge,art\n{rows}", encoding="utf-8")
    found = zcurate(folder, "scan", "größe.csv", "--label", "art", "--epochs", "1", "--model", "linear.toml", "-o", "g.parquet", "--force", **settings)
    assert found.returncode in (0, 3)
    assert "l\\xe4nge" in found.stderr
    assert found.stderr.isascii()
    for words in (
        ["report", "g.parquet", "--top", "3", "--with-data"],
        ["explain", "g.parquet", "3"],
        ["report", "g.parquet", "--top", "3", "--format", "table"],
    ):
        found = zcurate(folder, *words, **settings)
        assert (found.returncode, found.stderr) == (0, "")
    found = zcurate(folder, "report", "g.parquet", "--top", "3", "-o", "größe.csv", **settings)
    assert "is the input itself" in found.stderr


def test_a_deleted_folder_is_refused(tmp_path):
    (tmp_path / "gone").mkdir()
    command = f"cd gone && rmdir ../gone && exec {sys.executable} -m zcurate scan {PENGUINS} --label species"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: the current folder: was deleted — expected a folder that exists — change to another"


class Failing(io.RawIOBase):
    """A stream that cannot be written."""

    def __init__(self):
        self.n_writes = 0

    def writable(self):
        return True

    def fileno(self):
        return self.target

    def write(self, content):
        self.n_writes += 1
        raise OSError(5, "Input/output error")


def test_stderr_drops_what_cannot_be_written(monkeypatch):
    discarded, raw = [], Failing()
    raw.target = 2
    monkeypatch.setattr(streams, "discard", discarded.append)
    text = streams.ForgivingText(io.BufferedWriter(raw), "ascii", "backslashreplace", line_buffering=True)
    assert text.write("größer\n") == 7
    assert discarded == [2]
    text.detach()


def test_stdout_fails_once_and_stays_open(monkeypatch):
    class Broken:
        n = 0

        def write(self, content):
            self.n += 1
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    broken = Broken()
    monkeypatch.setattr(sys, "stdout", type("Text", (), {"buffer": broken}))
    stdout = streams.Stdout()
    with pytest.raises(BrokenPipeError):
        stdout.write(b"one")
    assert stdout.write(memoryview(b"three")) == 5
    stdout.flush()
    assert broken.n == 1
