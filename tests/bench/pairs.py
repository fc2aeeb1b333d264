"""Run commands in alternation, each in a fresh process, and compare them by the ratios of each pair.

Two consecutive runs meet similar load on the machine, so the ratio is computed within each pair and the median over the pairs.
"""

from __future__ import annotations

import compileall
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.scoring import Line
from tests.conftest import ROOT

MAX_OTHER_LOAD = 0.10
"""Maximum share of the machine's CPU used by other processes for a run's wall clock to count."""
PIN_CODE = """import os, sys
if int(sys.argv[1]) and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
os.execv(sys.argv[2], sys.argv[2:])"""
"""Restricts the process to some cores, then replaces it by the command."""
MIN_UNDISTURBED = 3
"""Number of undisturbed pairs from which only those count."""


@dataclass(frozen=True)
class Child:
    """Resource usage of one process, including the children that it waited for."""

    seconds: float
    """Wall clock from start to end."""
    cpu_seconds: float
    """User and system time."""
    megabytes: float
    """Peak resident memory of one process."""
    code: int
    """Exit status."""
    others: float
    """Share of the machine's CPU used by other processes during the run, in [0, 1]."""
    out: str = ""
    """Standard output."""
    err: str = ""
    """Standard error."""


@dataclass(frozen=True)
class Spread:
    """Summary of several measurements."""

    n: int
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} (n {self.n}, {self.low:.3f} to {self.high:.3f})"


Pair = tuple[Child, Child]


def spread(values: Sequence[float]) -> Spread:
    """Summarize values by median, minimum and maximum; NaN if there are none."""
    if not values:
        return Spread(0, float("nan"), float("nan"), float("nan"))
    return Spread(len(values), median(values), min(values), max(values))


def ratios(pairs: Sequence[Pair], figure: str) -> Spread:
    """Divide a figure of the first run by that of the second, pair by pair.

    Args:
        pairs: measured in alternation.
        figure: field of `Child`.
    """
    return spread([getattr(first, figure) / getattr(second, figure) for first, second in pairs])


def undisturbed(pairs: Sequence[Pair]) -> list[Pair]:
    """Select the pairs in which other processes disturbed neither run."""
    return [pair for pair in pairs if max(run.others for run in pair) <= MAX_OTHER_LOAD]


def decisive_ratio(pairs: Sequence[Pair]) -> tuple[str, Spread]:
    """Compare the wall clock of the undisturbed pairs if there are enough of them, otherwise the CPU seconds of all pairs."""
    calm = undisturbed(pairs)
    if len(calm) >= min(MIN_UNDISTURBED, len(pairs)):
        return "wall", ratios(calm, "seconds")
    return "cpu", ratios(pairs, "cpu_seconds")


def alternate(first: Callable[[], Child], second: Callable[[], Child], n: int) -> list[Pair]:
    """Run `n` pairs in the order A, B, A, B, ..."""
    return [(first(), second()) for _ in range(n)]


def child(command: Sequence[str], cores: int = 0, good: Sequence[int] = (0,), env: dict[str, str] | None = None, folder: Path | None = None) -> Child:
    """Run a command in a fresh process that imports this source tree.

    Args:
        command: program and arguments.
        cores: number of cores that it may use; 0 for all.
        good: exit codes that count as success.
        env: variables added to the environment.
        folder: working directory.
    """
    with tempfile.TemporaryDirectory() as temporary:
        result = Path(temporary) / "used.json"
        launch = [sys.executable, "-I", str(Path(__file__).parent / "launch.py"), str(result), str(cores), *command]
        with (Path(temporary) / "out").open("w+") as out, (Path(temporary) / "err").open("w+") as err:
            subprocess.run(launch, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env={**environment(), **(env or {})}, cwd=folder, check=False)
            texts = [file.seek(0) or file.read() for file in (out, err)]
        assert result.exists(), f"{' '.join(command)}: did not start\n{texts[1]}"
        used: dict[str, Any] = json.loads(result.read_text())
    assert used["code"] in good, f"{' '.join(command)}: exit {used['code']}\n{texts[1]}"
    return Child(**used, out=texts[0], err=texts[1])


def pinned(command: Sequence[str], cores: int) -> list[str]:
    """Return a command line that runs on the first `cores` cores (0: all) in the process itself, so that killing it kills the command."""
    return [sys.executable, "-I", "-c", PIN_CODE, str(cores), *command]


def environment() -> dict[str, str]:
    """Return the environment with this source tree first on Python's path; its modules are compiled, like those of an installed package."""
    compileall.compile_dir(ROOT / "zcurate", quiet=1)
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def zcurate(*arguments: object) -> list[str]:
    """Return the command line of this source tree's program."""
    return [sys.executable, "-m", "zcurate", *map(str, arguments)]


def scan(data: Path, output: Path, *more: object) -> list[str]:
    """Return the command line of a quiet scan of a synthetic table."""
    return zcurate("scan", data, "--label", "label", "-q", "--force", "-o", output, *more)


def machine() -> str:
    """Describe processor, cores, bf16 support, versions and load in one line."""
    import torch

    name, flags = cpu_info()
    bf16 = " ".join(flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags) or "no bf16"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f"load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    gpu = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return f"machine: {name}, {cores} cores, {bf16}{gpu}, Python {platform.python_version()}, torch {torch.__version__}, {load}"


def cpu_info() -> tuple[str, set[str]]:
    """Return the name and the flags of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    family = f" (family {fields['cpu family']} model {fields['model']})" if "cpu family" in fields else ""
    return fields.get("model name", platform.machine()) + family, set(fields.get("flags", "").split())


def missed(lines: Sequence[Line]) -> list[str]:
    """List the lines that miss their bar; a line without a value misses it."""
    return [str(line) for line in lines if (line.at_least is not None or line.at_most is not None) and not line.good]


def at_stated_size(line: Line, stated: bool) -> Line:
    """Drop the bar of a line if it was set for another size."""
    return line if stated else Line(line.name, line.family, f"{line.text} (bar set for another size)", line.value)
