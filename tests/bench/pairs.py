"""Commands measured side by side: fresh processes, taken in turn, and the ratios of each pair.

Leaves: `Child`, `Spread`, the machine's line. Enters: commands. Two runs that follow each other share the machine's mood, so the
ratio is taken within each pair and the median over the pairs.
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

QUIET = 0.10
"""Share of the machine's CPU that others may use beside a run whose wall clock is believed."""
PIN = """import os, sys
if int(sys.argv[1]) and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
os.execv(sys.argv[2], sys.argv[2:])"""
"""Narrows this process to some cores and then becomes the command."""
FEWEST_QUIET = 3
"""Pairs undisturbed by others that are enough to go by alone."""


@dataclass(frozen=True)
class Child:
    """What one process used, the children that it waited for included."""

    seconds: float
    """Wall clock from start to end."""
    cpu_seconds: float
    """User and system."""
    megabytes: float
    """Largest resident memory of one process."""
    code: int
    """Exit status."""
    others: float
    """Share of the machine's CPU that other processes used meanwhile, in [0, 1]."""
    out: str = ""
    """Its standard output."""
    err: str = ""
    """Its standard error."""


@dataclass(frozen=True)
class Spread:
    """Some measurements in four numbers."""

    n: int
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} (n {self.n}, {self.low:.3f} to {self.high:.3f})"


Pair = tuple[Child, Child]


def spread(values: Sequence[float]) -> Spread:
    """Median, smallest and largest; NaN of nothing."""
    if not values:
        return Spread(0, float("nan"), float("nan"), float("nan"))
    return Spread(len(values), median(values), min(values), max(values))


def ratios(pairs: Sequence[Pair], figure: str) -> Spread:
    """The first's figure over the second's, pair by pair.

    Args:
        pairs: measured in turn.
        figure: field of `Child`.
    """
    return spread([getattr(first, figure) / getattr(second, figure) for first, second in pairs])


def quiet(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs of which neither run was disturbed by others."""
    return [pair for pair in pairs if max(one.others for one in pair) <= QUIET]


def fair(pairs: Sequence[Pair]) -> tuple[str, Spread]:
    """What to go by: the wall clock of the quiet pairs where there are enough of them, else the CPU seconds of all of them."""
    undisturbed = quiet(pairs)
    if len(undisturbed) >= min(FEWEST_QUIET, len(pairs)):
        return "wall", ratios(undisturbed, "seconds")
    return "cpu", ratios(pairs, "cpu_seconds")


def in_turn(first: Callable[[], Child], second: Callable[[], Child], n: int) -> list[Pair]:
    """`n` pairs, A, B, A, B, ..."""
    return [(first(), second()) for _ in range(n)]


def child(command: Sequence[str], cores: int = 0, good: Sequence[int] = (0,), env: dict[str, str] | None = None, folder: Path | None = None) -> Child:
    """Run a command in a fresh process with this tree first on the path.

    Args:
        command: program and arguments.
        cores: of the machine that it may use; 0 for all.
        good: exit codes that are no failure.
        env: added to the environment.
        folder: to run in.
    """
    with tempfile.TemporaryDirectory() as beside:
        result = Path(beside) / "used.json"
        launch = [sys.executable, "-I", str(Path(__file__).parent / "launch.py"), str(result), str(cores), *command]
        with (Path(beside) / "out").open("w+") as out, (Path(beside) / "err").open("w+") as err:
            subprocess.run(launch, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env={**environment(), **(env or {})}, cwd=folder, check=False)
            texts = [file.seek(0) or file.read() for file in (out, err)]
        assert result.exists(), f"{' '.join(command)}: did not start\n{texts[1]}"
        used: dict[str, Any] = json.loads(result.read_text())
    assert used["code"] in good, f"{' '.join(command)}: exit {used['code']}\n{texts[1]}"
    return Child(**used, out=texts[0], err=texts[1])


def pinned(command: Sequence[str], cores: int) -> list[str]:
    """The command on the first `cores` cores, 0 for all; the same process becomes it, so that killing one kills the other."""
    return [sys.executable, "-I", "-c", PIN, str(cores), *command]


def environment() -> dict[str, str]:
    """The environment with this tree first on Python's path, its modules compiled as those of an installed package are."""
    compileall.compile_dir(ROOT / "zcurate", quiet=1)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def zcurate(*arguments: object) -> list[str]:
    """This tree's program."""
    return [sys.executable, "-m", "zcurate", *map(str, arguments)]


def scan(data: Path, output: Path, *more: object) -> list[str]:
    """A scan as a user starts it, quiet, with the made tables' label."""
    return zcurate("scan", data, "--label", "label", "-q", "--force", "-o", output, *more)


def machine() -> str:
    """Processor, cores, bf16, versions and load, in one line."""
    import torch

    names, flags = cpu_facts()
    bf16 = " ".join(flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags) or "no bf16"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f"load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    gpu = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return f"machine: {names}, {cores} cores, {bf16}{gpu}, Python {platform.python_version()}, torch {torch.__version__}, {load}"


def cpu_facts() -> tuple[str, set[str]]:
    """The processor's name and its flags."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    family = f" (family {facts['cpu family']} model {facts['model']})" if "cpu family" in facts else ""
    return facts.get("model name", platform.machine()) + family, set(facts.get("flags", "").split())


def missed(lines: Sequence[Line]) -> list[str]:
    """The lines whose bar is not reached; one without a value has not reached it."""
    return [str(line) for line in lines if (line.at_least is not None or line.at_most is not None) and not line.good]


def at_stated_size(line: Line, stated: bool) -> Line:
    """The line without its bar where the bar was set for another size."""
    return line if stated else Line(line.name, line.family, f"{line.text} (not the size that the bar is for)", line.value)
