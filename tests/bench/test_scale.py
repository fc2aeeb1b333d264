"""Memory and time as the data grow, and what a user waits for before any of it (S3, S4).

Questions: largest resident memory of a scan against what imports take, the features and 500 bytes a row; whether `--memory` stays flat
as rows grow and what it costs; whether time is linear in the rows; how long `--help`, `report` and a usage error take beside
`python -c "import torch"`; what two busy loops beside a scan do to it; bytes a row of the report's contract. Data: made tables of 20
columns. Device: CPU, `--bench-cores` of it. n: one run per size; 10 alternating starts, smallest of each; `--bench-pairs` pairs in turn.
Run: pytest -m bench tests/bench/test_scale.py -s [-k memory|linear|start|busy|bytes]. Options and kept numbers: README.md.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.bench import made, pairs
from tests.bench.scoring import Line
from tests.bench.speed import IMPORTS, card_of, needs, seconds_lines

pytestmark = pytest.mark.bench
FEATURES, BYTES_PER_ROW = 3, 500
"""Times the float32 features, and bytes a row, that a scan may hold above what imports take."""
FLAT = 1.1
"""Streamed, three times the rows may take this much more memory (by taste: what rows cost is on disk, bookkeeping is not nothing)."""
FLAT_MEMORY, TIME_MEMORY = "1GB", "700MB"
"""`--memory` of the two: 10 million rows of 20 floats alone are 800 MB, and imports, a million rows and their ledger are more than 700 MB."""
STREAMING_TIME = 1.15
GROWTH, EXPONENT = 11.0, 1.05
"""Time of ten times the rows, and the slope of log time over log rows (by taste: 11 times in each step of ten is 1.04)."""
STARTS, HELP_BAR, REPORT_BAR, REFUSAL_BAR = 10, 0.15, 0.35, 0.25
BUSY_BAR = 0.9
REPORT_BYTES = 70
CONTRACT = (
    "row", "id", "path", "given", "suggested", "p_suggested", "verdict", "p_incorrect", "p_hard", "p_outlier", "rank", "reasons", "z_score", "z_max",
    "z_last", "mask_frequency", "n_seen", "n_masked", "loss_mean", "confidence_mean", "confidence_std", "margin_mean", "learned_epoch", "n_forgotten",
    "predicted", "p_given", "margin_heldout", "entropy_heldout", "residual", "residual_z", "interval_low", "interval_high",
)  # fmt: skip
"""Columns that the report's schema promises; more may be added and are not counted."""


def imports(speed, cores=None):
    """A process that imports what every scan does, and ends."""
    return speed.child([sys.executable, "-c", IMPORTS], cores=speed.cores if cores is None else cores)


def test_memory_of_a_scan_is_imports_and_features_and_little_a_row(speed, settle):
    floor, lines = imports(speed), []
    for rows in speed.sizes(1_000_000):
        seen = speed.scan(speed.table("blob", rows).path, f"memory_{rows}")
        allowed = floor.megabytes + (FEATURES * 4 * made.COLUMNS + BYTES_PER_ROW) * rows / 2**20
        a_row = (seen.megabytes - floor.megabytes) * 2**20 / rows
        text = f"{rows} x 20: {seen.megabytes:.0f} MB, imports {floor.megabytes:.0f} MB, {a_row:.0f} bytes a row above them, allowed {allowed:.0f} MB"
        lines.append(pairs.at_stated_size(Line("S3", "", text, seen.megabytes, at_most=allowed), rows >= 1_000_000))
    settle(lines)


def test_many_classes_take_little_more_than_two(speed, settle):
    rows = speed.sizes(200_000)[0]
    two, many = (speed.scan(speed.table(family, rows).path, f"classes_{family}") for family in ("blob", "many"))
    bytes_more = (many.megabytes - two.megabytes) * 2**20 / rows
    text = f"{rows} x 20, {made.MANY} classes: {many.megabytes:.0f} MB, {many.seconds:.1f} s; two classes: {two.megabytes:.0f} MB, {two.seconds:.1f} s"
    settle([Line("S3", "", f"{text}: {bytes_more:.0f} bytes a row more, whole probabilities alone would be {4 * made.MANY}", bytes_more)])


def test_streamed_memory_stays_flat_as_rows_grow(request, speed, settle):
    needs("--memory")
    sizes, lines, peaks = speed.sizes(10_000_000, 30_000_000), [], []
    for rows in sizes:
        seen = speed.scan(speed.table("blob", rows, "parts").path, f"streamed_{rows}", "--memory", FLAT_MEMORY)
        peaks.append(seen.megabytes)
        lines.append(
            Line("S3", "", f"--memory {FLAT_MEMORY}, {rows} x 20: {seen.megabytes:.0f} MB, {seen.seconds:.1f} s wall, {seen.cpu_seconds:.1f} s CPU", peaks[-1])
        )
    grown = peaks[-1] / peaks[0]
    last = Line("S3", "", f"streamed, memory of {sizes[-1]} over that of {sizes[0]} rows: {grown:.3f}", grown, at_most=FLAT)
    settle([*lines, pairs.at_stated_size(last, sizes[0] >= 10_000_000)])


def test_streaming_costs_little_time(speed, settle):
    needs("--memory")
    rows = speed.sizes(1_000_000)[0]
    data = speed.table("blob", rows, "parts").path
    measured = pairs.in_turn(lambda: speed.scan(data, "less", "--memory", TIME_MEMORY), lambda: speed.scan(data, "whole"), speed.n_pairs)
    settle(seconds_lines("S3", f"streamed against in memory, {rows} x 20", measured, STREAMING_TIME, rows >= 1_000_000))


