"""Show a scan's progress: a bar with the remaining time on a terminal or in a notebook, short lines on stderr elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zcurate.runtime.progress import NoProgress, Progress
from zcurate.runtime.safe_text import shown


class LineProgress:
    """Progress as lines on stderr: notes and warnings; stages only when verbose."""

    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose

    def stage(self, name: str) -> None:
        """Print the stage when verbose."""
        if self.verbose:
            self.print_line(name)

    def step(self, done: int, total: int) -> None:
        """Print nothing: lines show no steps."""

    def note(self, text: str) -> None:
        """Print a note."""
        self.print_line(text)

    def warn(self, text: str) -> None:
        """Print a line that begins with `warning`."""
        self.print_line(f"warning: {text}")

    def print_line(self, text: str) -> None:
        """Print one line on stderr."""
        sys.stderr.write(f"{shown(text)}\n")
        sys.stderr.flush()


class BarProgress(LineProgress):
    """Progress as lines above a rich progress bar."""

    def __init__(self, verbose: bool, progress: Any) -> None:
        super().__init__(verbose)
        self.progress = progress
        self.task = progress.add_task("starting", total=None)

    def stage(self, name: str) -> None:
        """Set the bar's description, and print the stage when verbose."""
        super().stage(name)
        self.progress.update(self.task, description=name)

    def step(self, done: int, total: int) -> None:
        """Set the bar's length."""
        self.progress.update(self.task, completed=done, total=total)

    def print_line(self, text: str) -> None:
        """Print one line above the bar."""
        self.progress.console.print(shown(text), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_for(quiet: bool = False, verbose: bool = False) -> Iterator[Progress]:
    """Choose the progress display for the terminal or the notebook.

    Args:
        quiet: show nothing.
        verbose: print each stage.
    """
    if quiet:
        yield NoProgress()
        return
    if not (sys.stderr.isatty() or in_notebook()):
        yield LineProgress(verbose)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(compact=True))
    console = Console(stderr=not in_notebook(), emoji=False)
    with Progress(*columns, console=console, transient=True) as progress:
        yield BarProgress(verbose, progress)


def in_notebook() -> bool:
    """Tell whether the program runs in a notebook."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
