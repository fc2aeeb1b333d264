"""What several tests need: paths, options of the run, small data sets made from a seed."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import numpy as np
import pytest

from zcurate.runtime import startup

ROOT = Path(__file__).parent.parent
# All tests run on torch as the program loads it.
startup.load_torch(owns_process=True)


def pytest_addoption(parser):
    parser.addoption("--bench-data", default=None, help="folder of data sets with NAME.parquet and NAME.truth.parquet")
    parser.addoption("--bench-sets", default=None, help="only these sets, by comma")
    parser.addoption("--bench-model", default="auto", help="--model of every scan: a name, or a TOML file that leaves something out")
    parser.addoption("--bench-ablate", default=None, help="`all`, or clues by comma: scan again without each of them")
    parser.addoption("--bench-seeds", default="0", help="seeds by comma; the first is that of the tables")
    parser.addoption("--bench-out", default=None, help="folder that keeps reports and tables; kept reports are scored without another scan")
    parser.addoption("--bench-peers", default=None, help="peers' file [default: BASELINES.md of the data's folder]")
    parser.addoption("--bench-before", default=None, help="earlier table with columns set and s: CSV or Markdown [default: the kept numbers]")
    parser.addoption(
        "--bench-rows", default=None, help="sizes by comma, for the speed bench [default: each line's own]; bars are asserted at their own sizes only"
    )
    parser.addoption("--bench-pairs", type=int, default=5, help="pairs of runs taken in turn")
    parser.addoption("--bench-cores", type=int, default=2, help="cores that a measured process may use, 0 for all")
    parser.addoption("--bench-families", default="blob,tree", help="made tables by comma: blob, tree")
    parser.addoption("--bench-made", default=None, help="folder that keeps made data between runs [default: made anew]")
    parser.addoption("--bench-large", default=None, help="folder with flights_asym10.parquet and synth1m_idn10.parquet")
    parser.addoption("--update-golden", action="store_true", help="write golden files anew")


@pytest.fixture
def blobs_csv(tmp_path):
    """A CSV of 240 rows, three well separated classes, 24 labels wrong; and which."""
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
        for at in range(240):
            writer.writerow([f"k{at}", f"{x[at, 0]:.4f}", f"{x[at, 1]:.4f}", ["red", "blue"][at % 2], ["ant", "bee", "cat"][given[at]]])
    return path, set(wrong.tolist())


@pytest.fixture(autouse=True)
def _broken_pipes_raise():
    """`report`, `explain` and `info` end at a closed pipe without a word; run within this process they must not leave it so for the tests after them."""
    yield
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
