"""Signals from z-scores of the training error within its class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zcurate.evidence.evidence import LabelView, mean_over_epochs, squash


def class_z(view: LabelView) -> np.ndarray:
    """How far the row's training error lies above the mean of its class, in the class's standard deviations (signed z).

    Sees: the mean error over the epochs against the rows with the same given label. Wrong when: half of a class is wrong; then the wrong
    rows are its mean. Sample: 0.88 at two sigma, 0.5 at the mean.

    Returns: (N,) float32: logistic of z = (e - mean_c) / std_c; NaN where never trained on (METHODS 1.3).
    """
    return squash(z_within_class(view, mean_and_std))


def z_within_class(view: LabelView, statistics: Callable[[np.ndarray], tuple[float, float]]) -> np.ndarray:
    """(N,) float64 signed z of the mean error among the rows that share the label.

    Args:
        view: rows.
        statistics: centre and scale of one class's errors.
    """
    e, whole = mean_over_epochs(view, "error"), view.whole
    reference = mean_over_epochs(whole, "error")
    z = np.full(len(e), np.nan)
    for code in np.unique(view.label[view.label >= 0]):
        known = reference[(whole.label == code) & ~np.isnan(reference)]
        if len(known) > 2:
            centre, scale = statistics(known)
            mine = view.label == code
            z[mine] = (e[mine] - centre) / max(scale, 1e-6)
    return z


def mean_and_std(x: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation."""
    return float(x.mean()), float(x.std())


def class_z_robust(view: LabelView) -> np.ndarray:
    """As `class_z`, with the class's median and 1.4826 x median absolute deviation, which up to 30 % of wrong rows hardly move.

    Sees: the mean error over the epochs. Wrong when: most of a class is learned to the same error; then the deviation is tiny and right rows
    look far out. Sample: 0.88 at two robust sigma.

    Returns: (N,) float32: logistic of the robust z; NaN where never trained on (METHODS 1.7b).
    """
    return squash(z_within_class(view, median_and_mad))


def median_and_mad(x: np.ndarray) -> tuple[float, float]:
    """Median and 1.4826 x median absolute deviation."""
    middle = float(np.median(x))
    return middle, 1.4826 * float(np.median(np.abs(x - middle)))
