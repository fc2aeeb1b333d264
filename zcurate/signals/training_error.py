"""How badly the members that train on the row fit its label, while they were still learning what generalises.

Sees: the mean log-odds against the given label up to the epoch at which held-out predictions were best, so what was memorised
later does not count. Wrong when: wrong labels are easy to learn (a column that leaks them).
Sample: 0.9 for a row whose label the members resist, 0.01 for one that they learn at once.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence import View

needs = ("error_best",)


def score(view: View) -> np.ndarray:
    """(N,) float32: the mean error as a probability; NaN where never trained on."""
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-view.columns["error_best"]))).astype(np.float32)
