"""The README is correct: options, columns, exit codes, recipes, paths."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from zcurate.cli.exit_codes import ExitCode
from zcurate.config import toml
from zcurate.config.options import ScanOptions, flags_of
from zcurate.config.verdicts import VERDICTS
from zcurate.errors import UsageError
from zcurate.report.schema import COLUMN_DOCS

README = (ROOT / "README.md").read_text()


def block(name):
    return re.search(rf"<!-- {name} -->\n```\w*\n(.*?)```", README, re.DOTALL)[1]


def section(heading):
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows_of_table(heading):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section(heading).splitlines() if line.startswith("| ")][1:]


def test_column_descriptions_match_the_code():
    assert {row[0].strip("`"): row[1] for row in rows_of_table("Columns")} == COLUMN_DOCS


def test_every_scan_option_is_listed():
    listed = {flag for row in rows_of_table("Options") for flag in re.findall(r"`(--[\w-]+)`", row[0])}
    assert listed == {next(flag for flag in flags_of(field) if flag.startswith("--")) for field in dataclasses.fields(ScanOptions)}


def test_every_exit_code_is_listed():
    assert [int(row[0]) for row in rows_of_table("Exit codes")] == [int(code) for code in ExitCode]


def test_every_verdict_is_explained():
    assert all(f"`{verdict}`" in section("Reading a report") for verdict in VERDICTS)


def test_every_package_is_listed():
    packages = {path.parent.name for path in (ROOT / "zcurate").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"`(\w+)`", " ".join(row[0] for row in rows_of_table("For developers"))))


def test_paths_of_the_internals_exist():
    paths = re.findall(r"`(zcurate/[\w./]+)`", section("How it works"))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_model_file_example_loads(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(block("spec"))
    assert toml.parse_model(str(path))["z_threshold"] == 2.0
    path.write_text(block("spec").replace("z_threshold", "z_treshold"))
    with pytest.raises(UsageError):
        toml.parse_model(str(path))


@pytest.mark.slow
def test_the_recipes_run(tmp_path):
    shutil.copy(ROOT / "sample_data/penguins/penguins.csv", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "zcurate"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m zcurate "$@"\n')
    program.chmod(0o755)
    settings = {
        "cwd": tmp_path,
        "env": {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        "capture_output": True,
        "text": True,
        "check": False,
    }
    result = subprocess.run(["zcurate", "scan", "penguins.csv", "--label", "species", "-q"], **settings)
    assert result.returncode == 0, result.stderr
    for recipe in block("recipes").splitlines():
        result = subprocess.run(["bash", "-c", recipe], **settings)
        assert result.returncode == 0, (recipe, result.stderr)
        assert result.stdout or ">" in recipe or "-o " in recipe, recipe
        assert set(result.stderr.splitlines()) <= {"penguins.zcurate.parquet"}, (recipe, result.stderr)
    assert len((tmp_path / "wrong.txt").read_text().splitlines()) > 10
    assert (tmp_path / "to_review.csv").read_text().startswith("row,fingerprint,given,suggested")


def test_sample_data_named_in_the_readme_exist():
    for path in re.findall(r"sample_data/[\w./]+\.csv", README):
        assert (ROOT / path).is_file(), path
