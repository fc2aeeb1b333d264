"""Regression: how thinly the data lie around the row, where a large residual says less.

Sees: the distance to its nearest rows. Wrong when: everything: it marks rows that are hard for want of examples, not wrong ones.
Sample: 0.5 in the middle of the data, 0.9 where neighbours are nine times as far.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, squashed


def score(view: View) -> np.ndarray:
    """Regression: how thinly the data lie around the row, where a large residual says less.

    Sees: the distance to its nearest rows. Wrong when: everything: it marks rows that are hard for want of examples, not wrong ones.
    Sample: 0.5 in the middle of the data, 0.9 where neighbours are nine times as far.

    Returns: (N,) float32: logistic of the log ratio of distances.
    """
    return squashed(view.column("isolation"))
