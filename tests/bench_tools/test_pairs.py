"""Alternating pairs: ratios, undisturbed runs, and the resource usage of a child process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.bench import pairs, speed
from tests.bench.scoring import Line


def used(seconds, cpu_seconds=1.0, others=0.0):
    return pairs.Child(seconds, cpu_seconds, 100.0, 0, others)


def test_the_ratio_is_taken_within_each_pair():
    measured = [(used(1), used(2)), (used(3), used(3)), (used(8), used(10))]
    assert pairs.Spread(3, 0.8, 0.5, 1.0) == pairs.ratios(measured, "seconds")
    assert str(pairs.ratios(measured, "seconds")) == "0.800 (n 3, 0.500 to 1.000)"


def test_the_median_of_no_values_is_nan():
    assert pairs.spread([]).n == 0
    assert np.isnan(pairs.spread([]).median)


def test_runs_alternate():
    order = []
    pairs.alternate(lambda: order.append("a"), lambda: order.append("b"), 3)
    assert list("ababab") == order


def test_the_wall_clock_decides_on_an_idle_machine_and_cpu_seconds_on_a_busy_one():
    calm = [(used(1, 2), used(2, 2)) for _ in range(3)]
    busy = [(used(9, 3, others=0.5), used(1, 2)) for _ in range(4)]
    assert pairs.decisive_ratio(calm + busy) == ("wall", pairs.Spread(3, 0.5, 0.5, 0.5))
    assert pairs.decisive_ratio(calm[:2] + busy) == ("cpu", pairs.Spread(6, 1.5, 1.0, 1.5))
    assert pairs.decisive_ratio(calm[:1])[0] == "wall"


def test_a_line_without_a_value_misses_its_bar():
    lines = [
        Line("S1", "", "a", 0.4, at_most=0.5),
        Line("S1", "", "b", float("nan"), at_most=0.5),
        Line("S1", "", "c", 0.6, at_most=0.5),
        Line("S1", "", "d", 9.0),
    ]
    assert [str(lines[1]), str(lines[2])] == pairs.missed(lines)


def test_a_bar_applies_only_to_its_own_size():
    line = Line("S1", "", "a", 0.6, at_most=0.5)
    assert pairs.missed([pairs.at_stated_size(line, True)])
    assert not pairs.missed([pairs.at_stated_size(line, False)])
    assert "another size" in str(pairs.at_stated_size(line, False))


def test_lines_of_seconds_report_wall_cpu_and_the_decisive_ratio():
    measured = [(used(1, 2), used(4, 4))] * 3
    lines = speed.seconds_lines("S1", "a table", measured, 0.2)
    assert [line.good for line in lines] == [None, None, False]
    assert "wall ratio 0.250" in str(lines[2])
    assert "CPU 2.00 s and 4.00 s" in str(lines[1])


def test_the_usage_of_a_child_does_not_include_its_parent():
    block = np.ones(20_000_000)  # 160 MB of the parent must not count for the child
    child = pairs.child([sys.executable, "-I", "-c", "import sys; print('output'); sys.stderr.write('message'); sum(range(10**6))"], cores=1)
    assert (child.out, child.err, child.code) == ("output\n", "message", 0)
    assert 0 < child.cpu_seconds < 5
    assert child.megabytes < block.nbytes / 2e6


def test_the_error_of_a_failed_child_is_shown():
    with pytest.raises(AssertionError, match=r"exit 3\n.*no such thing"):
        pairs.child([sys.executable, "-I", "-c", "import sys; sys.stderr.write('no such thing'); sys.exit(3)"])


def test_a_pinned_command_runs_in_the_started_process_on_the_requested_cores():
    code = "import os; print(os.getpid(), len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1)"
    process = subprocess.Popen(pairs.pinned([sys.executable, "-I", "-c", code], 1), stdout=subprocess.PIPE, text=True)
    assert process.communicate()[0].split() == [str(process.pid), "1"]


def test_the_machine_is_described():
    assert pairs.machine().startswith("machine: ")
    assert "torch" in pairs.machine()
