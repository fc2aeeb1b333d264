"""Pairs taken in turn: ratios, what counts as undisturbed, and what a child used."""

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


def test_nothing_measured_has_no_median():
    assert pairs.spread([]).n == 0
    assert np.isnan(pairs.spread([]).median)


def test_runs_are_taken_in_turn():
    order = []
    pairs.in_turn(lambda: order.append("a"), lambda: order.append("b"), 3)
    assert list("ababab") == order


def test_the_wall_clock_decides_where_the_machine_was_quiet_and_cpu_seconds_where_it_was_not():
    calm = [(used(1, 2), used(2, 2)) for _ in range(3)]
    busy = [(used(9, 3, others=0.5), used(1, 2)) for _ in range(4)]
    assert pairs.fair(calm + busy) == ("wall", pairs.Spread(3, 0.5, 0.5, 0.5))
    assert pairs.fair(calm[:2] + busy) == ("cpu", pairs.Spread(6, 1.5, 1.0, 1.5))
    assert pairs.fair(calm[:1])[0] == "wall"


def test_a_line_without_a_value_has_missed_its_bar():
    lines = [
        Line("S1", "", "a", 0.4, at_most=0.5),
        Line("S1", "", "b", float("nan"), at_most=0.5),
        Line("S1", "", "c", 0.6, at_most=0.5),
        Line("S1", "", "d", 9.0),
    ]
    assert [str(lines[1]), str(lines[2])] == pairs.missed(lines)


def test_a_bar_holds_at_its_own_size_only():
    line = Line("S1", "", "a", 0.6, at_most=0.5)
    assert pairs.missed([pairs.at_stated_size(line, True)])
    assert not pairs.missed([pairs.at_stated_size(line, False)])
    assert "not the size" in str(pairs.at_stated_size(line, False))


def test_lines_of_seconds_say_wall_cpu_and_what_decides():
    measured = [(used(1, 2), used(4, 4))] * 3
    lines = speed.seconds_lines("S1", "a table", measured, 0.2)
    assert [line.good for line in lines] == [None, None, False]
    assert "wall ratio 0.250" in str(lines[2])
    assert "CPU 2.00 s and 4.00 s" in str(lines[1])


def test_a_child_says_what_it_used_and_not_what_its_parent_uses():
    bulk = np.ones(20_000_000)  # 160 MB here must not count there
    one = pairs.child([sys.executable, "-I", "-c", "import sys; print('said'); sys.stderr.write('talked'); sum(range(10**6))"], cores=1)
    assert (one.out, one.err, one.code) == ("said\n", "talked", 0)
    assert 0 < one.cpu_seconds < 5
    assert one.megabytes < bulk.nbytes / 2e6


def test_a_child_that_fails_says_how():
    with pytest.raises(AssertionError, match=r"exit 3\n.*no such thing"):
        pairs.child([sys.executable, "-I", "-c", "import sys; sys.stderr.write('no such thing'); sys.exit(3)"])


def test_a_pinned_command_is_the_process_that_was_started_on_the_cores_asked_for():
    said = "import os; print(os.getpid(), len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1)"
    process = subprocess.Popen(pairs.pinned([sys.executable, "-I", "-c", said], 1), stdout=subprocess.PIPE, text=True)
    assert process.communicate()[0].split() == [str(process.pid), "1"]


def test_the_machine_is_named():
    assert pairs.machine().startswith("machine: ")
    assert "torch" in pairs.machine()
