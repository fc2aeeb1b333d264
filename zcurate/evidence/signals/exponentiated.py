"""The weight that exponentiated-gradient reweighting would take from the row (arXiv:2104.01493): w ~ exp(-eta sum of losses).

Sees: the summed loss; the same order as the mean loss, capped as the method needs. Wrong when: the row is merely difficult.
Sample: 0.95 for a summed loss of three.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, losses

ETA = 1.0


def score(view: View) -> np.ndarray:
    """The weight that exponentiated-gradient reweighting would take from the row (arXiv:2104.01493): w ~ exp(-eta sum of losses).

    Sees: the summed loss; the same order as the mean loss, capped as the method needs. Wrong when: the row is merely difficult.
    Sample: 0.95 for a summed loss of three.

    Returns: (N,) float32: 1 - exp(-eta mean loss); NaN where never trained on.
    """
    loss = losses(view)
    seen = (~np.isnan(loss)).sum(0)
    with np.errstate(invalid="ignore"):
        return (1 - np.exp(-ETA * np.nansum(loss, 0) / np.where(seen > 0, seen, np.nan))).astype(np.float32)
