"""Regression signals from residuals."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView


def signed_residual(view: LabelView) -> np.ndarray:
    """Compute the held-out residual in predicted scales: (N,) float64, NaN where unlabelled."""
    location, log_scale = np.asarray(view.heldout).T.astype(np.float64)
    return (view.label - location) * np.exp(-log_scale)


def conformal(view: LabelView) -> np.ndarray:
    """Locate the target in the conformal predictive distribution.

    Uses the signed held-out residual in predicted scales, ranked among those of all rows. Misled when residuals are skewed in one region only. A target
    above 99 % of what is expected scores 0.98.

    Returns:
        (N,) float32: |2 P(Y <= y) - 1|; NaN where unlabelled.

    Source: TRIAGE, NeurIPS 2023.
    """
    population = signed_residual(view.population)
    reference = np.sort(population[~np.isnan(population)])
    residual = signed_residual(view)
    percentile = (np.searchsorted(reference, residual, "left") + np.searchsorted(reference, residual, "right")) / 2 / max(1, len(reference))
    return np.where(np.isnan(residual), np.nan, np.abs(2 * percentile - 1)).astype(np.float32)


def residual_scale(view: LabelView) -> np.ndarray:
    """Compute the absolute held-out residual in predicted scales: (N,) float64, NaN where unlabelled."""
    location, log_scale = np.asarray(view.heldout).T.astype(np.float64)
    return np.minimum(np.abs(view.label - location) * np.exp(-log_scale), 1e9)


def heldout_residual(view: LabelView) -> np.ndarray:
    """Measure how far the target lies from the held-out prediction, in predicted scales.

    Uses held-out location and scale. Misled when a whole region is noisy and the predicted scale misses that. One predicted scale scores 0.5,
    nine score 0.9.

    Returns:
        (N,) float32: residual / (1 + residual); NaN where unlabelled.
    """
    residual = residual_scale(view)
    return (residual / (1 + residual)).astype(np.float32)


def training_residual(view: LabelView) -> np.ndarray:
    """Measure how far the target stays from the prediction of the members that train on it, in predicted scales.

    Uses the mean over the epochs up to the best held-out predictions. Misled when an extreme target was memorized from the start. One predicted
    scale scores 0.5, nine score 0.9.

    Returns:
        (N,) float32: residual / (1 + residual); NaN where never trained on.
    """
    residual = view.columns["spread_best"]
    return (residual / (1 + residual)).astype(np.float32)
