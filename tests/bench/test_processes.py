"""One scan in two processes (S6).

Questions: the share of verdicts on which two gloo processes agree with one, and their speed relative to one process of one thread. Data: a
synthetic table of 20 columns. Device: CPU, one thread per process, `--bench-cores` cores for all. n: `--bench-pairs` alternating pairs.
Run: pytest -m bench tests/bench/test_processes.py -s. Options and results: README.md.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.bench import pairs
from tests.bench.scoring import Line
from tests.bench.speed import needs_processes, rank_auroc, run_card

pytestmark = pytest.mark.bench
PROCESSES = 2
AGREE_ROWS, AGREE_BAR = 20_000, 0.99
SPEED_ROWS, SPEED_BAR = 1_000_000, 1.6
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def torchrun(speed, data, name):
    """Return `torchrun --nproc-per-node N -m zcurate scan ...`, run as a module of this Python."""
    scan = pairs.scan(data, speed.report(name))[1:]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES), *scan]


def run_pairs(speed, data, n):
    """Run one process and two processes in alternation, `n` times."""
    return pairs.alternate(
        lambda: speed.scan(data, "one", env=ONE_THREAD),
        lambda: speed.child(torchrun(speed, data, "two"), good=(0, 3), env=ONE_THREAD),
        n,
    )


def verdicts(report):
    return np.array(pq.read_table(report, columns=["verdict"])["verdict"].to_pylist())


def test_two_processes_give_the_verdicts_of_one(speed, check_lines):
    needs_processes()
    lines = []
    for family in speed.families:
        rows = speed.sizes(AGREE_ROWS)[0]
        data = speed.table(family, rows)
        run_pairs(speed, data.path, 1)
        one, two = (speed.report(name) for name in ("one", "two"))
        agreement = float((verdicts(one) == verdicts(two)).mean())
        aurocs = [rank_auroc(report, data.flipped) for report in (one, two)]
        text = f"{family} {rows} x 20: {PROCESSES} processes agree with one on {agreement:.4f} of the verdicts; AUROC {aurocs[1]:.4f} and {aurocs[0]:.4f}"
        lines.append(pairs.at_stated_size(Line("S6", "", text, agreement, at_least=AGREE_BAR), rows >= AGREE_ROWS))
    check_lines(lines)


def test_two_processes_are_faster_than_one_thread(speed, check_lines):
    needs_processes()
    rows = speed.sizes(SPEED_ROWS)[0]
    data, measured, training = speed.table("blob", rows).path, [], []
    for _ in range(speed.n_pairs):
        measured += run_pairs(speed, data, 1)
        seconds = [run_card(speed.report(name))["seconds"]["training"] for name in ("one", "two")]
        training.append(seconds[0] / seconds[1])
    gain, trained = pairs.ratios(measured, "seconds"), pairs.spread(training)
    n_calm = len(pairs.undisturbed(measured))
    text = f"{PROCESSES} processes against one of one thread, {rows} x 20"
    line = Line("S6", "", f"{text}, whole scan: {gain} times as fast; {n_calm} of {len(measured)} pairs undisturbed", gain.median, at_least=SPEED_BAR)
    check_lines([Line("S6", "", f"{text}, training: {trained} times as fast", trained.median), pairs.at_stated_size(line, rows >= SPEED_ROWS)])
