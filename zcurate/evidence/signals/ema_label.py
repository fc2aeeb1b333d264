"""What label a moving average of the members' predictions prefers (early-learning regularisation, arXiv:2007.00151).

Sees: the probability of the given label and of its best rival at each epoch, averaged with weight .7 on the past. Wrong when: the run
ends in memorising. Sample: 0.9 where the rival holds .8 more than the given label.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View

MEMORY = 0.7


def score(view: View) -> np.ndarray:
    """What label a moving average of the members' predictions prefers (early-learning regularisation, arXiv:2007.00151).

    Sees: the probability of the given label and of its best rival at each epoch, averaged with weight .7 on the past. Wrong when: the run
    ends in memorising. Sample: 0.9 where the rival holds .8 more than the given label.

    Returns: (N,) float32: (1 - EMA of p_y - p_rival) / 2; NaN where never trained on.
    """
    error, margin = view.curves["error"], view.curves["margin"]
    with np.errstate(over="ignore"):
        ahead = (1 - np.exp(-margin)) / (1 + np.exp(error))
    average = np.zeros(error.shape[1])
    for now in ahead:
        average = MEMORY * average + (1 - MEMORY) * np.clip(np.nan_to_num(now), -1, 1)
    return np.where(np.isnan(error).all(0), np.nan, (1 - average) / 2).astype(np.float32)
