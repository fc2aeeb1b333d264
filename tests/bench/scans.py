"""Scans as a user starts them, one process each; the reports are kept, so that they can be scored again without another scan.

A report in the folder is used again when its data, model and seed are the same; `note` says so, and whether zcurate's sources have
changed since.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from tests.conftest import ROOT
from zcurate.report.report import Report
from zcurate.report.storage import load

TRUTH = ".truth.parquet"


@dataclass(frozen=True)
class Scanned:
    """One scan."""

    report: Report
    seconds: float
    """Wall clock of the whole process."""
    megabytes: float
    """Largest resident memory."""
    note: str
    """Empty when it was scanned just now."""


@dataclass(frozen=True)
class Bench:
    """What is measured: a folder of NAME.parquet and NAME.truth.parquet, and how."""

    folder: Path
    names: list[str]
    """Sets that were asked for."""
    out: Path
    """Where reports and tables are kept."""
    seeds: list[int]
    model: str
    """`--model` of every scan."""

    @property
    def every(self) -> list[str]:
        """All sets of the folder."""
        return sorted(path.name[: -len(TRUTH)] for path in self.folder.glob(f"*{TRUTH}"))

    def data(self, name: str) -> pd.DataFrame:
        """Features and given label."""
        return pq.read_table(self.folder / f"{name}.parquet").to_pandas()

    def truth(self, name: str) -> pd.DataFrame:
        """true_label, is_wrong, kind."""
        return pq.read_table(self.folder / f"{name}{TRUTH}").to_pandas()

    def scan(self, name: str, seed: int | None = None, model: str | None = None) -> Scanned:
        """Scan a set of the folder."""
        return scan(self.folder / f"{name}.parquet", self.out, self.seeds[0] if seed is None else seed, model or self.model)

    def save(self, frame: pd.DataFrame, name: str) -> Path:
        """Keep a table of results as CSV."""
        path = self.out / f"{name}.csv"
        frame.to_csv(path, float_format="%.6g")
        return path


def scan(data: Path, out: Path, seed: int, model: str) -> Scanned:
    """Scan `data` or take the report that `out` holds of it.

    Args:
        data: Parquet file with a column `label`.
        out: folder of the kept reports.
        seed: of the scan.
        model: as for `--model`.
    """
    text = Path(model).read_text() if model.endswith(".toml") else model
    key = {"data": hashlib.sha256(data.read_bytes()).hexdigest(), "model": text, "seed": seed}
    path = out / f"{data.stem}.{Path(model).stem}.seed{seed}.zcurate.parquet"
    beside = path.with_suffix(".json")
    kept = json.loads(beside.read_text()) if path.exists() and beside.exists() else {}
    note = "kept" if kept.get("key") == key else ""
    if note and kept["code"] != code():
        note = "kept, by other code"
    if not note:
        seconds, megabytes = run(["scan", str(data.resolve()), "--label", "label", "-q", "--force", "--seed", str(seed), "--model", model, "-o", str(path)])
        kept = {"key": key, "code": code(), "seconds": seconds, "megabytes": megabytes}
        beside.write_text(json.dumps(kept))
    return Scanned(load(str(path)), kept["seconds"], kept["megabytes"], note)


def run(arguments: list[str]) -> tuple[float, float]:
    """Wall-clock seconds and peak megabytes of this tree's `zcurate`."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile("w+") as talk:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "zcurate", *arguments], stdout=subprocess.DEVNULL, stderr=talk, env={**os.environ, "PYTHONPATH": path}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        talk.seek(0)
        assert process.returncode in (0, 3), (arguments, talk.read())
    return seconds, usage.ru_maxrss / 1024


def code() -> str:
    """Digest of zcurate's sources."""
    whole = hashlib.sha256()
    for path in sorted((ROOT / "zcurate").rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]
