"""Learning-rate schedule and time budget."""

from __future__ import annotations

import time
from math import cos, pi

INFERENCE_ROWS, INFERENCE_ROWS_GPU, INFERENCE_PIXELS = 2048, 16_384, 1 << 20
"""Rows that members are asked about at a time, on the CPU and on a GPU, and pixels of one channel at most."""


def inference_batch_rows(picture: tuple[int, ...] | None, gpu: bool = False) -> int:
    """Rows that members are asked about at a time: what passes through a network of pictures is many times the pictures.

    Args:
        picture: channels, height, width; None for tables.
        gpu: the members are on one.
    """
    if picture is None:
        return INFERENCE_ROWS_GPU if gpu else INFERENCE_ROWS
    return max(32, min(INFERENCE_ROWS, INFERENCE_PIXELS // (picture[1] * picture[2])))


def one_cycle(progress: float) -> float:
    """One cycle: up in the first tenth, then down along a cosine to a hundredth; as a share of the peak."""
    if progress < 0.1:
        return 0.1 + 9 * progress
    return 0.01 + 0.99 * 0.5 * (1 + cos(pi * (progress - 0.1) / 0.9))


class TimeBudget:
    """The user's time limit, shared out evenly among the rounds. Without a limit it never looks."""

    def __init__(self, limit_seconds: float | None, n_parts: int) -> None:
        self.start, self.limit, self.n_parts, self.part, self.was_cut = time.monotonic(), limit_seconds, n_parts, 0, False

    def is_spent(self) -> bool:
        """Whether this part's time is over; remembers that something was cut."""
        if self.limit is None or time.monotonic() - self.start < self.limit * (self.part + 1) / self.n_parts:
            return False
        self.was_cut = True
        return True

    def next(self) -> None:
        """The next part begins."""
        self.part += 1
