"""Signals (public name: clues): functions of the evidence that score how suspicious each label is; `zcurate.plugins.SIGNALS` lists them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from zcurate.evidence.evidence import LabelView


class SignalFunction(Protocol):
    """Contract of a signal."""

    def __call__(self, view: LabelView) -> np.ndarray:
        """Score the rows of a view.

        Args:
            view: N rows under labels to be judged.

        Returns:
            (N,) float32 in [0, 1]: 1.0 = suspicious, NaN = unknown. `heldout_residual` and `training_residual` are odds / (1 + odds) of a spread.
        """
