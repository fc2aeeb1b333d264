"""Signals from z-scores of the training error within its class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zcurate.evidence.evidence import LabelView, logistic, mean_over_epochs


def class_z(view: LabelView) -> np.ndarray:
    """Standardise the row's training error within its class.

    Uses the error averaged over the epochs, compared with the rows of the same given label. Misled when half of a class is wrong: then the wrong
    rows dominate its mean. Two standard deviations score 0.88, the mean 0.5.

    Returns:
        (N,) float32: logistic of the signed z = (e - mean_c) / std_c; NaN where never trained on.

    Source: METHODS 1.3.
    """
    return logistic(z_within_class(view, mean_and_std))


def z_within_class(view: LabelView, statistics: Callable[[np.ndarray], tuple[float, float]]) -> np.ndarray:
    """Compute the signed z-score of the mean error among the rows with the same label: (N,) float64.

    Args:
        view: N rows.
        statistics: computes the center and scale of one class's errors.
    """
    error, population = mean_over_epochs(view, "error"), view.population
    reference = mean_over_epochs(population, "error")
    z = np.full(len(error), np.nan)
    for code in np.unique(view.label[view.label >= 0]):
        known = reference[(population.label == code) & ~np.isnan(reference)]
        if len(known) > 2:
            center, scale = statistics(known)
            rows = view.label == code
            z[rows] = (error[rows] - center) / max(scale, 1e-6)
    return z


def mean_and_std(x: np.ndarray) -> tuple[float, float]:
    """Compute mean and standard deviation."""
    return float(x.mean()), float(x.std())


def class_z_robust(view: LabelView) -> np.ndarray:
    """Standardise the row's training error within its class by median and 1.4826 x median absolute deviation.

    Uses the error averaged over the epochs; up to 30 % of wrong rows hardly move these statistics. Misled when most of a class is learned to the same
    error: then the deviation is tiny and right rows look extreme. Two robust standard deviations score 0.88.

    Returns:
        (N,) float32: logistic of the robust z; NaN where never trained on.

    Source: METHODS 1.7b.
    """
    return logistic(z_within_class(view, median_and_mad))


def median_and_mad(x: np.ndarray) -> tuple[float, float]:
    """Compute the median and 1.4826 x the median absolute deviation."""
    median = float(np.median(x))
    return median, 1.4826 * float(np.median(np.abs(x - median)))
