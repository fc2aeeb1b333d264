"""Progress of a long job and the time of its stages. The default reports nothing; the command line passes an object that draws a bar."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stopwatch:
    """Seconds by stage, for the run card; no decision depends on them."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.begins = progress, [("start", time.perf_counter())]

    def stage(self, name: str) -> None:
        """Begin the next stage."""
        self.progress.stage(name)
        self.begins.append((name, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each stage so far, and in `total`."""
        ends = [begin for _, begin in self.begins[1:]] + [time.perf_counter()]
        seconds = {name: round(end - begin, 3) for (name, begin), end in zip(self.begins[1:], ends[1:], strict=True)}
        return {**seconds, "total": round(ends[-1] - self.begins[0][1], 3)}


class Progress(Protocol):
    """Receiver of stages, steps, notes and warnings."""

    def stage(self, name: str) -> None:
        """Begin a stage of the scan."""

    def step(self, done: int, total: int) -> None:
        """Report that `done` of `total` equal steps of the current stage are finished."""

    def note(self, text: str) -> None:
        """Show a one-line remark."""

    def warn(self, text: str) -> None:
        """Show a one-line warning that the user should act on."""


class NoProgress:
    """Progress that is discarded."""

    def stage(self, name: str) -> None:
        """Do nothing."""

    def step(self, done: int, total: int) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def warn(self, text: str) -> None:
        """Do nothing."""


class Timings:
    """Seconds by name, for `scan -v`; no decision depends on them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the seconds that the block takes to `name`."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
