"""Fixtures of the benchmarks: data sets and settings from the `--bench-...` options, and printing past pytest's capture."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.bench import pairs
from tests.bench.scans import Bench
from tests.bench.scoring import Line
from tests.bench.speed import Speed


@pytest.fixture
def bench(request, tmp_path):
    """The folder, the data sets and how to scan them, from the `--bench-...` options."""
    option = request.config.getoption
    if option("--bench-data") is None:
        pytest.skip("no --bench-data FOLDER")
    out = Path(option("--bench-out") or tmp_path)
    out.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in option("--bench-seeds").split(",")]
    whole = Bench(Path(option("--bench-data")), [], out, seeds, option("--bench-model"))
    wanted = option("--bench-sets")
    names = whole.all_names if wanted is None else wanted.split(",")
    unknown = sorted(set(names) - set(whole.all_names))
    assert names, f"no NAME.truth.parquet in {whole.folder}"
    assert not unknown, f"--bench-sets {','.join(unknown)}: not in {whole.folder}"
    return Bench(whole.folder, names, out, seeds, whole.model)


@pytest.fixture
def print_line(capsys):
    """A function that prints a line immediately, whether or not pytest captures output."""

    def write(text=""):
        with capsys.disabled():
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    return write


@pytest.fixture
def speed(request, tmp_path, print_line):
    """Sizes, pairs, cores and folders of the speed benchmark, from the `--bench-...` options; prints the machine."""
    option = request.config.getoption
    rows = option("--bench-rows")
    folder = Path(option("--bench-made") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    large, sets = (None if option(name) is None else Path(option(name)) for name in ("--bench-large", "--bench-data"))
    sizes = None if rows is None else [int(float(size)) for size in rows.split(",")]
    print_line(f"\n{pairs.machine()}")
    return Speed(sizes, option("--bench-pairs"), option("--bench-cores"), option("--bench-families").split(","), folder.resolve(), tmp_path, large, sets)


@pytest.fixture
def peers_installed():
    """Skip if the baseline cannot run."""
    missing = [name for name in ("lightgbm", "cleanlab", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the baseline needs {', '.join(missing)}: not installed")


@pytest.fixture
def check_lines(print_line):
    """A function that prints lines, then fails with those that miss their bar."""

    def check(lines: list[Line]) -> None:
        for line in lines:
            print_line(line)
        if missed := pairs.missed(lines):
            pytest.fail("\n".join(missed), pytrace=False)

    return check
