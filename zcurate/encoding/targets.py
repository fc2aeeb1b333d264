"""Labels as class codes or standardized targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.dataset import Dataset

MAX_TARGET = 1e6
"""Standardised targets are clipped here: further out all are equally impossible."""


@dataclass(frozen=True)
class TargetScale:
    """Targets to near-normal scores and back, through their quantiles: no single wild target can set the scale."""

    value: np.ndarray
    """(Q,) float64 increasing targets in the user's unit."""
    score: np.ndarray
    """(Q,) float64 increasing standardised targets."""

    def forward(self, y: np.ndarray) -> np.ndarray:
        """(N,) targets to standardised targets, straight lines beyond the ends."""
        return interpolate(y, self.value, self.score)

    def back(self, score: np.ndarray) -> np.ndarray:
        """(N,) standardised targets to targets."""
        return interpolate(score, self.score, self.value)


def interpolate(x: np.ndarray, at: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Piecewise-linear map through the points (at, to), continued with the slope of the whole beyond the ends."""
    inside = np.interp(x, at, to)
    slope = (to[-1] - to[0]) / (at[-1] - at[0])
    beyond = np.where(x < at[0], x - at[0], np.where(x > at[-1], x - at[-1], 0.0))
    return inside + slope * beyond


def fit_target_scale(y: np.ndarray) -> TargetScale:
    """Standardise by the spread between the 5 % and 95 % quantiles (3.29 deviations of a normal distribution).

    Args:
        y: (N,) float64 targets without missing ones.
    """
    low, middle, high = np.quantile(y, [0.05, 0.5, 0.95])
    spread = (high - low) / 3.29 or float(np.std(y)) or 1.0
    return TargetScale(np.array([middle - spread, middle + spread]), np.array([-1.0, 1.0]))


def class_codes(data: Dataset) -> np.ndarray:
    """(N,) int64 given classes, -1 = none; all 0 for regression.

    Args:
        data: N rows.
    """
    if not data.task.classes:
        return np.zeros(len(data.given), np.int64)
    return pc.fill_null(pc.index_in(data.given, value_set=pa.array(data.task.classes)), -1).to_numpy(zero_copy_only=False).astype(np.int64)
