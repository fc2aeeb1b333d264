"""What the benches of speed share: the settings of a run, and what a scan must be able to do before it can be measured.

Line names S1 to S7 of speed are those of README.md's section "Speed and scale", not those of quality.
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

from tests.bench import made, pairs
from tests.bench.scoring import Line, auroc
from tests.conftest import ROOT
from zcurate.config.options import ScanOptions

IMPORTS = "import torch, pyarrow, zcurate"
"""What every scan holds in memory before it has seen a row."""
DISTRIBUTED = r"torch\.distributed|from torch import [^\n]*\bdistributed"


@dataclass(frozen=True)
class Speed:
    """Settings of a run of the speed bench."""

    rows: list[int] | None
    """Sizes asked for; None for each line's own."""
    n_pairs: int
    cores: int
    families: list[str]
    folder: Path
    """Keeps made data."""
    out: Path
    """Takes reports."""
    large: Path | None
    """Folder of the large sets."""
    sets: Path | None
    """Folder of the sets of the quality bench."""

    def sizes(self, *stated: int) -> list[int]:
        """The sizes asked for, else those that the bars are for."""
        return list(stated) if self.rows is None else self.rows

    def table(self, family: str, rows: int, form: str = "csv", columns: int = made.COLUMNS) -> made.Made:
        """A made table."""
        return made.table(self.folder, family, rows, form, columns)

    def report(self, name: str) -> Path:
        """Where a scan's report goes."""
        return self.out / f"{name}.zcurate.parquet"

    def child(self, command: list[str], **more: Any) -> pairs.Child:
        """Run a command on the cores asked for."""
        return pairs.child(command, **{"cores": self.cores, **more})

    def scan(self, data: Path, name: str, *more: object, **how: Any) -> pairs.Child:
        """Scan `data`; the report is `report(name)`. Exit 3, nothing judged, is no failure: some tables are tiny."""
        return self.child(pairs.scan(data, self.report(name), *more), **{"good": (0, 3), **how})


def needs(option: str) -> None:
    """Skip where the scan has no such option yet."""
    if option.removeprefix("--").replace("-", "_") not in {field.name for field in dataclasses.fields(ScanOptions)}:
        pytest.skip(f"this tree's scan has no {option}")


def needs_processes() -> None:
    """Skip where no module speaks to other processes."""
    if not any(re.search(DISTRIBUTED, path.read_text()) for path in (ROOT / "zcurate").rglob("*.py")):
        pytest.skip("this tree's scan does not run as several processes: no torch.distributed in it")


def card_of(report: Path) -> dict[str, Any]:
    """The run card in a report's metadata."""
    return json.loads(pq.read_schema(report).metadata[b"zcurate"])


def suspicion(report: Path) -> np.ndarray:
    """(N,) float64, high = suspicious: minus the rank; NaN where there is none."""
    return -pq.read_table(report, columns=["rank"])["rank"].to_pandas().to_numpy(float)


def ranked(report: Path, wrong: np.ndarray) -> float:
    """AUROC of the wrong rows by rank."""
    return auroc(suspicion(report), wrong)


def seconds_lines(name: str, text: str, measured: list[pairs.Pair], bar: float | None, stated: bool = True) -> list[Line]:
    """Wall clock and CPU of pairs as ratios; the bar is on the wall clock of undisturbed pairs, else on CPU seconds.

    Args:
        name: of the line.
        text: what the two are.
        measured: ours and theirs, in turn.
        bar: ratio that it may reach at most; None for none.
        stated: whether this is the size that the bar is for.
    """
    by, decided = pairs.fair(measured)
    wall, cpu, calm = pairs.ratios(measured, "seconds"), pairs.ratios(measured, "cpu_seconds"), len(pairs.quiet(measured))
    ours, theirs = (pairs.spread([pair[side].seconds for pair in measured]) for side in (0, 1))
    ours_cpu, theirs_cpu = (pairs.spread([pair[side].cpu_seconds for pair in measured]) for side in (0, 1))
    memory = max(pair[0].megabytes for pair in measured), max(pair[1].megabytes for pair in measured)
    peak = f"peak {memory[0]:.0f} and {memory[1]:.0f} MB"
    plain = [
        Line(name, "", f"{text}: wall {ours.median:.2f} s and {theirs.median:.2f} s, ratio {wall}; {calm} of {len(measured)} pairs undisturbed", wall.median),
        Line(name, "", f"{text}: CPU {ours_cpu.median:.2f} s and {theirs_cpu.median:.2f} s, ratio {cpu}; {peak}", cpu.median),
    ]
    decisive = Line(name, "", f"{text}: {by} ratio {decided}", decided.median, at_most=bar)
    return [*plain, pairs.at_stated_size(decisive, stated)]
