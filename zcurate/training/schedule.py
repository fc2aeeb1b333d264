"""Learning-rate schedule, inference batch size and time budget."""

from __future__ import annotations

import time
from math import cos, pi

INFERENCE_ROWS, INFERENCE_ROWS_GPU, INFERENCE_PIXELS = 2048, 16_384, 1 << 20
"""Largest inference batch: rows on the CPU, rows on a GPU, and pixels of one channel."""


def inference_batch_rows(picture: tuple[int, ...] | None, gpu: bool = False) -> int:
    """Compute the batch size for inference.

    It is smaller for images, whose activations take many times the memory of the images.

    Args:
        picture: channels, height, width; None for tables.
        gpu: the members are on a GPU.
    """
    if picture is None:
        return INFERENCE_ROWS_GPU if gpu else INFERENCE_ROWS
    return max(32, min(INFERENCE_ROWS, INFERENCE_PIXELS // (picture[1] * picture[2])))


def one_cycle(progress: float) -> float:
    """Compute the one-cycle learning rate as a share of its peak.

    Linear warm-up over the first tenth of the run, then cosine decay to 0.01.

    Args:
        progress: completed share of the run, in [0, 1).
    """
    if progress < 0.1:
        return 0.1 + 9 * progress
    return 0.01 + 0.99 * 0.5 * (1 + cos(pi * (progress - 0.1) / 0.9))


class TimeBudget:
    """The user's time limit, divided evenly among the rounds; without a limit no time is checked."""

    def __init__(self, limit_seconds: float | None, n_parts: int) -> None:
        self.start, self.limit, self.n_parts, self.part = time.monotonic(), limit_seconds, n_parts, 0
        self.cut = False
        """The limit has ended the training of a round early."""

    def expired(self) -> bool:
        """Whether the time of the current round is over; if so, `cut` is set."""
        if self.limit is None or time.monotonic() - self.start < self.limit * (self.part + 1) / self.n_parts:
            return False
        self.cut = True
        return True

    def next_round(self) -> None:
        """Start the time of the next round."""
        self.part += 1
