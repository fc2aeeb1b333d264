"""How near training comes to the machine's best, and what Z-Error, the ledger and feeding add (S2).

Questions: model FLOP/s as a share of a matrix product of 1024 x 256 x 256 in the same dtype, process and thread, for fp32 and bf16;
CPU seconds of training with z, mask and ledger over those of plain cross-entropy with the same engine; the share of an epoch that goes
into ordering and gathering batches. Data: a made table of 20 columns. Device: CPU, one thread, CPU seconds, so that load counts little.
n: probes before and after; `--bench-pairs` pairs in turn, 7 at least. Run: pytest -m bench tests/bench/test_engine.py -s.
"""

from __future__ import annotations

import pytest
import torch

from tests.bench import engine, pairs
from tests.bench.scoring import Line

pytestmark = pytest.mark.bench
CPU = torch.device("cpu")
ROWS, FEWEST_ROWS = 200_000, 100_000
"""Rows by default, and the fewest that the bars are asserted at."""
PEAK_BARS = {torch.float32: 0.60, torch.bfloat16: 0.45}
OVERHEAD_BAR, FEEDING_BAR = 0.05, 0.05
FEWEST_PAIRS, EPOCHS = 7, 2


@pytest.fixture(params=["blob"])
def trained(request, speed):
    """The engine on one made table, one thread, warm."""
    with engine.one_thread():
        made = engine.table_engine(request.param, speed.sizes(ROWS)[0], CPU)
        engine.training_seconds(engine.table_engine(request.param, 5_000, CPU), 1)
        yield made


def stated(trained):
    return trained.encoded.n_rows >= FEWEST_ROWS


@pytest.mark.parametrize("dtype", list(PEAK_BARS), ids=str)
def test_training_reaches_a_share_of_the_matrix_products_peak(trained, settle, dtype):
    before = engine.peak(dtype, CPU)
    try:
        seconds = engine.training_seconds(trained, EPOCHS, dtype, asked=False)
    except engine.Missing as gone:
        pytest.skip(str(gone))
    peak = (before + engine.peak(dtype, CPU)) / 2
    rate = EPOCHS * engine.epoch_flops(trained.sizes, trained.encoded.n_rows, trained.members) / seconds
    what = f"{dtype} {trained.encoded.n_rows} rows, layers {trained.sizes}, batch {trained.plan.spec.batch}"
    text = f"{what}: {rate / 1e9:.1f} of {peak / 1e9:.1f} GFLOP/s = {rate / peak:.3f}"
    fast = dtype is torch.float32 or {"avx512_bf16", "amx_bf16"} & pairs.cpu_facts()[1]
    settle([pairs.at_stated_size(Line("S2", "", text, rate / peak, at_least=PEAK_BARS[dtype] if fast else None), stated(trained))])


def test_z_mask_and_ledger_cost_little_over_plain_training(trained, speed, settle):
    values = []
    for _ in range(max(FEWEST_PAIRS, speed.n_pairs)):
        full = engine.training_seconds(trained, EPOCHS)
        try:
            with engine.plain():
                bare = engine.training_seconds(trained, EPOCHS)
        except engine.Missing as gone:
            pytest.skip(str(gone))
        values.append(full / bare - 1)
    over = pairs.spread(values)
    line = Line("S2", "", f"z, mask and ledger over plain training, {trained.encoded.n_rows} rows: {over}", over.median, at_most=OVERHEAD_BAR)
    settle([pairs.at_stated_size(line, stated(trained))])


def test_feeding_is_a_small_share_of_an_epoch(trained, settle):
    encoded, n = trained.encoded, 5
    epochs = [engine.training_seconds(trained, 1) for _ in range(n)]
    rows = [engine.feeding_seconds(trained, lambda ids: (encoded.x[ids], encoded.y[ids])) for _ in range(n)]
    inputs = [engine.feeding_seconds(trained, lambda ids: (encoded.inputs(ids), encoded.y[ids])) for _ in range(n)]
    share, bare = (pairs.spread([part / whole for part, whole in zip(parts, epochs, strict=True)]) for parts in (inputs, rows))
    text = f"{encoded.n_rows} rows, of an epoch of {min(epochs):.3f} s"
    line = Line("S2", "", f"feeding with the numbers' encoding, {text}: {share}", share.median, at_most=FEEDING_BAR)
    settle([Line("S2", "", f"feeding, order and rows only, {text}: {bare}", bare.median), pairs.at_stated_size(line, stated(trained))])
