"""Regression: where the target falls among the targets that other rows' residuals allow at this place (TRIAGE, NeurIPS 2023).

Sees: the signed held-out residual in predicted scales, ranked among all rows': a conformal predictive distribution, normalised by the
predicted scale. Wrong when: residuals lean to one side in one region only. Sample: 0.98 for a target above 99 % of what is expected.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def signed(view: View) -> np.ndarray:
    """(N,) float64 held-out residual in predicted scales; NaN where unlabelled."""
    location, log_scale = np.asarray(view.heldout).T.astype(np.float64)
    return (view.label - location) * np.exp(-log_scale)


def score(view: View) -> np.ndarray:
    """Regression: where the target falls among the targets that other rows' residuals allow at this place (TRIAGE, NeurIPS 2023).

    Sees: the signed held-out residual in predicted scales, ranked among all rows': a conformal predictive distribution, normalised by the
    predicted scale. Wrong when: residuals lean to one side in one region only. Sample: 0.98 for a target above 99 % of what is expected.

    Returns: (N,) float32: |2 P(Y <= y) - 1|; NaN where unlabelled.
    """
    whole = signed(view.whole)
    reference = np.sort(whole[~np.isnan(whole)])
    mine = signed(view)
    place = (np.searchsorted(reference, mine, "left") + np.searchsorted(reference, mine, "right")) / 2 / max(1, len(reference))
    return np.where(np.isnan(mine), np.nan, np.abs(2 * place - 1)).astype(np.float32)
