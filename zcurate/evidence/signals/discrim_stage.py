"""Where the row's loss history ends against DiscrimLoss's moving threshold (arXiv:2208.09884, METHODS 2.1).

Sees: the bias-corrected moving average of the loss over the running mean k. Wrong when: few epochs. Sample: below one half for easy rows
(below k), above for rows that end beyond 1.5 k, where the loss holds labels for wrong.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, losses, squashed

MEMORY, FAR = 0.9, 1.5


def score(view: View) -> np.ndarray:
    """Where the row's loss history ends against DiscrimLoss's moving threshold (arXiv:2208.09884, METHODS 2.1).

    Sees: the bias-corrected moving average of the loss over the running mean k. Wrong when: few epochs. Sample: below one half for easy rows
    (below k), above for rows that end beyond 1.5 k, where the loss holds labels for wrong.

    Returns: (N,) float32: logistic of log(lbar / (1.5 k)) at the end; NaN where never trained on.
    """
    loss, whole = losses(view), losses(view.whole)
    with np.errstate(divide="ignore", invalid="ignore"):
        return squashed(np.log(history(loss) / (FAR * np.nanmean(history(whole)))))


def history(loss: np.ndarray) -> np.ndarray:
    """(N,) float64: bias-corrected moving average of the loss, newest counting most."""
    weight = (1 - MEMORY) * MEMORY ** np.arange(len(loss) - 1, -1, -1)
    known = ~np.isnan(loss)
    return (weight[:, None] * np.nan_to_num(loss)).sum(0) / np.maximum((weight[:, None] * known).sum(0), 1e-12) / known.any(0)
