"""Regression: how far the target lies from the targets of the nearest rows, in units of how much those differ.

Sees: neighbours in the space of the standardised columns. Wrong when: many columns do not matter; then the nearest rows are not alike.
Sample: 0.5 at one spread, 0.9 at nine.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """Regression: how far the target lies from the targets of the nearest rows, in units of how much those differ.

    Sees: neighbours in the space of the standardised columns. Wrong when: many columns do not matter; then the nearest rows are not alike.
    Sample: 0.5 at one spread, 0.9 at nine.

    Returns: (N,) float32: |gap| / (1 + |gap|); NaN where there are no neighbours.
    """
    far = np.abs(view.column("neighbour_gap"))
    return (far / (1 + far)).astype(np.float32)
