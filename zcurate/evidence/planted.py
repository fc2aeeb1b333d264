"""Planted label errors: rows that a round trains on under a label known to be wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASS_KINDS = ("uniform", "confused", "boundary")
TARGET_KINDS = ("swap", "shift", "scale")


@dataclass(frozen=True)
class Planted:
    """Planted label errors of one round."""

    row: np.ndarray
    """(P,) int64, positions in the encoded rows."""
    label: np.ndarray
    """(P,) int64 class or float32 standardised target that replaces the given one in training."""
    kind: np.ndarray
    """(P,) str, kind of error: one of `CLASS_KINDS` or `TARGET_KINDS`."""

    @staticmethod
    def none() -> Planted:
        """Return an empty set of planted errors."""
        return Planted(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, "U8"))

    def of(self, selected: np.ndarray) -> Planted:
        """Return some of the errors.

        Args:
            selected: (P,) bool.
        """
        return self if selected.all() else Planted(self.row[selected], self.label[selected], self.kind[selected])
