"""Regression: how far the target stays from the prediction of the members that train on it, in predicted scales.

Sees: the mean over the epochs up to the best held-out ones. Wrong when: a wild target has been memorised from the start.
Sample: 0.5 at one predicted scale, 0.9 at nine.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """Regression: how far the target stays from the prediction of the members that train on it, in predicted scales.

    Sees: the mean over the epochs up to the best held-out ones. Wrong when: a wild target has been memorised from the start.
    Sample: 0.5 at one predicted scale, 0.9 at nine.

    Returns: (N,) float32: spread / (1 + spread); NaN where never trained on.
    """
    far = view.columns["spread_best"]
    return (far / (1 + far)).astype(np.float32)
