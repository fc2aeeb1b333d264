"""Run scans as a user would, one process each, and store the reports so that they can be scored again without another scan.

A stored report is used again if its data, model and seed are the same; `note` says so, and whether zcurate's sources have changed since.
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
    """Result of one scan."""

    report: Report
    seconds: float
    """Wall clock of the whole process."""
    megabytes: float
    """Peak resident memory."""
    note: str
    """Empty after a new scan; otherwise how the stored report was reused."""


@dataclass(frozen=True)
class Bench:
    """Data sets to measure, a folder of NAME.parquet and NAME.truth.parquet, and the settings of the scans."""

    folder: Path
    names: list[str]
    """Selected data sets."""
    out: Path
    """Folder for reports and tables."""
    seeds: list[int]
    model: str
    """`--model` of every scan."""

    @property
    def all_names(self) -> list[str]:
        """All data sets in the folder."""
        return sorted(path.name[: -len(TRUTH)] for path in self.folder.glob(f"*{TRUTH}"))

    def data(self, name: str) -> pd.DataFrame:
        """Read the features and the given label."""
        return pq.read_table(self.folder / f"{name}.parquet").to_pandas()

    def truth(self, name: str) -> pd.DataFrame:
        """Read the ground truth: true_label, is_wrong, kind."""
        return pq.read_table(self.folder / f"{name}{TRUTH}").to_pandas()

    def scan(self, name: str, seed: int | None = None, model: str | None = None) -> Scanned:
        """Scan a data set of the folder."""
        return scan(self.folder / f"{name}.parquet", self.out, self.seeds[0] if seed is None else seed, model or self.model)

    def save(self, frame: pd.DataFrame, name: str) -> Path:
        """Save a table of results as CSV."""
        path = self.out / f"{name}.csv"
        frame.to_csv(path, float_format="%.6g")
        return path


def scan(data: Path, out: Path, seed: int, model: str) -> Scanned:
    """Scan `data`, or load its report from `out` if there is one.

    Args:
        data: Parquet file with a column `label`.
        out: folder of the stored reports.
        seed: random seed of the scan.
        model: value of `--model`.
    """
    text = Path(model).read_text() if model.endswith(".toml") else model
    key = {"data": hashlib.sha256(data.read_bytes()).hexdigest(), "model": text, "seed": seed}
    path = out / f"{data.stem}.{Path(model).stem}.seed{seed}.zcurate.parquet"
    record_path = path.with_suffix(".json")
    record = json.loads(record_path.read_text()) if path.exists() and record_path.exists() else {}
    note = "stored" if record.get("key") == key else ""
    if note and record["code"] != source_hash():
        note = "stored, from other code"
    if not note:
        seconds, megabytes = run(["scan", str(data.resolve()), "--label", "label", "-q", "--force", "--seed", str(seed), "--model", model, "-o", str(path)])
        record = {"key": key, "code": source_hash(), "seconds": seconds, "megabytes": megabytes}
        record_path.write_text(json.dumps(record))
    return Scanned(load(str(path)), record["seconds"], record["megabytes"], note)


def run(arguments: list[str]) -> tuple[float, float]:
    """Run `zcurate` from this source tree; return its wall-clock seconds and peak megabytes."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile("w+") as messages:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "zcurate", *arguments], stdout=subprocess.DEVNULL, stderr=messages, env={**os.environ, "PYTHONPATH": path}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        messages.seek(0)
        assert process.returncode in (0, 3), (arguments, messages.read())
    return seconds, usage.ru_maxrss / 1024


def source_hash() -> str:
    """Hash the sources of zcurate."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "zcurate").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
