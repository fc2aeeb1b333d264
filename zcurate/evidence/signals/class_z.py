"""How far the row's training error lies above the mean of its class, in the class's standard deviations (signed z).

Sees: the mean error over the epochs against the rows with the same given label. Wrong when: half of a class is wrong; then the wrong
rows are its mean. Sample: 0.88 at two sigma, 0.5 at the mean.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zcurate.evidence.evidence import View, mean_over_epochs, squashed


def score(view: View) -> np.ndarray:
    """How far the row's training error lies above the mean of its class, in the class's standard deviations (signed z).

    Sees: the mean error over the epochs against the rows with the same given label. Wrong when: half of a class is wrong; then the wrong
    rows are its mean. Sample: 0.88 at two sigma, 0.5 at the mean.

    Returns: (N,) float32: logistic of z = (e - mean_c) / std_c; NaN where never trained on (METHODS 1.3).
    """
    return squashed(class_z(view, mean_and_std))


def class_z(view: View, statistics: Callable[[np.ndarray], tuple[float, float]]) -> np.ndarray:
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
