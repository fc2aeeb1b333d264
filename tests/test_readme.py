"""The README keeps its word: commands, columns, exit codes, recipes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from zcurate.cli.exit_codes import ExitCode
from zcurate.config import toml
from zcurate.config.verdicts import VERDICTS
from zcurate.errors import UsageError
from zcurate.report.schema import COLUMN_DOCS

README = (ROOT / "README.md").read_text()


def block(mark):
    return re.search(rf"<!-- {mark} -->\n```\w*\n(.*?)```", README, re.DOTALL)[1]


def rows_of_table(heading):
    part = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| ")][1:]


def test_every_column_is_explained_as_the_code_has_it():
    assert {row[0].strip("`"): row[1] for row in rows_of_table("Columns")} == COLUMN_DOCS


def test_every_exit_code_is_listed():
    assert [int(row[0]) for row in rows_of_table("Exit codes")] == [int(code) for code in ExitCode]


def test_every_verdict_is_explained():
    part = README.split("## Reading a report")[1].split("\n## ")[0]
    assert all(f"`{verdict}`" in part for verdict in VERDICTS)


def test_the_spec_is_one_that_loads(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(block("spec"))
    assert toml.parse_model(str(path))["z_threshold"] == 2.0
    path.write_text(block("spec").replace("z_threshold", "z_treshold"))
    with pytest.raises(UsageError):
        toml.parse_model(str(path))


def test_the_recipes_run(tmp_path):
    shutil.copy(ROOT / "sample_data/penguins/penguins.csv", tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    tool = tools / "zcurate"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m zcurate "$@"\n')
    tool.chmod(0o755)
    settings = {
        "cwd": tmp_path,
        "env": {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        "capture_output": True,
        "text": True,
        "check": False,
    }
    done = subprocess.run(["zcurate", "scan", "penguins.csv", "--label", "species", "-q"], **settings)
    assert done.returncode == 0, done.stderr
    for recipe in block("recipes").splitlines():
        done = subprocess.run(["bash", "-c", recipe], **settings)
        assert done.returncode == 0, (recipe, done.stderr)
        assert done.stdout or ">" in recipe or "-o " in recipe, recipe
        assert set(done.stderr.splitlines()) <= {"penguins.zcurate.parquet"}, (recipe, done.stderr)
    assert len((tmp_path / "wrong.txt").read_text().splitlines()) > 10
    assert (tmp_path / "to_review.csv").read_text().startswith("row,given,suggested")


def test_the_sample_data_the_readme_names_are_there():
    for path in re.findall(r"sample_data/[\w./]+\.csv", README):
        assert (ROOT / path).is_file(), path
