"""What a long job says while it runs. The default says nothing; the command line passes one that draws a bar on stderr."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Receives stages, progress and remarks."""

    def stage(self, name: str) -> None:
        """A stage of the flow begins."""

    def step(self, done: int, total: int) -> None:
        """`done` of `total` equal pieces of the present stage are finished."""

    def note(self, text: str) -> None:
        """Something worth telling, one line."""

    def warn(self, text: str) -> None:
        """Something the user should act on, one line."""


class Silent:
    """A watch that keeps quiet."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def step(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""
