"""Regression: how far the target lies from what members that never saw it predict, in units of the spread they predict there.

Sees: held-out location and scale. Wrong when: whole regions are noisy and the predicted scale misses it.
Sample: 0.5 at one predicted scale, 0.9 at nine.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def spread(view: View) -> np.ndarray:
    """(N,) float64: absolute held-out residual in predicted scales; NaN where unlabelled."""
    location, log_scale = np.asarray(view.heldout).T.astype(np.float64)
    return np.minimum(np.abs(view.label - location) * np.exp(-log_scale), 1e9)


def score(view: View) -> np.ndarray:
    """Regression: how far the target lies from what members that never saw it predict, in units of the spread they predict there.

    Sees: held-out location and scale. Wrong when: whole regions are noisy and the predicted scale misses it.
    Sample: 0.5 at one predicted scale, 0.9 at nine.

    Returns: (N,) float32: spread / (1 + spread).
    """
    far = spread(view)
    return (far / (1 + far)).astype(np.float32)
