"""Detectors (public name: witnesses): measurements of the inputs that do not need a model; `zcurate.plugins.DETECTORS` lists them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from zcurate.encoding.encoded import EncodedRows


class DetectFunction(Protocol):
    """Contract of a detector."""

    def __call__(self, encoded: EncodedRows) -> dict[str, np.ndarray]:
        """Measure the rows; a detector decides nothing.

        Args:
            encoded: N rows.

        Returns:
            Column -> (N,) float, which signals find in `LabelView.columns`; NaN = unknown.
        """
