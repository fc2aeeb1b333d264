"""What the benches share: the sets asked for, and a way to print past pytest's capture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.scans import Bench


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
