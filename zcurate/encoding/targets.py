"""Labels as class codes or standardized targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zcurate.data import labels
from zcurate.data.dataset import Dataset

MAX_TARGET = 1e6
"""Standardized targets are clipped to this magnitude; beyond it all are equally implausible."""


@dataclass(frozen=True)
class TargetScale:
    """Invertible map between targets and standardized targets.

    It goes through quantiles, so that no outlier determines the scale.
    """

    value: np.ndarray
    """(Q,) float64 increasing targets in the user's unit."""
    score: np.ndarray
    """(Q,) float64 increasing standardized targets."""

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Standardize (N,) targets; linear beyond the ends."""
        return interpolate(y, self.value, self.score)

    def back(self, score: np.ndarray) -> np.ndarray:
        """Convert (N,) standardized targets back to targets."""
        return interpolate(score, self.score, self.value)


def interpolate(x: np.ndarray, from_points: np.ndarray, to_points: np.ndarray) -> np.ndarray:
    """Apply the piecewise-linear map through the given points.

    Beyond the ends it is extrapolated with the mean slope of the whole map.

    Args:
        x: (N,).
        from_points: (Q,) increasing.
        to_points: (Q,) increasing.

    Returns:
        (N,) float64.
    """
    inside = np.interp(x, from_points, to_points)
    slope = (to_points[-1] - to_points[0]) / (from_points[-1] - from_points[0])
    beyond = np.where(x < from_points[0], x - from_points[0], np.where(x > from_points[-1], x - from_points[-1], 0.0))
    return inside + slope * beyond


def fit_target_scale(y: np.ndarray) -> TargetScale:
    """Fit the scale to the range between the 5 % and 95 % quantiles.

    The range is 3.29 standard deviations of a normal distribution.

    Args:
        y: (N,) float64 targets without missing ones.
    """
    low, median, high = np.quantile(y, [0.05, 0.5, 0.95])
    scale = (high - low) / 3.29 or float(np.std(y)) or 1.0
    return TargetScale(np.array([median - scale, median + scale]), np.array([-1.0, 1.0]))


def class_codes(data: Dataset) -> np.ndarray:
    """Encode the given classes of all rows.

    Args:
        data: N rows.

    Returns:
        (N,) int64, -1 = unlabelled; all 0 for regression.
    """
    return labels.class_codes(data.given, data.task)
