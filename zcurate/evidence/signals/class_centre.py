"""Whether the row lies nearer to another class's centre than to its own (tied covariance Mahalanobis, METHODS 4.8).

Sees: distances in the learned feature space of the member that never trained on the row. Wrong when: classes fall into several clusters.
Sample: 0.5 at equal distances.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, squashed


def score(view: View) -> np.ndarray:
    """Whether the row lies nearer to another class's centre than to its own (tied covariance Mahalanobis, METHODS 4.8).

    Sees: distances in the learned feature space of the member that never trained on the row. Wrong when: classes fall into several clusters.
    Sample: 0.5 at equal distances.

    Returns: (N,) float32: logistic of the distance to the own centre minus that to the nearest other; NaN where there are none.
    """
    return squashed(view.column("centre_own") - view.column("centre_other"))
