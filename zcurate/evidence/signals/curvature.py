"""How much the loss bends while training (instance-dependent early stopping, arXiv:2502.07547).

Sees: the mean absolute second difference of the loss. Wrong when: the loss is flat and high: such a row is the most suspicious of all,
and this clue alone does not see it. Sample: 0.6 at one nat.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, losses, squashed


def score(view: View) -> np.ndarray:
    """How much the loss bends while training (instance-dependent early stopping, arXiv:2502.07547).

    Sees: the mean absolute second difference of the loss. Wrong when: the loss is flat and high: such a row is the most suspicious of all,
    and this clue alone does not see it. Sample: 0.6 at one nat.

    Returns: (N,) float32: logistic of the log of the mean |second difference|; NaN where never trained on or under three epochs.
    """
    loss = losses(view)
    if len(loss) < 3:
        return np.full(loss.shape[1], np.nan, np.float32)
    bend = np.abs(np.diff(loss, 2, axis=0))
    seen = (~np.isnan(bend)).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return squashed(np.log(np.nansum(bend, 0) / np.where(seen > 0, seen, np.nan)))
