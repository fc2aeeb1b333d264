"""What a scan says on stderr while it runs: a bar with time left on a terminal, short lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zcurate.config.options import ScanOptions
from zcurate.runtime.progress import NoProgress, Progress


class LineProgress:
    """Remarks as lines on stderr; stages only when verbose."""

    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose

    def stage(self, name: str) -> None:
        """A line when verbose."""
        if self.verbose:
            self.say(name)

    def step(self, done: int, total: int) -> None:
        """Lines show no progress."""

    def note(self, text: str) -> None:
        """A line."""
        self.say(text)

    def warn(self, text: str) -> None:
        """A line that begins with `warning`."""
        self.say(f"warning: {text}")

    def say(self, text: str) -> None:
        """One line on stderr."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class BarProgress(LineProgress):
    """The same, with a rich progress bar below."""

    def __init__(self, verbose: bool, progress: Any) -> None:
        super().__init__(verbose)
        self.progress = progress
        self.task = progress.add_task("starting", total=None)

    def stage(self, name: str) -> None:
        """The bar's description."""
        super().stage(name)
        self.progress.update(self.task, description=name)

    def step(self, done: int, total: int) -> None:
        """The bar's length."""
        self.progress.update(self.task, completed=done, total=total)

    def say(self, text: str) -> None:
        """One line above the bar."""
        self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_for(options: ScanOptions) -> Iterator[Progress]:
    """The watch that suits the options and the terminal."""
    if options.quiet:
        yield NoProgress()
        return
    if not sys.stderr.isatty():
        yield LineProgress(options.verbose)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield BarProgress(options.verbose, progress)
