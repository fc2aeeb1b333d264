"""Regression: signals from residuals."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView


def signed_residual(view: LabelView) -> np.ndarray:
    """(N,) float64 held-out residual in predicted scales; NaN where unlabelled."""
    location, log_scale = np.asarray(view.heldout).T.astype(np.float64)
    return (view.label - location) * np.exp(-log_scale)


def conformal(view: LabelView) -> np.ndarray:
    """Regression: where the target falls among the targets that other rows' residuals allow at this place (TRIAGE, NeurIPS 2023).

    Sees: the signed held-out residual in predicted scales, ranked among all rows': a conformal predictive distribution, normalised by the
    predicted scale. Wrong when: residuals lean to one side in one region only. Sample: 0.98 for a target above 99 % of what is expected.

    Returns: (N,) float32: |2 P(Y <= y) - 1|; NaN where unlabelled.
    """
    whole = signed_residual(view.whole)
    reference = np.sort(whole[~np.isnan(whole)])
    mine = signed_residual(view)
    place = (np.searchsorted(reference, mine, "left") + np.searchsorted(reference, mine, "right")) / 2 / max(1, len(reference))
    return np.where(np.isnan(mine), np.nan, np.abs(2 * place - 1)).astype(np.float32)


def residual_scale(view: LabelView) -> np.ndarray:
    """(N,) float64: absolute held-out residual in predicted scales; NaN where unlabelled."""
    location, log_scale = np.asarray(view.heldout).T.astype(np.float64)
    return np.minimum(np.abs(view.label - location) * np.exp(-log_scale), 1e9)


def heldout_residual(view: LabelView) -> np.ndarray:
    """Regression: how far the target lies from what members that never saw it predict, in units of the spread they predict there.

    Sees: held-out location and scale. Wrong when: whole regions are noisy and the predicted scale misses it.
    Sample: 0.5 at one predicted scale, 0.9 at nine.

    Returns: (N,) float32: spread / (1 + spread).
    """
    far = residual_scale(view)
    return (far / (1 + far)).astype(np.float32)


def training_residual(view: LabelView) -> np.ndarray:
    """Regression: how far the target stays from the prediction of the members that train on it, in predicted scales.

    Sees: the mean over the epochs up to the best held-out ones. Wrong when: a wild target has been memorised from the start.
    Sample: 0.5 at one predicted scale, 0.9 at nine.

    Returns: (N,) float32: spread / (1 + spread); NaN where never trained on.
    """
    far = view.columns["spread_best"]
    return (far / (1 + far)).astype(np.float32)
