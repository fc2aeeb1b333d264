"""Time of a scan, from file to report, against the baseline (S1).

Question: seconds and CPU seconds of `zcurate scan` over those of reading the file, 5-fold LightGBM, cleanlab and writing Parquet
(baseline.py), and the AUROC of the wrong rows of both. Data: synthetic tables of 20 columns and two families with 10 % of the labels
flipped; flights and synth1m with `--bench-large FOLDER`; adult with `--bench-data FOLDER`. Device: CPU, `--bench-cores` cores.
n: `--bench-pairs` alternating pairs of fresh processes; median, minimum and maximum of the pairs' ratios.
Run: pytest -m bench tests/bench/test_speed.py -s. Options and results: README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.bench import pairs
from tests.bench.scoring import Line, auroc
from tests.bench.speed import Speed, rank_auroc, seconds_lines

pytestmark = pytest.mark.bench
SYNTHETIC_BARS = {100_000: (0.5, -0.01), 1_000_000: (0.2, 0.0)}
"""By rows: maximum share of the baseline's time, minimum lead in AUROC."""
LARGE_BARS = {"flights_asym10": 0.5, "synth1m_idn10": 0.2}
SMALL, SMALL_BAR = "adult_sym10", 1.5
BASELINE = str(Path(__file__).parent / "baseline.py")


def compare(speed: Speed, name: str, data: Path, wrong: np.ndarray) -> tuple[list[pairs.Pair], float, float]:
    """Run zcurate and the baseline in alternation on one file; return the pairs and the AUROC of both."""
    output = speed.out / f"{name}.baseline.parquet"

    def baseline() -> pairs.Child:
        return speed.child([sys.executable, BASELINE, str(data), str(output)])

    measured = pairs.alternate(lambda: speed.scan(data, name), baseline, speed.n_pairs)
    quality = pq.read_table(output, columns=["label_quality"])["label_quality"].to_numpy()
    return measured, rank_auroc(speed.report(name), wrong), auroc(-quality, wrong)


@pytest.mark.usefixtures("peers_installed")
def test_a_synthetic_table_end_to_end_against_the_baseline(speed, check_lines):
    lines = []
    for rows in speed.sizes(*SYNTHETIC_BARS):
        for family in speed.families:
            data = speed.table(family, rows)
            measured, ours, theirs = compare(speed, f"{family}_{rows}", data.path, data.flipped)
            text, stated = f"{family} {rows} x 20", rows in SYNTHETIC_BARS
            max_ratio, min_lead = SYNTHETIC_BARS.get(rows, (None, None))
            lines += seconds_lines("S1", text, measured, max_ratio, stated)
            line = Line("S1", "", f"{text}: AUROC {ours:.4f}, baseline {theirs:.4f}: {ours - theirs:+.4f}", ours - theirs, at_least=min_lead)
            lines.append(pairs.at_stated_size(line, stated))
    check_lines(lines)


@pytest.mark.usefixtures("peers_installed")
def test_a_large_set_end_to_end_against_the_baseline(speed, check_lines):
    if speed.large is None:
        pytest.skip("no --bench-large FOLDER with flights_asym10.parquet and synth1m_idn10.parquet")
    present = [name for name in LARGE_BARS if (speed.large / f"{name}.parquet").exists()]
    if not present:
        pytest.skip(f"none of {', '.join(LARGE_BARS)} in {speed.large}")
    check_lines([line for name in present for line in set_lines(speed, speed.large, name, LARGE_BARS[name])])


@pytest.mark.usefixtures("peers_installed")
def test_a_small_set_end_to_end_against_the_baseline(speed, check_lines):
    if speed.sets is None or not (speed.sets / f"{SMALL}.parquet").exists():
        pytest.skip(f"no --bench-data FOLDER with {SMALL}.parquet")
    check_lines(set_lines(speed, speed.sets, SMALL, SMALL_BAR))


def set_lines(speed: Speed, folder: Path, name: str, bar: float) -> list[Line]:
    """Compare both on a data set with a truth file."""
    wrong = pq.read_table(folder / f"{name}.truth.parquet", columns=["is_wrong"])["is_wrong"].to_numpy()
    measured, ours, theirs = compare(speed, name, folder / f"{name}.parquet", wrong)
    text = f"{name} {len(wrong)} rows"
    return [*seconds_lines("S1", text, measured, bar), Line("S1", "", f"{text}: AUROC {ours:.4f}, baseline {theirs:.4f}", ours - theirs)]
