"""Settings and helper functions of the speed benchmarks.

Lines S1 to S7 of speed are those of README.md's section "Speed and scale", not those of quality.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.bench import pairs, synthetic
from tests.bench.scoring import Line, auroc
from tests.conftest import ROOT
from zcurate.config.options import ScanOptions

IMPORTS = "import torch, pyarrow, zcurate"
"""Imports of every scan before it reads a row."""
DISTRIBUTED = r"torch\.distributed|from torch import [^\n]*\bdistributed"


@dataclass(frozen=True)
class Speed:
    """Settings of a run of the speed benchmark."""

    rows: list[int] | None
    """Requested sizes; None for the default sizes of each line."""
    n_pairs: int
    cores: int
    families: list[str]
    folder: Path
    """Folder for synthetic data."""
    out: Path
    """Folder for reports."""
    large: Path | None
    """Folder of the large data sets."""
    sets: Path | None
    """Folder of the data sets of the quality benchmark."""

    def sizes(self, *stated: int) -> list[int]:
        """Return the requested sizes, by default those for which bars are set."""
        return list(stated) if self.rows is None else self.rows

    def table(self, family: str, rows: int, form: str = "csv", columns: int = synthetic.COLUMNS) -> synthetic.SyntheticData:
        """Load or generate a synthetic table."""
        return synthetic.table(self.folder, family, rows, form, columns)

    def report(self, name: str) -> Path:
        """Return the path of a scan's report."""
        return self.out / f"{name}.zcurate.parquet"

    def child(self, command: list[str], **more: Any) -> pairs.Child:
        """Run a command on the requested cores."""
        return pairs.child(command, **{"cores": self.cores, **more})

    def scan(self, data: Path, name: str, *more: object, **settings: Any) -> pairs.Child:
        """Scan `data`; the report is `report(name)`. Exit code 3 (unjudged) is accepted: some tables are tiny."""
        return self.child(pairs.scan(data, self.report(name), *more), **{"good": (0, 3), **settings})


def needs(option: str) -> None:
    """Skip if the scan has no such option."""
    if option.removeprefix("--").replace("-", "_") not in {field.name for field in dataclasses.fields(ScanOptions)}:
        pytest.skip(f"the scan has no {option}")


def needs_processes() -> None:
    """Skip if the scan cannot run as several processes."""
    if not any(re.search(DISTRIBUTED, path.read_text()) for path in (ROOT / "zcurate").rglob("*.py")):
        pytest.skip("the scan does not run as several processes: no module uses torch.distributed")


def run_card(report: Path) -> dict[str, Any]:
    """Read the run card from a report's metadata."""
    return json.loads(pq.read_schema(report).metadata[b"zcurate"])


def suspicion_scores(report: Path) -> np.ndarray:
    """Return (N,) float64, high = suspicious: minus the rank; NaN without a rank."""
    return -pq.read_table(report, columns=["rank"])["rank"].to_pandas().to_numpy(float)


def rank_auroc(report: Path, wrong: np.ndarray) -> float:
    """Compute the AUROC of the wrong rows by rank."""
    return auroc(suspicion_scores(report), wrong)


def seconds_lines(name: str, text: str, measured: list[pairs.Pair], bar: float | None, stated: bool = True) -> list[Line]:
    """Report wall clock and CPU seconds of pairs as ratios; the bar is on the wall clock of undisturbed pairs, otherwise on CPU seconds.

    Args:
        name: name of the line.
        text: description of the comparison.
        measured: pairs of zcurate and the baseline, run in alternation.
        bar: maximum ratio; None for no bar.
        stated: whether the bar was set for this size.
    """
    clock, decisive = pairs.decisive_ratio(measured)
    wall, cpu, calm = pairs.ratios(measured, "seconds"), pairs.ratios(measured, "cpu_seconds"), len(pairs.undisturbed(measured))
    ours, theirs = (pairs.spread([pair[side].seconds for pair in measured]) for side in (0, 1))
    ours_cpu, theirs_cpu = (pairs.spread([pair[side].cpu_seconds for pair in measured]) for side in (0, 1))
    memory = max(pair[0].megabytes for pair in measured), max(pair[1].megabytes for pair in measured)
    peak = f"peak {memory[0]:.0f} and {memory[1]:.0f} MB"
    details = [
        Line(name, "", f"{text}: wall {ours.median:.2f} s and {theirs.median:.2f} s, ratio {wall}; {calm} of {len(measured)} pairs undisturbed", wall.median),
        Line(name, "", f"{text}: CPU {ours_cpu.median:.2f} s and {theirs_cpu.median:.2f} s, ratio {cpu}; {peak}", cpu.median),
    ]
    line = Line(name, "", f"{text}: {clock} ratio {decisive}", decisive.median, at_most=bar)
    return [*details, pairs.at_stated_size(line, stated)]
