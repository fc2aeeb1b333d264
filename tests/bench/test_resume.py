"""A scan killed at random moments and taken up again (S5).

Questions: is the report after `kill -9` and `--resume` the same, cell for cell, as that of a scan nobody disturbed; is at most one
epoch lost; does a second `--resume` after the end do nothing, and does one without a checkpoint say that it begins anew. Data: a made
table of 20 columns, the same seed. Device: CPU, `--bench-cores` of it. n: ten moments, uniform over the length of the scan, each a
scan of its own. Run: pytest -m bench tests/bench/test_resume.py -s. Options and kept numbers: README.md.
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
from tests.bench.speed import card_of, needs

pytestmark = pytest.mark.bench
ROWS, MOMENTS = 50_000, 10
LOST_BAR = 1.5
"""Age of the newest checkpoint at the kill in mean epochs: one, and half of one because epochs are not equally long."""


def command(speed, data, name):
    """A scan that can be taken up again; not quiet, since it is to say what it does."""
    return pairs.zcurate("scan", data, "--label", "label", "--force", "--resume", "-o", speed.report(name))


def bare(path: object) -> pa.Table:
    """The report's rows without its card, which holds the seconds."""
    return pq.read_table(path).replace_schema_metadata(None)


def killed(speed, data, name: str, after: float) -> float | None:
    """Kill a scan `after` seconds; how old its newest checkpoint was then, None where it had none or had ended."""
    # On the same cores as the others: more threads would add in another order.
    pinned = pairs.pinned(command(speed, data, name), speed.cores)
    process = subprocess.Popen(pinned, env=pairs.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
    moment = time.time()
    if process.wait() >= 0:
        return None
    folder = speed.report(name).with_name(speed.report(name).name + ".checkpoint")
    stamps = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    return moment - max(stamps) if stamps else None


def test_a_killed_scan_goes_on_as_if_nothing_had_happened(speed, settle, say):
    needs("--resume")
    rows = speed.sizes(ROWS)[0]
    data = speed.table("blob", rows).path
    whole = speed.scan(data, "whole")
    card = card_of(speed.report("whole"))
    n_epochs = sum(card["model"]["n_epochs"])
    epoch = card["seconds"]["training"] / n_epochs
    say(f"undisturbed: {whole.seconds:.1f} s, training {card['seconds']['training']:.1f} s, {n_epochs} epochs of {epoch:.2f} s")
    expected, different, ages = bare(speed.report("whole")), [], []
    for number, share in enumerate(np.random.default_rng(0).uniform(0.05, 0.98, MOMENTS)):
        name = f"killed_{number}"
        age = killed(speed, data, name, share * whole.seconds)
        rest = speed.child(command(speed, data, name), good=(0, 3))
        wrong = differing(expected, bare(speed.report(name)))
        different += [f"{name}: {column}" for column in wrong]
        ages += [] if age is None else [age / epoch]
        told = "no checkpoint yet, or ended" if age is None else f"newest checkpoint {age / epoch:.2f} epochs old"
        say(f"killed after {share * whole.seconds:6.1f} s: {told}; resumed in {rest.seconds:.1f} s; {len(wrong)} columns differ")
    oldest = pairs.spread(ages)
    lines = [
        Line("S5", "", f"columns that differ over {MOMENTS} kills, {rows} rows: {len(different)} {' '.join(different[:5])}", len(different), at_most=0),
        Line("S5", "", f"epochs lost at a kill: {oldest}", oldest.high, at_most=LOST_BAR),
    ]
    settle(lines)


def test_resume_says_that_it_begins_anew_and_after_the_end_does_nothing(speed, settle):
    needs("--resume")
    data = speed.table("blob", speed.sizes(ROWS)[0]).path
    first = speed.child(command(speed, data, "twice"), good=(0, 3))
    stamp, folder = speed.report("twice").stat().st_mtime_ns, speed.report("twice").name + ".checkpoint"
    again = speed.child(command(speed, data, "twice"), good=(0, 3))
    said = any("checkpoint" in line or "anew" in line for line in first.err.splitlines())
    kept = speed.report("twice").stat().st_mtime_ns == stamp
    share = again.seconds / first.seconds
    lines = [
        Line("S5", "", f"without a checkpoint it says that it begins anew: {'yes' if said else first.err[:200]!r}", float(said), at_least=1),
        Line("S5", "", f"after the end the report is left as it is: {'yes' if kept else 'no'}", float(kept), at_least=1),
        Line("S5", "", f"after the end: {again.seconds:.2f} s against {first.seconds:.2f} s; {folder} left behind: {(speed.out / folder).exists()}", share),
    ]
    settle(lines)
