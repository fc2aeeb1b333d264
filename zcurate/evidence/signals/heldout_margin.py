"""How clearly members that never saw the row prefer another class to the given one.

Sees: held-out probabilities alone. Wrong when: the model has little skill on the row's region; then it is near 0.5 for all.
Sample: 0.97 where another class has .95 and the given one .01; 0.02 the other way round.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View
from zcurate.evidence.noise_model import margins


def margin(view: View) -> np.ndarray:
    """(N,) float32: p(given) - max p(other); for unlabelled rows best minus second best."""
    return margins(view.heldout, view.label)


def score(view: View) -> np.ndarray:
    """How clearly members that never saw the row prefer another class to the given one.

    Sees: held-out probabilities alone. Wrong when: the model has little skill on the row's region; then it is near 0.5 for all.
    Sample: 0.97 where another class has .95 and the given one .01; 0.02 the other way round.

    Returns: (N,) float32: (1 - margin) / 2; NaN where unlabelled.
    """
    return np.where(view.label >= 0, (1 - margin(view)) / 2, np.nan).astype(np.float32)
