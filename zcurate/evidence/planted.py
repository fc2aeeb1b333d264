"""Planted label errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASS_KINDS = ("uniform", "confused", "boundary")
TARGET_KINDS = ("swap", "shift", "scale")


@dataclass(frozen=True)
class Planted:
    """Rows whose label a round of members is shown wrong."""

    row: np.ndarray
    """(P,) int64, positions in the encoded rows."""
    shown: np.ndarray
    """(P,) int64 class or float32 standardised target that is shown instead."""
    kind: np.ndarray
    """(P,) str, how it was made wrong."""

    @staticmethod
    def none() -> Planted:
        """No planted row."""
        return Planted(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, "U8"))