def test_time_is_linear_in_the_rows(speed, settle):
    sizes, lines, spent = speed.sizes(10_000, 100_000, 1_000_000, 10_000_000), [], []
    # One core and CPU seconds: what the machine's other work does to the wall clock grows with the length of a run.
    floor = min(imports(speed, 1).cpu_seconds for _ in range(3))
    for rows in sizes:
        seen = speed.scan(speed.table("blob", rows).path, f"linear_{rows}", "--epochs", 3, cores=1)
        spent.append(max(seen.cpu_seconds - floor, 1e-3))
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in card_of(speed.report(f"linear_{rows}"))["seconds"].items())
        lines.append(Line("S4", "", f"{rows} x 20, 3 epochs: {spent[-1]:.2f} s CPU above the imports' {floor:.2f}; wall by stage: {stages}", spent[-1]))
    stated = min(sizes) >= 10_000 and len(sizes) > 1
    for small, large, first, second in zip(sizes, sizes[1:], spent, spent[1:], strict=False):
        # To a step of ten, whatever the step: the bar is for t(10 N) / t(N).
        growth = (second / first) ** (1 / np.log10(large / small))
        line = Line("S4", "", f"t({large}) / t({small}) = {second / first:.2f}, per ten times the rows {growth:.2f}", growth, at_most=GROWTH)
        lines.append(pairs.at_stated_size(line, stated))
    if len(sizes) > 1:
        slope = float(np.polyfit(np.log(sizes), np.log(spent), 1)[0])
        lines.append(pairs.at_stated_size(Line("S4", "", f"exponent over {len(sizes)} sizes: {slope:.3f}", slope, at_most=EXPONENT), stated))
    settle(lines)


def test_starting_costs_a_part_of_importing_torch(speed, settle):
    rows = speed.sizes(100_000)[0]
    data = speed.table("blob", rows).path
    speed.scan(data, "start")
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "--help": pairs.zcurate("--help"),
        "report": pairs.zcurate("report", speed.report("start")),
        "missing file": pairs.zcurate("scan", speed.out / "nowhere.csv"),
        "unknown column": pairs.zcurate("scan", data, "--label", "lable"),
    }
    times, aborted = {name: [] for name in commands}, []
    for _ in range(STARTS):
        for name, command in commands.items():
            # An abort at the end of the process is counted, so that one in ten does not hide the times of the others.
            seen = speed.child(command, good=(2 if name in ("missing file", "unknown column") else 0, -signal.SIGABRT))
            times[name].append(seen.seconds)
            aborted += [name] if seen.code < 0 else []
    bars = {"--help": HELP_BAR, "report": REPORT_BAR, "missing file": REFUSAL_BAR, "unknown column": REFUSAL_BAR}
    torch = min(times["import torch"])
    lines = [Line("S4", "", f"import torch: {torch:.3f} s, smallest of {STARTS} alternating starts", torch)]
    for name, bar in bars.items():
        share = min(times[name]) / torch
        text = f"{name}: {min(times[name]):.3f} s (median {pairs.spread(times[name]).median:.3f}) = {share:.3f} of import torch"
        line = Line("S4", "", f"{text}, {rows} rows" if name == "report" else text, share, at_most=bar)
        lines.append(pairs.at_stated_size(line, name != "report" or rows == 100_000))
    settle([*lines, Line("S4", "", f"starts that ended in an abort: {len(aborted)} {' '.join(aborted)}", len(aborted), at_most=0)])


def test_busy_loops_beside_it_slow_it_no_more_than_one_thread(speed, settle):
    rows = speed.sizes(100_000)[0]
    data, alone = speed.table("blob", rows).path, {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    rates = []
    with ExitStack() as stack:
        for _ in range(2):
            spinner = stack.enter_context(subprocess.Popen([sys.executable, "-I", "-c", "while True: pass"]))
            stack.callback(spinner.kill)
        for _ in range(speed.n_pairs):
            free, one = (speed.scan(data, name, env=env) for name, env in (("free", None), ("one", alone)))
            training = [card_of(speed.report(name))["seconds"]["training"] for name in ("free", "one")]
            rates.append((training[1] / training[0], one.seconds / free.seconds))
    trained, whole = (pairs.spread([rate[part] for rate in rates]) for part in (0, 1))
    text = f"beside two busy loops, {rows} x 20: speed over that of one thread"
    line = Line("S4", "", f"{text}, training: {trained}", trained.median, at_least=BUSY_BAR)
    settle([Line("S4", "", f"{text}, whole scan: {whole}", whole.median), pairs.at_stated_size(line, rows >= 100_000)])


def test_the_report_takes_few_bytes_a_row(speed, settle):
    rows = speed.sizes(100_000)[0]
    speed.scan(speed.table("blob", rows).path, "bytes")
    by_column = column_bytes(speed.report("bytes"))
    mine = sum(size for name, size in by_column.items() if name in CONTRACT) / rows
    largest = ", ".join(f"{name} {size / rows:.1f}" for name, size in sorted(by_column.items(), key=lambda item: -item[1])[:8])
    every = speed.report("bytes").stat().st_size / rows
    text = f"report of {rows} rows: {mine:.1f} bytes a row in the contract's columns, {every:.1f} in all"
    line = Line("S4", "", text, mine, at_most=REPORT_BYTES)
    settle([Line("S4", "", f"largest columns, bytes a row: {largest}", every), pairs.at_stated_size(line, rows >= 100_000)])


def column_bytes(report):
    """Bytes of each column in a Parquet file, as compressed there."""
    metadata, sizes = pq.read_metadata(report), {}
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            column = metadata.row_group(group).column(at)
            name = column.path_in_schema.split(".")[0]
            sizes[name] = sizes.get(name, 0) + column.total_compressed_size
    return sizes
