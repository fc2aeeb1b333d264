"""What a long job says while it runs, and what its parts cost. The default says nothing; the command line passes one that draws a bar."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stopwatch:
    """Seconds by stage, for the run card; decides nothing."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.marks = progress, [("start", time.perf_counter())]

    def stage(self, name: str) -> None:
        """The next stage begins."""
        self.progress.stage(name)
        self.marks.append((name, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far."""
        ends = [at for _, at in self.marks[1:]] + [time.perf_counter()]
        spent = {name: round(end - begin, 3) for (name, begin), end in zip(self.marks[1:], ends[1:], strict=True)}
        return {**spent, "total": round(ends[-1] - self.marks[0][1], 3)}


class Progress(Protocol):
    """Receives stages, progress and remarks."""

    def stage(self, name: str) -> None:
        """A stage of the flow begins."""

    def step(self, done: int, total: int) -> None:
        """`done` of `total` equal pieces of the present stage are finished."""

    def note(self, text: str) -> None:
        """Something worth telling, one line."""

    def warn(self, text: str) -> None:
        """Something the user should act on, one line."""


class NoProgress:
    """A watch that keeps quiet."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def step(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""


class Timings:
    """Seconds by name, for `scan -v`; decides nothing."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the seconds that the block takes to `name`."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
