"""How long a scan takes, from file to report, against the usual way (S1).

Question: seconds and CPU seconds of `zcurate scan` over those of reading the file, 5-fold LightGBM, cleanlab and writing Parquet
(baseline.py), and the AUROC of the wrong rows of both. Data: made tables of 20 columns and two families with 10 % of the labels
flipped; flights and synth1m, where `--bench-large` gives a folder; adult, where `--bench-data` does. Device: CPU, `--bench-cores`
of it. n: `--bench-pairs` pairs of fresh processes taken in turn; median of the pairs' ratios, smallest and largest.
Run: pytest -m bench tests/bench/test_speed.py -s. Options and kept numbers: README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.bench import pairs
from tests.bench.scoring import Line, auroc
from tests.bench.speed import Speed, ranked, seconds_lines

pytestmark = pytest.mark.bench
MADE_BARS = {100_000: (0.5, -0.01), 1_000_000: (0.2, 0.0)}
"""Rows: share of the baseline's time at most, AUROC ahead of it at least."""
LARGE_BARS = {"flights_asym10": 0.5, "synth1m_idn10": 0.2}
SMALL, SMALL_BAR = "adult_sym10", 1.5
BASELINE = str(Path(__file__).parent / "baseline.py")


def compare(speed: Speed, name: str, data: Path, wrong: np.ndarray) -> tuple[list[pairs.Pair], float, float]:
    """Pairs of ours and the baseline on one file, and the AUROC of both."""
    theirs = speed.out / f"{name}.baseline.parquet"

    def baseline() -> pairs.Child:
        return speed.child([sys.executable, BASELINE, str(data), str(theirs)])

    measured = pairs.in_turn(lambda: speed.scan(data, name), baseline, speed.n_pairs)
    quality = pq.read_table(theirs, columns=["label_quality"])["label_quality"].to_numpy()
    return measured, ranked(speed.report(name), wrong), auroc(-quality, wrong)


@pytest.mark.usefixtures("peers_installed")
def test_a_made_table_end_to_end_against_the_baseline(speed, settle):
    lines = []
    for rows in speed.sizes(*MADE_BARS):
        for family in speed.families:
            made = speed.table(family, rows)
            measured, ours, theirs = compare(speed, f"{family}_{rows}", made.path, made.flipped)
            text, stated = f"{family} {rows} x 20", rows in MADE_BARS
            most, ahead = MADE_BARS.get(rows, (None, None))
            lines += seconds_lines("S1", text, measured, most, stated)
            line = Line("S1", "", f"{text}: AUROC {ours:.4f}, baseline {theirs:.4f}: {ours - theirs:+.4f}", ours - theirs, at_least=ahead)
            lines.append(pairs.at_stated_size(line, stated))
    settle(lines)


@pytest.mark.usefixtures("peers_installed")
def test_a_large_set_end_to_end_against_the_baseline(speed, settle):
    if speed.large is None:
        pytest.skip("no --bench-large FOLDER with flights_asym10.parquet and synth1m_idn10.parquet")
    there = [name for name in LARGE_BARS if (speed.large / f"{name}.parquet").exists()]
    if not there:
        pytest.skip(f"neither of {', '.join(LARGE_BARS)} in {speed.large}")
    settle([line for name in there for line in set_lines(speed, speed.large, name, LARGE_BARS[name])])


@pytest.mark.usefixtures("peers_installed")
def test_a_small_set_end_to_end_against_the_baseline(speed, settle):
    if speed.sets is None or not (speed.sets / f"{SMALL}.parquet").exists():
        pytest.skip(f"no --bench-data FOLDER with {SMALL}.parquet")
    settle(set_lines(speed, speed.sets, SMALL, SMALL_BAR))


def set_lines(speed: Speed, folder: Path, name: str, bar: float) -> list[Line]:
    """The lines of a set with a truth beside it; the baseline's classes are the labels' spellings."""
    wrong = pq.read_table(folder / f"{name}.truth.parquet", columns=["is_wrong"])["is_wrong"].to_numpy()
    measured, ours, theirs = compare(speed, name, folder / f"{name}.parquet", wrong)
    text = f"{name} {len(wrong)} rows"
    return [*seconds_lines("S1", text, measured, bar), Line("S1", "", f"{text}: AUROC {ours:.4f}, baseline {theirs:.4f}", ours - theirs)]
