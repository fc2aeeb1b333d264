"""Scans on a GPU, from a fresh process to the report (S7).

Questions: the machine's limits (import and context, bf16 matrix product, copy); seconds of a scan of 50 000 pictures of 32 x 32 x 3 and
how long the GPU is busy in it; seconds of tables of 1 and 10 million rows of 30 columns, and of training on 10 million rows of 20; the
overhead of z-scores, masks and training dynamics. Data: synthetic pictures and tables. Device: the first CUDA device, all cores.
n: `--bench-pairs` fresh processes for the pictures, one profiled scan; one scan per table; at least 7 pairs of epochs. AUROC is printed too.
Run: pytest -m "bench and gpu" tests/bench/test_gpu.py -s [-k limits|pictures|tables|trained|dynamics]. Options and results: README.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from tests.bench import engine, pairs, synthetic
from tests.bench.scoring import Line
from tests.bench.speed import IMPORTS, rank_auroc, run_card

pytestmark = [pytest.mark.bench, pytest.mark.gpu]
PICTURES, PICTURE_SECONDS, PICTURE_BUSY = 50_000, 12.0, 6.0
TABLES, TABLE_COLUMNS = (1_000_000, 10_000_000), 30
TRAINED_ROWS, TRAINED_SECONDS = 10_000_000, 2.0
OVERHEAD_BAR, OVERHEAD_PAIRS = 0.02, 7
GEMM, COPY_BYTES = 8192, 2**30
CONTEXT = f"{IMPORTS}; torch.zeros(1, device='cuda').item()"


@pytest.fixture
def cuda():
    """The CUDA device; skips without one."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


def copy_rate(device):
    """Measure the bytes read and written per second by a copy on the device."""
    source = torch.empty(COPY_BYTES, dtype=torch.uint8, device=device)
    target, best = torch.empty_like(source), 0.0
    for _ in range(5):
        begin = engine.clock(device)
        for _ in range(20):
            target.copy_(source)
        best = max(best, 20 * 2 * COPY_BYTES / (engine.clock(device) - begin))
    return best


def stages(report):
    """Format the seconds by stage from the run card."""
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in run_card(report)["seconds"].items())


def test_the_limits_of_the_machine(cuda, speed, check_lines):
    start = pairs.spread([pairs.child([sys.executable, "-c", CONTEXT]).seconds for _ in range(3)])
    product, copy = engine.peak(torch.bfloat16, cuda, (GEMM, GEMM, GEMM)), copy_rate(cuda)
    lines = [
        Line("S7", "", f"{torch.cuda.get_device_name(cuda)}: imports and context {start} s", start.median),
        Line("S7", "", f"bf16 matrix product of {GEMM}^3: {product / 1e12:.0f} TFLOP/s", product),
        Line("S7", "", f"copy on the device: {copy / 1e12:.2f} TB/s read and written", copy),
    ]
    check_lines(lines)


@pytest.mark.usefixtures("cuda")
def test_pictures_are_scanned_end_to_end(speed, check_lines):
    n = speed.sizes(PICTURES)[0]
    data = synthetic.picture_file(speed.folder, n)
    runs = [speed.child(command(speed, data.path, "pictures"), good=(0, 3), cores=0) for _ in range(speed.n_pairs)]
    seconds = pairs.spread([run.seconds for run in runs])
    auroc = rank_auroc(speed.report("pictures"), data.flipped)
    profiled = pairs.child([sys.executable, str(Path(__file__).parent / "gpu_busy.py"), str(data.path), str(speed.report("busy"))])
    busy = json.loads(profiled.out.splitlines()[-1])
    text = f"{n} pictures of 32 x 32 x 3"
    lines = [
        Line("S7", "", f"{text}: by stage {stages(speed.report('pictures'))}; AUROC {auroc:.4f}", auroc),
        Line("S7", "", f"{text}: slowest kernels {busy['slowest']}", busy["kernels"]),
        Line("S7", "", f"{text}, fresh process to report: {seconds} s", seconds.median, at_most=PICTURE_SECONDS),
        Line("S7", "", f"{text}, GPU busy: {busy['busy_seconds']:.2f} s in {busy['kernels']} kernels", busy["busy_seconds"], at_most=PICTURE_BUSY),
    ]
    check_lines([pairs.at_stated_size(line, n == PICTURES) if line.at_most else line for line in lines])


def command(speed, data, name):
    """Return the command line of a scan on the GPU; pictures need no label column."""
    label = [] if data.suffix == ".npz" else ["--label", "label"]
    return pairs.zcurate("scan", data, *label, "-q", "--force", "--device", "cuda", "-o", speed.report(name))


@pytest.mark.usefixtures("cuda")
def test_tables_are_scanned_end_to_end(speed, check_lines):
    lines = []
    for rows in speed.sizes(*TABLES):
        data = speed.table("blob", rows, "parquet", TABLE_COLUMNS)
        used = speed.child(command(speed, data.path, f"table_{rows}"), good=(0, 3), cores=0)
        report = speed.report(f"table_{rows}")
        text = (
            f"{rows} x {TABLE_COLUMNS}: {used.seconds:.2f} s, {used.megabytes:.0f} MB; by stage {stages(report)}; AUROC {rank_auroc(report, data.flipped):.4f}"
        )
        lines.append(Line("S7", "", text, used.seconds))
    check_lines(lines)


@pytest.mark.usefixtures("cuda")
def test_ten_million_rows_are_trained_on_in_two_seconds(speed, check_lines):
    rows = speed.sizes(TRAINED_ROWS)[0]
    data = speed.table("blob", rows, "parquet")
    speed.child(command(speed, data.path, "trained"), good=(0, 3), cores=0)
    card = run_card(speed.report("trained"))
    text = f"training on {rows} x 20, epochs {card['model']['n_epochs']}, {card.get('dtype', 'dtype not recorded')}: {card['seconds']['training']:.2f} s"
    check_lines([pairs.at_stated_size(Line("S7", "", text, card["seconds"]["training"], at_most=TRAINED_SECONDS), rows == TRAINED_ROWS)])


def test_z_masks_and_dynamics_cost_little_on_pictures(cuda, speed, check_lines):
    n = speed.sizes(PICTURES)[0]
    trained = engine.picture_engine(str(synthetic.picture_file(speed.folder, n).path), cuda)
    engine.training_seconds(trained, 1)
    values = []
    for _ in range(max(OVERHEAD_PAIRS, speed.n_pairs)):
        full = engine.training_seconds(trained, 1)
        try:
            with engine.plain():
                values.append(full / engine.training_seconds(trained, 1) - 1)
        except engine.MissingHook as error:
            pytest.skip(str(error))
    overhead = pairs.spread(values)
    line = Line("S7", "", f"z-scores, masks and dynamics over plain training, {n} pictures: {overhead}", overhead.median, at_most=OVERHEAD_BAR)
    check_lines([pairs.at_stated_size(line, n == PICTURES)])
