"""Memory and time by data size, and start-up time (S3, S4).

Questions: peak memory of a scan relative to the imports, the features and 500 bytes per row; whether memory with `--memory` stays constant
as rows grow, and its cost in time; whether time is linear in the rows; how long `--help`, `report` and a usage error take relative to
`python -c "import torch"`; how two busy loops slow down a scan; bytes per row of the report's schema columns. Data: synthetic tables of 20
columns. Device: CPU, `--bench-cores` cores. n: one run per size; 10 alternating starts, minimum of each; `--bench-pairs` alternating pairs.
Run: pytest -m bench tests/bench/test_scale.py -s [-k memory|linear|start|busy|bytes]. Options and results: README.md.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.bench import pairs, synthetic
from tests.bench.scoring import Line
from tests.bench.speed import IMPORTS, needs, run_card, seconds_lines

pytestmark = pytest.mark.bench
FEATURES, BYTES_PER_ROW = 3, 500
"""Memory allowed above the imports: this many times the float32 features, plus bytes per row."""
GROWTH_OUT_OF_CORE = 1.1
"""Allowed growth of memory for three times the rows with `--memory` (by taste: rows are on disk, some bookkeeping is not)."""
GROWTH_LIMIT, TIME_LIMIT = "1GB", "700MB"
"""Values of `--memory`: 10 million rows of 20 floats alone are 800 MB; imports, a million rows and their training dynamics exceed 700 MB."""
OUT_OF_CORE_TIME = 1.15
GROWTH, EXPONENT = 11.0, 1.05
"""Allowed growth in time for ten times the rows, and slope of log time over log rows (by taste: a growth of 11 is a slope of 1.04)."""
STARTS, HELP_BAR, REPORT_BAR, REFUSAL_BAR = 10, 0.15, 0.35, 0.25
BUSY_BAR = 0.9
REPORT_BYTES = 70
SCHEMA_COLUMNS = (
    "row", "id", "path", "given", "suggested", "p_suggested", "verdict", "p_incorrect", "p_hard", "p_outlier", "rank", "reasons", "z_score", "z_max",
    "z_last", "mask_frequency", "n_seen", "n_masked", "loss_mean", "confidence_mean", "confidence_std", "margin_mean", "learned_epoch", "n_forgotten",
    "predicted", "p_given", "margin_heldout", "entropy_heldout", "residual", "residual_z", "interval_low", "interval_high",
)  # fmt: skip
"""Columns that every report has; further columns are not counted."""


def imports(speed, cores=None):
    """Run a process that only imports what every scan imports."""
    return speed.child([sys.executable, "-c", IMPORTS], cores=speed.cores if cores is None else cores)


def test_memory_of_a_scan_is_imports_and_features_and_little_per_row(speed, check_lines):
    floor, lines = imports(speed), []
    for rows in speed.sizes(1_000_000):
        used = speed.scan(speed.table("blob", rows).path, f"memory_{rows}")
        allowed = floor.megabytes + (FEATURES * 4 * synthetic.COLUMNS + BYTES_PER_ROW) * rows / 2**20
        per_row = (used.megabytes - floor.megabytes) * 2**20 / rows
        text = f"{rows} x 20: {used.megabytes:.0f} MB, imports {floor.megabytes:.0f} MB, {per_row:.0f} bytes per row above them, allowed {allowed:.0f} MB"
        lines.append(pairs.at_stated_size(Line("S3", "", text, used.megabytes, at_most=allowed), rows >= 1_000_000))
    check_lines(lines)


def test_many_classes_take_little_more_memory_than_two(speed, check_lines):
    rows = speed.sizes(200_000)[0]
    two, many = (speed.scan(speed.table(family, rows).path, f"classes_{family}") for family in ("blob", "many"))
    bytes_more = (many.megabytes - two.megabytes) * 2**20 / rows
    text = f"{rows} x 20, {synthetic.MANY} classes: {many.megabytes:.0f} MB, {many.seconds:.1f} s; two classes: {two.megabytes:.0f} MB, {two.seconds:.1f} s"
    check_lines([Line("S3", "", f"{text}: {bytes_more:.0f} bytes per row more, all probabilities alone would take {4 * synthetic.MANY}", bytes_more)])


def test_out_of_core_memory_stays_constant_as_rows_grow(speed, check_lines):
    needs("--memory")
    sizes, lines, peaks = speed.sizes(10_000_000, 30_000_000), [], []
    for rows in sizes:
        used = speed.scan(speed.table("blob", rows, "parts").path, f"out_of_core_{rows}", "--memory", GROWTH_LIMIT)
        peaks.append(used.megabytes)
        text = f"--memory {GROWTH_LIMIT}, {rows} x 20: {used.megabytes:.0f} MB, {used.seconds:.1f} s wall, {used.cpu_seconds:.1f} s CPU"
        lines.append(Line("S3", "", text, peaks[-1]))
    growth = peaks[-1] / peaks[0]
    last = Line("S3", "", f"out of core, memory of {sizes[-1]} over that of {sizes[0]} rows: {growth:.3f}", growth, at_most=GROWTH_OUT_OF_CORE)
    check_lines([*lines, pairs.at_stated_size(last, sizes[0] >= 10_000_000)])


def test_out_of_core_costs_little_time(speed, check_lines):
    needs("--memory")
    rows = speed.sizes(1_000_000)[0]
    data = speed.table("blob", rows, "parts").path
    measured = pairs.alternate(lambda: speed.scan(data, "limited", "--memory", TIME_LIMIT), lambda: speed.scan(data, "in_memory"), speed.n_pairs)
    check_lines(seconds_lines("S3", f"out of core against in memory, {rows} x 20", measured, OUT_OF_CORE_TIME, rows >= 1_000_000))


def test_time_is_linear_in_the_rows(speed, check_lines):
    sizes, lines, spent = speed.sizes(10_000, 100_000, 1_000_000, 10_000_000), [], []
    # One core and CPU seconds: the effect of other load on the wall clock grows with the length of a run.
    floor = min(imports(speed, 1).cpu_seconds for _ in range(3))
    for rows in sizes:
        used = speed.scan(speed.table("blob", rows).path, f"linear_{rows}", "--epochs", 3, cores=1)
        spent.append(max(used.cpu_seconds - floor, 1e-3))
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run_card(speed.report(f"linear_{rows}"))["seconds"].items())
        lines.append(Line("S4", "", f"{rows} x 20, 3 epochs: {spent[-1]:.2f} s CPU above the imports ({floor:.2f}); wall by stage: {stages}", spent[-1]))
    stated = min(sizes) >= 10_000 and len(sizes) > 1
    for small, large, first, second in zip(sizes, sizes[1:], spent, spent[1:], strict=False):
        # Converted to a factor of ten in rows: the bar is for t(10 N) / t(N).
        growth = (second / first) ** (1 / np.log10(large / small))
        line = Line("S4", "", f"t({large}) / t({small}) = {second / first:.2f}, per ten times the rows {growth:.2f}", growth, at_most=GROWTH)
        lines.append(pairs.at_stated_size(line, stated))
    if len(sizes) > 1:
        slope = float(np.polyfit(np.log(sizes), np.log(spent), 1)[0])
        lines.append(pairs.at_stated_size(Line("S4", "", f"exponent over {len(sizes)} sizes: {slope:.3f}", slope, at_most=EXPONENT), stated))
    check_lines(lines)


def test_starting_takes_a_fraction_of_importing_torch(speed, check_lines):
    rows = speed.sizes(100_000)[0]
    data = speed.table("blob", rows).path
    speed.scan(data, "start")
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "--help": pairs.zcurate("--help"),
        "report": pairs.zcurate("report", speed.report("start")),
        "missing file": pairs.zcurate("scan", speed.out / "missing.csv"),
        "unknown column": pairs.zcurate("scan", data, "--label", "lable"),
    }
    times, aborted = {name: [] for name in commands}, []
    for _ in range(STARTS):
        for name, command in commands.items():
            # An abort at exit is counted instead of failing, so that one in ten does not hide the times of the others.
            used = speed.child(command, good=(2 if name in ("missing file", "unknown column") else 0, -signal.SIGABRT))
            times[name].append(used.seconds)
            aborted += [name] if used.code < 0 else []
    bars = {"--help": HELP_BAR, "report": REPORT_BAR, "missing file": REFUSAL_BAR, "unknown column": REFUSAL_BAR}
    torch_seconds = min(times["import torch"])
    lines = [Line("S4", "", f"import torch: {torch_seconds:.3f} s, minimum of {STARTS} alternating starts", torch_seconds)]
    for name, bar in bars.items():
        share = min(times[name]) / torch_seconds
        text = f"{name}: {min(times[name]):.3f} s (median {pairs.spread(times[name]).median:.3f}) = {share:.3f} of import torch"
        line = Line("S4", "", f"{text}, {rows} rows" if name == "report" else text, share, at_most=bar)
        lines.append(pairs.at_stated_size(line, name != "report" or rows == 100_000))
    check_lines([*lines, Line("S4", "", f"starts that ended in an abort: {len(aborted)} {' '.join(aborted)}", len(aborted), at_most=0)])


def test_busy_loops_slow_a_scan_no_more_than_one_with_one_thread(speed, check_lines):
    rows = speed.sizes(100_000)[0]
    data, one_thread = speed.table("blob", rows).path, {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    rates = []
    with ExitStack() as stack:
        for _ in range(2):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-I", "-c", "while True: pass"]))
            stack.callback(loop.kill)
        for _ in range(speed.n_pairs):
            free, one = (speed.scan(data, name, env=env) for name, env in (("free", None), ("one", one_thread)))
            training = [run_card(speed.report(name))["seconds"]["training"] for name in ("free", "one")]
            rates.append((training[1] / training[0], one.seconds / free.seconds))
    training_rate, scan_rate = (pairs.spread([rate[part] for rate in rates]) for part in (0, 1))
    text = f"with two busy loops running, {rows} x 20: speed relative to one thread"
    line = Line("S4", "", f"{text}, training: {training_rate}", training_rate.median, at_least=BUSY_BAR)
    check_lines([Line("S4", "", f"{text}, whole scan: {scan_rate}", scan_rate.median), pairs.at_stated_size(line, rows >= 100_000)])


def test_the_report_takes_few_bytes_per_row(speed, check_lines):
    rows = speed.sizes(100_000)[0]
    speed.scan(speed.table("blob", rows).path, "bytes")
    by_column = column_bytes(speed.report("bytes"))
    per_row = sum(size for name, size in by_column.items() if name in SCHEMA_COLUMNS) / rows
    largest = ", ".join(f"{name} {size / rows:.1f}" for name, size in sorted(by_column.items(), key=lambda item: -item[1])[:8])
    total = speed.report("bytes").stat().st_size / rows
    text = f"report of {rows} rows: {per_row:.1f} bytes per row in the schema columns, {total:.1f} in total"
    line = Line("S4", "", text, per_row, at_most=REPORT_BYTES)
    check_lines([Line("S4", "", f"largest columns, bytes per row: {largest}", total), pairs.at_stated_size(line, rows >= 100_000)])


def column_bytes(report):
    """Sum the compressed bytes of each column in a Parquet file."""
    metadata, sizes = pq.read_metadata(report), {}
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            name = column.path_in_schema.split(".")[0]
            sizes[name] = sizes.get(name, 0) + column.total_compressed_size
    return sizes
