"""Training speed against the machine's peak, and the overhead of Z-Error, training dynamics and batch loading (S2).

Questions: model FLOP/s as a share of a matrix product of 1024 x 256 x 256 in the same dtype, process and thread, for fp32 and bf16;
CPU seconds of training with z-scores, masks and training dynamics relative to plain cross-entropy with the same engine; the share of an epoch spent
on drawing and gathering batches. Data: a synthetic table of 20 columns. Device: CPU, one thread, CPU seconds, so that other load matters little.
n: peak measured before and after; `--bench-pairs` alternating pairs, at least 7. Run: pytest -m bench tests/bench/test_engine.py -s.
"""

from __future__ import annotations

import pytest
import torch

from tests.bench import engine, pairs
from tests.bench.scoring import Line

pytestmark = pytest.mark.bench
CPU = torch.device("cpu")
ROWS, MIN_ROWS = 200_000, 100_000
"""Default number of rows, and the minimum for which bars are asserted."""
PEAK_BARS = {torch.float32: 0.60, torch.bfloat16: 0.45}
OVERHEAD_BAR, LOADING_BAR = 0.05, 0.05
MIN_PAIRS, EPOCHS = 7, 2


@pytest.fixture(params=["blob"])
def trained(request, speed):
    """The engine on a synthetic table, one thread, after a warm-up."""
    with engine.one_thread():
        table = engine.table_engine(request.param, speed.sizes(ROWS)[0], CPU)
        engine.training_seconds(engine.table_engine(request.param, 5_000, CPU), 1)
        yield table


def stated(trained):
    return trained.encoded.n_rows >= MIN_ROWS


@pytest.mark.parametrize("dtype", list(PEAK_BARS), ids=str)
def test_training_reaches_a_share_of_the_matrix_products_peak(trained, check_lines, dtype):
    before = engine.peak(dtype, CPU)
    try:
        seconds = engine.training_seconds(trained, EPOCHS, dtype, predict=False)
    except engine.MissingHook as error:
        pytest.skip(str(error))
    peak = (before + engine.peak(dtype, CPU)) / 2
    rate = EPOCHS * engine.epoch_flops(trained.sizes, trained.encoded.n_rows, trained.members) / seconds
    setup = f"{dtype} {trained.encoded.n_rows} rows, layers {trained.sizes}, batch {trained.plan.spec.batch}"
    text = f"{setup}: {rate / 1e9:.1f} of {peak / 1e9:.1f} GFLOP/s = {rate / peak:.3f}"
    fast = dtype is torch.float32 or {"avx512_bf16", "amx_bf16"} & pairs.cpu_info()[1]
    check_lines([pairs.at_stated_size(Line("S2", "", text, rate / peak, at_least=PEAK_BARS[dtype] if fast else None), stated(trained))])


def test_z_masks_and_dynamics_cost_little_over_plain_training(trained, speed, check_lines):
    values = []
    for _ in range(max(MIN_PAIRS, speed.n_pairs)):
        full = engine.training_seconds(trained, EPOCHS)
        try:
            with engine.plain():
                plain = engine.training_seconds(trained, EPOCHS)
        except engine.MissingHook as error:
            pytest.skip(str(error))
        values.append(full / plain - 1)
    overhead = pairs.spread(values)
    line = Line("S2", "", f"z-scores, masks and dynamics over plain training, {trained.encoded.n_rows} rows: {overhead}", overhead.median, at_most=OVERHEAD_BAR)
    check_lines([pairs.at_stated_size(line, stated(trained))])


def test_batch_loading_is_a_small_share_of_an_epoch(trained, check_lines):
    encoded, n = trained.encoded, 5
    epochs = [engine.training_seconds(trained, 1) for _ in range(n)]
    rows = [engine.feeding_seconds(trained, lambda ids: (encoded.x[ids], encoded.y[ids])) for _ in range(n)]
    inputs = [engine.feeding_seconds(trained, lambda ids: (encoded.inputs(ids), encoded.y[ids])) for _ in range(n)]
    share, unencoded = (pairs.spread([part / whole for part, whole in zip(parts, epochs, strict=True)]) for parts in (inputs, rows))
    text = f"{encoded.n_rows} rows, of an epoch of {min(epochs):.3f} s"
    line = Line("S2", "", f"batch loading with the encoding of numbers, {text}: {share}", share.median, at_most=LOADING_BAR)
    check_lines(
        [Line("S2", "", f"batch loading, sample order and rows only, {text}: {unencoded}", unencoded.median), pairs.at_stated_size(line, stated(trained))]
    )
