"""Scans that are killed (`kill -9`) at any moment and resumed: the report is that of an uninterrupted scan, and nothing is left behind."""

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

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")]
ROWS, KILLS = 30_000, 12
MOMENTS = ("report", "checkpoint", "any")
"""What a scan is doing when it is killed: writing its report, writing a checkpoint, anything."""
DATA, REPORT = "data.parquet", "r.zcurate.parquet"


class Scan:
    """A scan in a folder of its own, with a folder for temporary files of its own."""

    def __init__(self, folder):
        self.folder, self.temporary = folder / "here", folder / "tmp"
        self.folder.mkdir(parents=True)
        self.temporary.mkdir()
        x = np.random.default_rng(0).normal(size=(ROWS, 6)).astype(np.float32)
        label = np.array(["no", "yes"])[(x[:, 0] + x[:, 1] > 0).astype(int)]
        pq.write_table(pa.table({**{f"x{k}": x[:, k] for k in range(6)}, "label": label}), self.folder / DATA)
        (self.folder / "m.toml").write_text("ensemble = ['forest']\nhidden = [32]\nrounds = 2\n")

    def start(self):
        words = ["scan", DATA, "--label", "label", "--resume", "-q", "--epochs", "6", "--model", "m.toml", "-o", REPORT]
        environment = {**os.environ, "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
        return subprocess.Popen([sys.executable, "-m", "zcurate", *words], cwd=self.folder, env=environment)

    def finish(self):
        """Resume until the end; return the rows of the report."""
        assert self.start().wait(120) == 0
        return pq.read_table(self.folder / REPORT).replace_schema_metadata(None)

    def kill(self, moment, delay):
        """Start a scan and kill it.

        Args:
            moment: of `MOMENTS`.
            delay: seconds after the moment, or after the start for any moment.
        """
        process = self.start()
        while not self.is_at(moment) and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def is_at(self, moment):
        if moment == "report":
            return any(path.stat().st_size for path in self.folder.glob(".zcurate-*.part"))
        return moment == "any" or any((self.folder / f"{REPORT}.checkpoint").glob(".*.part"))

    def left(self):
        """What should not be there after a finished scan: other files, temporary files, processes."""
        files = {path.name for path in self.folder.iterdir()} - {DATA, REPORT, "m.toml"}
        return files | {path.name for path in self.temporary.iterdir()} | {f"process {pid}" for pid in processes_in(self.folder)}

    def clear(self):
        (self.folder / REPORT).unlink()


def processes_in(folder):
    """Numbers of the processes that run in a folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += [pid] if os.readlink(f"/proc/{pid}/cwd") == str(folder) else []
        except OSError:
            continue
    return found


def kills(seed, n):
    """(moment, delay) of n kills."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        moment = MOMENTS[number % len(MOMENTS)]
        yield moment, rng.uniform(0.2, 9) if moment == "any" else rng.uniform(0, 0.05)


def failures_of(folder, seed, n):
    """Kill and resume n scans; return what went wrong, and how often a killed scan had no report yet."""
    scan = Scan(folder)
    expected, wrong, n_unfinished = scan.finish(), [], 0
    scan.clear()
    for moment, delay in kills(seed, n):
        scan.kill(moment, delay)
        n_unfinished += not (scan.folder / REPORT).exists()
        found, left = scan.finish(), scan.left()
        wrong += [] if found.equals(expected) else [f"{moment} +{delay:.3f} s: another report"]
        wrong += [f"{moment} +{delay:.3f} s: left {left}"] if left else []
        scan.clear()
    return wrong, n_unfinished


def test_a_killed_scan_ends_in_the_same_report_and_leaves_nothing(tmp_path):
    wrong, n_unfinished = failures_of(tmp_path, 0, KILLS)
    assert wrong == []
    assert n_unfinished >= KILLS // 2
