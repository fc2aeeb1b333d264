"""What the benches share: the sets asked for, and a way to print past pytest's capture."""

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
    """The folder, the sets and how to scan them, from the `--bench-...` options."""
    option = request.config.getoption
    if option("--bench-data") is None:
        pytest.skip("no --bench-data FOLDER")
    out = Path(option("--bench-out") or tmp_path)
    out.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in option("--bench-seeds").split(",")]
    every = Bench(Path(option("--bench-data")), [], out, seeds, option("--bench-model"))
    wanted = option("--bench-sets")
    names = every.every if wanted is None else wanted.split(",")
    strange = sorted(set(names) - set(every.every))
    assert names, f"no NAME.truth.parquet in {every.folder}"
    assert not strange, f"--bench-sets {','.join(strange)}: not in {every.folder}"
    return Bench(every.folder, names, out, seeds, every.model)


@pytest.fixture
def say(capsys):
    """Print a line at once, captured or not."""

    def write(text=""):
        with capsys.disabled():
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    return write


@pytest.fixture
def speed(request, tmp_path, say):
    """Sizes, pairs, cores and folders of the speed bench, from the `--bench-...` options; says which machine it is."""
    option = request.config.getoption
    rows = option("--bench-rows")
    folder = Path(option("--bench-made") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    large, sets = (None if option(name) is None else Path(option(name)) for name in ("--bench-large", "--bench-data"))
    sizes = None if rows is None else [int(float(one)) for one in rows.split(",")]
    say(f"\n{pairs.machine()}")
    return Speed(sizes, option("--bench-pairs"), option("--bench-cores"), option("--bench-families").split(","), folder.resolve(), tmp_path, large, sets)


@pytest.fixture
def peers_installed():
    """Skips where the baseline cannot run."""
    missing = [name for name in ("lightgbm", "cleanlab", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the baseline needs {', '.join(missing)}: not installed")


@pytest.fixture
def settle(say):
    """Prints lines, then fails with those whose bar is missed."""

    def judge(lines: list[Line]) -> None:
        for line in lines:
            say(line)
        if short := pairs.missed(lines):
            pytest.fail("\n".join(short), pytrace=False)

    return judge
