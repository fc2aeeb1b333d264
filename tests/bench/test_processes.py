"""One scan as two processes (S6).

Questions: how many verdicts two gloo processes share with one, and how much faster they are than one process of one thread. Data: a
made table of 20 columns. Device: CPU, one thread a process, `--bench-cores` cores for all. n: `--bench-pairs` pairs in turn.
Run: pytest -m bench tests/bench/test_processes.py -s. Options and kept numbers: README.md.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.bench import pairs
from tests.bench.scoring import Line
from tests.bench.speed import card_of, needs_processes, ranked

pytestmark = pytest.mark.bench
PROCESSES = 2
AGREE_ROWS, AGREE_BAR = 20_000, 0.99
SPEED_ROWS, SPEED_BAR = 1_000_000, 1.6
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def torchrun(speed, data, name):
    """`torchrun --nproc-per-node N -m zcurate scan ...`, as its module, so that it is this Python's."""
    scan = pairs.scan(data, speed.report(name))[1:]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES), *scan]


def run_both(speed, data, n):
    """Pairs of one process and of two, in turn."""
    return pairs.in_turn(
        lambda: speed.scan(data, "one", env=ONE_THREAD),
        lambda: speed.child(torchrun(speed, data, "two"), good=(0, 3), env=ONE_THREAD),
        n,
    )


def verdicts(report):
    return np.array(pq.read_table(report, columns=["verdict"])["verdict"].to_pylist())


def test_two_processes_give_the_verdicts_of_one(speed, settle):
    needs_processes()
    lines = []
    for family in speed.families:
        rows = speed.sizes(AGREE_ROWS)[0]
        made = speed.table(family, rows)
        run_both(speed, made.path, 1)
        one, two = (speed.report(name) for name in ("one", "two"))
        same = float((verdicts(one) == verdicts(two)).mean())
        aurocs = [ranked(report, made.flipped) for report in (one, two)]
        text = f"{family} {rows} x 20: {same:.4f} of the verdicts of {PROCESSES} processes are those of one; AUROC {aurocs[1]:.4f} and {aurocs[0]:.4f}"
        lines.append(pairs.at_stated_size(Line("S6", "", text, same, at_least=AGREE_BAR), rows >= AGREE_ROWS))
    settle(lines)


def test_two_processes_are_faster_than_one_thread(speed, settle):
    needs_processes()
    rows = speed.sizes(SPEED_ROWS)[0]
    data, whole, training = speed.table("blob", rows).path, [], []
    for _ in range(speed.n_pairs):
        whole += run_both(speed, data, 1)
        seconds = [card_of(speed.report(name))["seconds"]["training"] for name in ("one", "two")]
        training.append(seconds[0] / seconds[1])
    gain, trained = pairs.ratios(whole, "seconds"), pairs.spread(training)
    calm = len(pairs.quiet(whole))
    text = f"{PROCESSES} processes against one of one thread, {rows} x 20"
    line = Line("S6", "", f"{text}, whole scan: {gain} times as fast; {calm} of {len(whole)} pairs undisturbed", gain.median, at_least=SPEED_BAR)
    settle([Line("S6", "", f"{text}, training: {trained} times as fast", trained.median), pairs.at_stated_size(line, rows >= SPEED_ROWS)])
