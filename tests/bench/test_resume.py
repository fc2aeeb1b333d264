"""Scans killed at random times and resumed (S5).

Questions: is the report after `kill -9` and `--resume` identical, cell by cell, to that of an uninterrupted scan; is at most one
epoch lost; does `--resume` after a finished scan do nothing, and does it print a message if there is no checkpoint. Data: a synthetic
table of 20 columns, one seed. Device: CPU, `--bench-cores` cores. n: ten times, uniform over the duration of the scan, one scan
each. Run: pytest -m bench tests/bench/test_resume.py -s. Options and results: README.md.
"""

from __future__ import annotations

import subprocess
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bench import pairs
from tests.bench.cells import differing
from tests.bench.scoring import Line
from tests.bench.speed import needs, run_card

pytestmark = pytest.mark.bench
ROWS, KILLS = 50_000, 10
LOST_BAR = 1.5
"""Maximum age of the newest checkpoint at the kill, in mean epochs: one, plus a half because epochs differ in length."""


def command(speed, data, name):
    """Return the command line of a scan with `--resume`; not quiet, because its messages are checked."""
    return pairs.zcurate("scan", data, "--label", "label", "--force", "--resume", "-o", speed.report(name))


def report_rows(path: object) -> pa.Table:
    """Read the rows of a report without its run card, which contains timings."""
    return pq.read_table(path).replace_schema_metadata(None)


def kill_after(speed, data, name: str, after: float) -> float | None:
    """Kill a scan `after` seconds; return the age of its newest checkpoint, None without one or if the scan had ended."""
    # On the same cores as the other scans: more threads would change the order of summation.
    pinned = pairs.pinned(command(speed, data, name), speed.cores)
    process = subprocess.Popen(pinned, env=pairs.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
    killed_at = time.time()
    if process.wait() >= 0:
        return None
    folder = speed.report(name).with_name(speed.report(name).name + ".checkpoint")
    stamps = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    return killed_at - max(stamps) if stamps else None


def test_a_killed_scan_resumes_to_the_same_report(speed, check_lines, print_line):
    needs("--resume")
    rows = speed.sizes(ROWS)[0]
    data = speed.table("blob", rows).path
    uninterrupted = speed.scan(data, "uninterrupted")
    card = run_card(speed.report("uninterrupted"))
    n_epochs = sum(card["model"]["n_epochs"])
    epoch = card["seconds"]["training"] / n_epochs
    print_line(f"uninterrupted: {uninterrupted.seconds:.1f} s, training {card['seconds']['training']:.1f} s, {n_epochs} epochs of {epoch:.2f} s")
    expected, different, ages = report_rows(speed.report("uninterrupted")), [], []
    for number, share in enumerate(np.random.default_rng(0).uniform(0.05, 0.98, KILLS)):
        name = f"killed_{number}"
        age = kill_after(speed, data, name, share * uninterrupted.seconds)
        resumed = speed.child(command(speed, data, name), good=(0, 3))
        differences = differing(expected, report_rows(speed.report(name)))
        different += [f"{name}: {column}" for column in differences]
        ages += [] if age is None else [age / epoch]
        checkpoint = "no checkpoint yet, or ended" if age is None else f"newest checkpoint {age / epoch:.2f} epochs old"
        print_line(f"killed after {share * uninterrupted.seconds:6.1f} s: {checkpoint}; resumed in {resumed.seconds:.1f} s; {len(differences)} columns differ")
    oldest = pairs.spread(ages)
    lines = [
        Line("S5", "", f"columns that differ over {KILLS} kills, {rows} rows: {len(different)} {' '.join(different[:5])}", len(different), at_most=0),
        Line("S5", "", f"epochs lost at a kill: {oldest}", oldest.high, at_most=LOST_BAR),
    ]
    check_lines(lines)


def test_resume_without_a_checkpoint_prints_a_message_and_after_the_end_does_nothing(speed, check_lines):
    needs("--resume")
    data = speed.table("blob", speed.sizes(ROWS)[0]).path
    first = speed.child(command(speed, data, "twice"), good=(0, 3))
    stamp, folder = speed.report("twice").stat().st_mtime_ns, speed.report("twice").name + ".checkpoint"
    second = speed.child(command(speed, data, "twice"), good=(0, 3))
    has_message = any("checkpoint" in line for line in first.err.splitlines())
    unchanged = speed.report("twice").stat().st_mtime_ns == stamp
    ratio = second.seconds / first.seconds
    lines = [
        Line("S5", "", f"without a checkpoint there is a message: {'yes' if has_message else first.err[:200]!r}", float(has_message), at_least=1),
        Line("S5", "", f"after the end the report stays unchanged: {'yes' if unchanged else 'no'}", float(unchanged), at_least=1),
        Line("S5", "", f"after the end: {second.seconds:.2f} s against {first.seconds:.2f} s; {folder} still exists: {(speed.out / folder).exists()}", ratio),
    ]
    check_lines(lines)
