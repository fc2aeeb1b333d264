"""Fixtures of the command-line tests: a folder to run in, and the program run in this process."""

from __future__ import annotations

import io
import sys

import pytest

from zcurate.cli import app


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def run(capsysbinary, monkeypatch):
    """Run the program in this process: exit code, stdout, stderr."""

    def call(*words, stdin=None):
        monkeypatch.setattr(sys, "argv", ["zcurate", *map(str, words)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            app.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return call
