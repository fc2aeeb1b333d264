"""Several processes: one step from equal weights gives the z and masks of one process, and distributed members give the same report."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.small_runs import train
from zcurate.config.model_config import ModelConfig, ZErrorConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.runtime import environment, process_group
from zcurate.training import sampler
from zcurate.training.losses import statistics
from zcurate.training.losses.statistics import Statistics

N = 5000


def table(n=N):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    y[rng.random(n) < 0.1] ^= 1
    return x, y


def one_step(processes):
    """The evidence of one epoch of one batch."""
    x, y = table()
    encoded = EncodedRows(torch.from_numpy(y), np.arange(N), np.arange(N), 2, dense=torch.from_numpy(x))
    spec = ModelConfig(name="mlp", hidden=(16,), batch=2 * N, folds=2, rounds=1, z=ZErrorConfig(warmup=0.0, z_start=1.0, z_threshold=1.0))
    evidence, _ = train(encoded, spec, 1, **({} if processes is None else {"processes": processes}))
    return evidence


def run_processes(n_processes, *arguments):
    """Run `python arguments...` in n processes, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": str(n_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, *arguments], env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank in range(n_processes)
    ]
    done = [(*one.communicate(timeout=120), one.returncode) for one in running]
    assert [code for *_, code in done] == [0] * n_processes, done
    return done


@pytest.mark.slow
def test_rows_of_two_processes_make_one_batch(tmp_path):
    code = (
        "import sys, torch; torch.set_num_threads(1); from tests.runtime.test_process_group import one_step; from zcurate.runtime.process_group import DistributedGroup; import numpy as np;"
        "group = DistributedGroup(torch.device('cpu'), 1); assert (group.n_member_groups, group.size) == (1, 2); e = one_step(group);"
        "np.savez(f'{sys.argv[1]}/{group.rank}.npz', **{k: e.columns[k] for k in ('z_score', 'n_masked', 'n_seen', 'margin_mean')}, heldout=e.heldout); group.leave()"
    )
    run_processes(2, "-c", code, str(tmp_path))
    single = one_step(None)
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in (0, 1))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
    assert 0 < first["n_masked"].mean() < 0.5
    np.testing.assert_array_equal(first["n_masked"], single.columns["n_masked"])
    np.testing.assert_array_equal(first["n_seen"], single.columns["n_seen"])
    for name in ("z_score", "margin_mean"):
        np.testing.assert_allclose(first[name], single.columns[name], atol=1e-6)
    np.testing.assert_allclose(first["heldout"], single.heldout, atol=1e-4)


def test_pooled_statistics_are_those_of_all_rows():
    generator = torch.Generator().manual_seed(0)
    error = torch.randn(2, 30, generator=generator)
    weight = torch.ones(2, 30)
    parts = [statistics.group_mean_and_std(error[:, at], None, weight[:, at], 1) for at in (slice(0, 4), slice(4, 30))]
    pooled = statistics.pool(*(torch.stack(same) for same in zip(*parts, strict=True)))
    for found, expected in zip(pooled, statistics.group_mean_and_std(error, None, weight, 1), strict=True):
        torch.testing.assert_close(found, expected)
    assert isinstance(pooled, Statistics)


@pytest.mark.parametrize(("n_processes", "n_members", "member_groups"), [(2, 2, 2), (4, 2, 2), (3, 2, 1), (8, 4, 4), (2, 4, 2)])
def test_members_are_distributed_before_rows(n_processes, n_members, member_groups):
    assert process_group.n_member_groups(n_processes, n_members) == member_groups


def test_shards_are_contiguous_and_cover_all_rows():
    class Third(process_group.SingleProcess):
        rank, size = 2, 3

    shards = sampler.virtual_shards(N)
    assert [shard.start for shard in shards[1:]] == [shard.stop for shard in shards[:-1]]
    assert (shards[0].start, shards[-1].stop) == (0, N)
    assert list(Third().own_shards(8)) == [5, 6, 7]
    assert sampler.virtual_shards(100) == [slice(0, 100)]


@pytest.mark.slow
@pytest.mark.parametrize(("n_processes", "batch", "least"), [(2, 1024, 0.99), (4, 1024, 0.9), (2, 256, 1.0)])
def test_the_report_is_that_of_one_process_and_one_process_writes_it(tmp_path, n_processes, batch, least):
    """Two processes with a member each, four with half the rows of a member each, and batches too small to be distributed."""
    x, y = table(6000)
    path, model = str(tmp_path / "t.parquet"), str(tmp_path / "m.toml")
    pq.write_table(pa.table({**{f"x{at}": x[:, at] for at in range(3)}, "label": np.array(["no", "yes"])[y]}), path)
    with open(model, "w") as file:
        file.write(f"batch = {batch}\nfolds = 2\nrounds = 1\n")
    arguments = ["-m", "zcurate", "scan", path, "--label", "label", "--epochs", "4", "--model", model]
    out = [str(tmp_path / f"{name}.zcurate.parquet") for name in ("one", "many")]
    subprocess.run([sys.executable, *arguments, "-o", out[0], "-q"], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    done = run_processes(n_processes, *arguments, "-o", out[1])
    assert [bool(err) for _, err, _ in done] == [True] + [False] * (n_processes - 1)
    assert not any(out for out, *_ in done[1:])
    one, many = (pq.read_table(name) for name in out)
    assert many.num_rows == one.num_rows == 6000
    agree = np.mean(np.array(one["verdict"].to_pylist()) == np.array(many["verdict"].to_pylist()))
    assert agree >= least


@pytest.mark.parametrize(("rank", "is_last", "leaves", "threads"), [(0, True, False, 6), (1, True, True, 2), (0, False, False, 2), (1, False, False, 2)])
def test_rank_0_takes_over_all_cores_where_no_other_work_follows(monkeypatch, rank, is_last, leaves, threads):
    for name, value in {"RANK": rank, "WORLD_SIZE": 6, "LOCAL_WORLD_SIZE": 3, "OMP_NUM_THREADS": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    with pytest.raises(process_group.WorkerDone) if leaves else nullcontext():
        process_group.leave_if_worker(is_last)
    assert environment.cpu_count() == threads


@pytest.mark.slow
def test_a_trial_of_several_processes_scans_twice_in_each_and_prints_once(tmp_path):
    x, y = table(400)
    path = str(tmp_path / "t.parquet")
    pq.write_table(pa.table({**{f"x{at}": x[:, at] for at in range(3)}, "label": np.array(["no", "yes"])[y]}), path)
    first, second = run_processes(2, "-m", "zcurate", "trial", path, "--label", "label", "--epochs", "2", "--json")
    assert len(json.loads(first[0])["rows"]) > 10
    assert second[:2] == ("", "")


@pytest.mark.slow
def test_settings_that_several_processes_do_not_support_are_refused(tmp_path):
    small = str(tmp_path / "s.csv")
    with open(small, "w") as file:
        file.write("x,label\n" + "".join(f"{k % 7},{'ab'[k % 2]}\n" for k in range(60)))
    code = "from zcurate.data import inputs; from zcurate.pipeline import checks, plan; from zcurate.config.options import ScanOptions; o = ScanOptions(label='label'); d = inputs.read_input(__import__('sys').argv[1], o); checks.check_process_group(2000, o, plan.make_plan(o, d))"
    done = subprocess.run([sys.executable, "-c", code, small], capture_output=True, text=True, check=False)
    assert "2000 processes" in done.stderr
