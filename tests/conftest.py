"""Paths, command-line options and fixtures shared by the tests."""

from __future__ import annotations

import csv
import io
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from zcurate.runtime import startup

ROOT = Path(__file__).parent.parent
# Import torch as the command line does.
startup.load_torch(owns_process=True)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells let jobs in the background ignore it, and so would the programs that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--bench-data", default=None, help="folder of data sets with NAME.parquet and NAME.truth.parquet")
    parser.addoption("--bench-sets", default=None, help="comma-separated data sets to use")
    parser.addoption("--bench-model", default="auto", help="--model of every scan: a name, or a TOML file")
    parser.addoption("--bench-ablate", default=None, help="`all`, or comma-separated clues: scan again without each of them")
    parser.addoption("--bench-seeds", default="0", help="comma-separated seeds; the first is that of the tables")
    parser.addoption("--bench-out", default=None, help="folder that stores reports and tables; stored reports are scored without another scan")
    parser.addoption("--bench-peers", default=None, help="peers' file [default: BASELINES.md in the folder of the data]")
    parser.addoption(
        "--bench-before", default=None, help="earlier table with columns set and s: CSV or Markdown [default: the results in tests/bench/README.md]"
    )
    parser.addoption(
        "--bench-rows",
        default=None,
        help="comma-separated sizes for the speed benchmark [default: those of each line]; bars are asserted only at the sizes they were set for",
    )
    parser.addoption("--bench-pairs", type=int, default=5, help="pairs of alternating runs")
    parser.addoption("--bench-cores", type=int, default=2, help="cores that a measured process may use, 0 for all")
    parser.addoption("--bench-families", default="blob,tree", help="comma-separated synthetic tables: blob, tree")
    parser.addoption("--bench-made", default=None, help="folder that stores synthetic data between runs [default: generated each time]")
    parser.addoption("--bench-large", default=None, help="folder with flights_asym10.parquet and synth1m_idn10.parquet")
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files")


@pytest.fixture
def blobs_csv(tmp_path):
    """A CSV of 240 rows with three well separated classes, and the set of its 24 wrong rows."""
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1, 2], 80)
    x = np.array([[0, 0], [4, 0], [0, 4]])[y] + rng.normal(0, 0.7, (240, 2))
    wrong = rng.choice(240, 24, replace=False)
    given = y.copy()
    given[wrong] = (y[wrong] + rng.integers(1, 3, 24)) % 3
    path = tmp_path / "blobs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "a", "b", "colour", "label"])
        for row in range(240):
            writer.writerow([f"k{row}", f"{x[row, 0]:.4f}", f"{x[row, 1]:.4f}", ["red", "blue"][row % 2], ["ant", "bee", "cat"][given[row]]])
    return path, set(wrong.tolist())


@pytest.fixture(scope="session")
def scanned(tmp_path_factory):
    """A CSV of 300 rows with ids and 30 wrong labels, its report, and the true labels by row; not to be changed."""
    import zcurate

    rng = np.random.default_rng(8)
    y = np.repeat([0, 1, 2], 100)[rng.permutation(300)]
    x = np.array([[0, 0], [3, 0], [0, 3]])[y] + rng.normal(0, 0.9, (300, 2))
    given = y.copy()
    wrong = rng.choice(300, 30, replace=False)
    given[wrong] = (y[wrong] + rng.integers(1, 3, 30)) % 3
    names = np.array(["ant", "bee", "cat"])
    folder = tmp_path_factory.mktemp("scanned")
    lines = [f"k{row},{a:.4f},{b:.4f},{names[label]}" for row, ((a, b), label) in enumerate(zip(x, given, strict=True))]
    (folder / "blobs.csv").write_text("\n".join(["key,a,b,label", *lines]) + "\n")
    zcurate.scan(str(folder / "blobs.csv"), label="label", id="key", epochs=6, output=str(folder / "blobs.zcurate.parquet"))
    return folder / "blobs.csv", folder / "blobs.zcurate.parquet", names[y].tolist()


@pytest.fixture
def memory_protocol(monkeypatch):
    """Take addresses of fsspec's file system in memory, which stands for a remote one."""
    from zcurate.data import remote

    monkeypatch.setitem(remote.PROTOCOLS, "memory", "")


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def run(capsysbinary, monkeypatch):
    """Run the program in this process: exit code, stdout, stderr."""

    from zcurate.cli import app

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
