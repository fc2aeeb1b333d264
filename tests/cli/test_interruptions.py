"""A scan that is ended by a signal, or that loses one of its processes: no half-written file, nothing left, no process, one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.pipeline.test_kills import processes_in

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")]


class Scan:
    """A long scan in a folder of its own."""

    def __init__(self, folder, n_rows, *words):
        self.folder, self.temporary = folder / "here", folder / "tmp"
        self.folder.mkdir()
        self.temporary.mkdir()
        x = np.random.default_rng(0).normal(size=(n_rows, 10)).astype(np.float32)
        label = np.array(["no", "yes"])[(x[:, 0] + x[:, 1] > 0).astype(int)]
        pq.write_table(pa.table({**{f"x{k}": x[:, k] for k in range(10)}, "label": label}), self.folder / "d.parquet", row_group_size=5000)
        command = [sys.executable, "-m", "zcurate", "scan", "d.parquet", "--label", "label", "-o", "r.zcurate.parquet", *words]
        environment = {**os.environ, "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
        settings = {"cwd": self.folder, "env": environment, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        # Where the tests run in the background Ctrl-C is ignored, and would be here.
        self.process = subprocess.Popen(command, **settings, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))

    def wait_until(self, happened):
        for _ in range(6000):
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate())
            if found := happened():
                return found
            time.sleep(0.005)
        raise AssertionError("it never happened")

    def children(self):
        """(number, command line) of the processes that the scan started."""
        found = []
        for number in processes_in(self.folder):
            with open(f"/proc/{number}/stat") as stat, open(f"/proc/{number}/cmdline") as words:
                if int(stat.read().rpartition(")")[2].split()[1]) == self.process.pid:
                    found.append((int(number), words.read()))
        return found

    def copy(self):
        return next((number for number, words in self.children() if "tree_worker" not in words), None)

    def trees(self):
        return next((number for number, words in self.children() if "tree_worker" in words), None)

    def end(self):
        """Exit code, and the last line on stderr; nothing else may be left."""
        _, err = self.process.communicate(timeout=60)
        time.sleep(0.1)
        assert processes_in(self.folder) == []
        assert os.listdir(self.temporary) == []
        assert {path.name for path in self.folder.iterdir()} <= {"d.parquet", "r.zcurate.parquet", "r.zcurate.parquet.checkpoint"}
        return self.process.returncode, err.splitlines()[-1] if err else ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_scan_of_rows_in_files_leaves_none_of_them(tmp_path, number):
    scan = Scan(tmp_path, 400_000, "--memory", "720MB", "--epochs", "100")
    scan.wait_until(lambda: list(scan.temporary.glob("zcurate-rows-*/*")))
    time.sleep(1)
    scan.process.send_signal(number)
    code, line = scan.end()
    assert code == 128 + number
    assert line.startswith("interrupted")
    assert not (scan.folder / "r.zcurate.parquet").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_checkpoint_is_kept(tmp_path, number):
    scan = Scan(tmp_path, 2000, "--resume", "--epochs", "2000")
    scan.wait_until(lambda: (scan.folder / "r.zcurate.parquet.checkpoint" / "running.safetensors").exists())
    scan.process.send_signal(number)
    code, line = scan.end()
    assert code == 128 + number
    assert "--resume continues from it" in line
    assert os.listdir(scan.folder / "r.zcurate.parquet.checkpoint") == ["running.safetensors"]


def test_a_copy_that_is_ended_is_told(tmp_path):
    scan = Scan(tmp_path, 60_000, "--epochs", "100")
    os.kill(scan.wait_until(scan.copy), signal.SIGTERM)
    code, line = scan.end()
    assert code == 128 + signal.SIGTERM
    assert "ended by signal 15" in line
    assert "memory" not in line


def test_trees_that_are_ended_are_told_and_the_scan_goes_on(tmp_path):
    scan = Scan(tmp_path, 2000, "--epochs", "3")
    os.kill(scan.wait_until(scan.trees), signal.SIGTERM)
    _, err = scan.process.communicate(timeout=60)
    assert scan.process.returncode == 0
    assert "warning: tree models failed (the process was ended by signal 15)" in err
    card = pq.read_schema(scan.folder / "r.zcurate.parquet").metadata[b"zcurate"]
    assert b"tree models failed" in card


@pytest.mark.parametrize("rows", [2000, 60_000])
def test_nothing_runs_on_when_a_scan_is_killed(tmp_path, rows):
    scan = Scan(tmp_path, rows, "--epochs", "100")
    scan.wait_until(scan.trees if rows < 10_000 else scan.copy)
    scan.process.send_signal(signal.SIGKILL)
    scan.process.communicate(timeout=60)
    for _ in range(60):
        if not processes_in(scan.folder):
            break
        time.sleep(0.05)
    assert processes_in(scan.folder) == []


def test_a_second_scan_of_one_output_is_told(tmp_path):
    scan = Scan(tmp_path, 2000, "--epochs", "2000", "--resume")
    scan.wait_until(lambda: list(scan.folder.glob(".zcurate-*.part")))
    words = [sys.executable, "-m", "zcurate", *scan.process.args[3:]]
    second = subprocess.run(words, cwd=scan.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert second.stderr.startswith("error: r.zcurate.parquet: another zcurate process is about to write it")
    scan.process.send_signal(signal.SIGTERM)
    assert scan.end()[0] == 128 + signal.SIGTERM
