"""In what share of the epochs the members that train on the row predicted another label (dataset cartography).

Sees: the sign of the margin at each epoch. Wrong when: few epochs; then it has few values.
Sample: 1.0 for a row that was never predicted right.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """In what share of the epochs the members that train on the row predicted another label (dataset cartography).

    Sees: the sign of the margin at each epoch. Wrong when: few epochs; then it has few values.
    Sample: 1.0 for a row that was never predicted right.

    Returns: (N,) float32 share of the epochs with a margin at or below zero; NaN where never trained on.
    """
    margin = view.curves["margin"]
    seen = (~np.isnan(margin)).sum(0)
    with np.errstate(invalid="ignore"):
        return ((margin <= 0).sum(0) / np.where(seen > 0, seen, np.nan)).astype(np.float32)
