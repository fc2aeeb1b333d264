"""Uncertainty that training does not remove: mean of p (1 - p) of the given label over the epochs (Data-IQ, arXiv:2210.13043).

Sees: the probability of the given label at each epoch. Wrong when: everything: it marks ambiguous rows, not wrong ones.
Sample: 1.0 for a row at one half throughout, 0.36 at .9.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, own_probabilities


def score(view: View) -> np.ndarray:
    """Uncertainty that training does not remove: mean of p (1 - p) of the given label over the epochs (Data-IQ, arXiv:2210.13043).

    Sees: the probability of the given label at each epoch. Wrong when: everything: it marks ambiguous rows, not wrong ones.
    Sample: 1.0 for a row at one half throughout, 0.36 at .9.

    Returns: (N,) float32: 4 mean_t p_t (1 - p_t); NaN where never trained on.
    """
    p = own_probabilities(view)
    seen = (~np.isnan(p)).sum(0)
    with np.errstate(invalid="ignore"):
        return (4 * np.nansum(p * (1 - p), 0) / np.where(seen > 0, seen, np.nan)).astype(np.float32)
