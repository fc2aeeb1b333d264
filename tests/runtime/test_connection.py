"""Processes of `torchrun`: they agree on their data, one that fails alone says why, and none waits for one that is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.conftest import ROOT
from tests.pipeline.test_kills import processes_in
from zcurate.errors import ProcessError
from zcurate.runtime import connection

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
LIMIT = 30
"""Seconds within which all processes have ended."""


def write(path, n_rows, seed=0):
    x = np.random.default_rng(seed).normal(size=(n_rows, 6)).astype(np.float32)
    label = np.array(["no", "yes"])[(x[:, 0] + x[:, 1] > 0).astype(int)]
    pq.write_table(pa.table({**{f"x{k}": x[:, k] for k in range(6)}, "label": label}), path, row_group_size=1000)


def torchrun(folder, *words):
    """Start two processes that scan `0.parquet` and `1.parquet`, each its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = folder / "scan.sh"
    script.write_text(f'#!/bin/bash\nexec {sys.executable} -m zcurate scan $RANK.parquet --label label -q -o r.zcurate.parquet "$@"\n')
    script.chmod(0o755)
    (folder / "tmp").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "tmp")}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port, "--no-python", str(script), *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def messages(err):
    """The lines of the scans, without those of torchrun itself."""
    return [line for line in err.splitlines() if line.startswith(("error: ", "rank 1: ", "interrupted"))]


def end(process, folder):
    """Exit code and messages; nothing is left."""
    _, err = process.communicate(timeout=LIMIT)
    assert processes_in(folder) == []
    assert not list((folder / "tmp").glob("zcurate-*"))
    assert not list(folder.glob(".zcurate-*"))
    return process.returncode, messages(err)


@linux
@pytest.mark.slow
@pytest.mark.parametrize(("rows", "seeds", "name"), [((6000, 5500), (0, 0), "rows 5500"), ((6000, 300), (0, 0), "rows 300"), ((6000, 6000), (0, 1), "bytes")])
def test_processes_that_read_other_data_end_at_once_and_say_what_differs(tmp_path, rows, seeds, name):
    for rank in (0, 1):
        write(tmp_path / f"{rank}.parquet", rows[rank], seeds[rank])
    code, lines = end(torchrun(tmp_path), tmp_path)
    assert code != 0
    assert lines[0].startswith(f"error: torchrun: rank 1 has {name}")
    assert not (tmp_path / "r.zcurate.parquet").exists()


@linux
@pytest.mark.slow
def test_an_error_that_one_process_meets_alone_is_shown_with_its_rank(tmp_path):
    write(tmp_path / "0.parquet", 6000)
    code, lines = end(torchrun(tmp_path), tmp_path)
    assert code != 0
    assert lines[0].startswith("rank 1: error: 1.parquet: no such file")


@linux
@pytest.mark.slow
def test_an_error_that_all_meet_is_shown_once(tmp_path):
    for rank in (0, 1):
        write(tmp_path / f"{rank}.parquet", 300)
    code, lines = end(torchrun(tmp_path, "--exclude", "nothing"), tmp_path)
    assert code != 0
    assert len(lines) == 1
    assert "nothing" in lines[0]


@linux
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("rank", [0, 1])
def test_no_process_waits_for_one_that_is_gone(tmp_path, rank, number):
    for one in (0, 1):
        write(tmp_path / f"{one}.parquet", 6000)
    (tmp_path / "m.toml").write_text("batch = 1024\nfolds = 2\nrounds = 1\n")
    process = torchrun(tmp_path, "--model", "m.toml", "--epochs", "5000")
    found = []
    while not found:
        time.sleep(0.1)
        assert process.poll() is None
        for one in processes_in(tmp_path):
            with open(f"/proc/{one}/cmdline") as words:
                found += [int(one)] if f"{rank}.parquet" in words.read().split("\0") else []
    time.sleep(5)
    os.kill(found[0], number)
    assert end(process, tmp_path)[0] != 0


def test_a_lost_process_is_an_error_of_its_own_and_other_errors_stay():
    def raising(error):
        @connection.needs_all
        def talk():
            raise error

        return talk

    lost = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:2. This is typically..."
    with pytest.raises(ProcessError, match=r"gone or does not answer \(Connection closed by peer"):
        raising(RuntimeError(lost))()
    with pytest.raises(ProcessError, match=r"\(Timed out\)"):
        raising(torch.distributed.DistNetworkError("Timed out"))()
    with pytest.raises(torch.OutOfMemoryError):
        raising(torch.OutOfMemoryError("no memory"))()
    with pytest.raises(ValueError, match="else"):
        raising(ValueError("something else"))()
