"""What people expect to be told of their pictures besides wrong labels: too dark, too bright, blurred, of little information, of an odd shape, near-duplicates.

A finding is a reason and never a verdict. Thresholds come from the data: a picture is found where it lies far outside of what is usual among the others, and
beyond a bound that no ordinary picture is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FINDINGS = {
    "near_duplicate": "another picture is nearly the same",
    "duplicate_across_splits": "nearly the same picture is in another split",
    "too_dark": "the picture is darker than nearly all others",
    "too_bright": "the picture is brighter than nearly all others",
    "blurred": "the picture has less fine detail than nearly all others",
    "low_information": "the picture has fewer different tones than nearly all others",
    "odd_aspect": "the picture is much wider or higher than the others",
}
"""Stable codes, in the order in which reports list them, and their meaning."""
MEASURES = ("brightness_low", "brightness_high", "sharpness", "information", "aspect")
"""What is measured of each picture, in the order of `appearance`."""
CROP, GRID = 256, 64
"""Side of the part whose detail is measured, and rows and columns of pixels whose brightness is, at most."""
DEVIATIONS = 5.0
"""Robust standard deviations from the median beyond which a picture is unusual."""
MIN_SPREAD = {"brightness": 6.0, "sharpness": 0.12, "information": 0.25, "aspect": 0.1}
"""Least robust standard deviation that is assumed: levels, natural logarithms, bits, natural logarithms."""
DARK, BRIGHT, LOW_INFORMATION, ODD_ASPECT = 80.0, 175.0, 2.5, 0.5
"""Bounds: brightest level of a dark picture, darkest level of a bright one, bits of a picture of little information, and difference of the logarithm of width
by height from the median."""
MIN_PICTURES = 20
"""Pictures from which one knows what is usual."""


@dataclass(frozen=True)
class PictureFindings:
    """What was found of N pictures."""

    codes: tuple[tuple[str, ...], ...]
    """(N,) keys of `FINDINGS`."""
    group: np.ndarray
    """(N,) int64, number of the picture's group of near-duplicates; -1 for none."""

    def counts(self) -> dict[str, int]:
        """Number of pictures of each finding, and of groups of near-duplicates as `duplicate_groups`; nothing where nothing was found."""
        found = {code: sum(code in one for one in self.codes) for code in FINDINGS}
        n_groups = len(np.unique(self.group[self.group >= 0]))
        return {code: n for code, n in {**found, "duplicate_groups": n_groups}.items() if n}


def appearance(picture: np.ndarray) -> tuple[float, float, float, float, float]:
    """Measure a picture as it was decoded.

    Args:
        picture: (H, W) or (H, W, 3) uint8.

    Returns:
        `MEASURES`: 2 % and 98 % quantile of the brightness, 0 to 255; standard deviation of the Laplacian by that of the brightness; entropy of the brightness
        in 32 steps [bits]; width by height.
    """
    grey = picture if picture.ndim == 2 else (picture.sum(2, dtype=np.uint16) // 3).astype(np.uint8)
    height, width = grey.shape
    count = np.bincount(grey[:: -(-height // GRID), :: -(-width // GRID)].ravel(), minlength=256)
    total = count.cumsum()
    low, high = np.searchsorted(total, [0.02 * total[-1], 0.98 * total[-1]])
    top, left = max(0, height - CROP) // 2, max(0, width - CROP) // 2
    part = grey[top : top + CROP, left : left + CROP].astype(np.float32)
    laplacian = 4 * part[1:-1, 1:-1] - part[:-2, 1:-1] - part[2:, 1:-1] - part[1:-1, :-2] - part[1:-1, 2:]
    sharpness = float(laplacian.std() / (part.std() + 1.0)) if laplacian.size else float("nan")
    share = count.reshape(32, 8).sum(1) / total[-1]
    information = abs(float((share[share > 0] * np.log2(share[share > 0])).sum()))
    return float(low), float(high), sharpness, information, width / height


def find(measures: np.ndarray, group: np.ndarray, split: np.ndarray | None) -> PictureFindings:
    """Find unusual pictures and near-duplicates.

    Args:
        measures: (N, 5) `MEASURES` of each picture; NaN where it could not be read.
        group: (N,) int64 groups of near-duplicates; -1 for none.
        split: (N,) number of each picture's split; None without splits.
    """
    low, high, sharpness, information, aspect = measures.T.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        detail, shape = np.log(np.maximum(sharpness, 1e-3)), np.log(aspect)
        found = {
            "near_duplicate": group >= 0,
            "duplicate_across_splits": across(group, split),
            "too_dark": (unusual(high, MIN_SPREAD["brightness"]) < -DEVIATIONS) & (high < DARK),
            "too_bright": (unusual(low, MIN_SPREAD["brightness"]) > DEVIATIONS) & (low > BRIGHT),
            "blurred": unusual(detail, MIN_SPREAD["sharpness"]) < -DEVIATIONS,
            "low_information": (unusual(information, MIN_SPREAD["information"]) < -DEVIATIONS) & (information < LOW_INFORMATION),
            "odd_aspect": (np.abs(unusual(shape, MIN_SPREAD["aspect"])) > DEVIATIONS) & (np.abs(shape - median_of(shape)) > ODD_ASPECT),
        }
    rows = np.flatnonzero(np.any(list(found.values()), 0))
    codes: list[tuple[str, ...]] = [()] * len(group)
    for row in rows:
        codes[row] = tuple(code for code, which in found.items() if which[row])
    return PictureFindings(tuple(codes), group)


def unusual(value: np.ndarray, min_spread: float) -> np.ndarray:
    """Measure how far each value lies from the median, (N,) [robust standard deviations]; 0 where too few are known.

    One deviation is the range of the middle nine tenths by 3.29, as of a normal distribution: what a tenth of the pictures are is not unusual.

    Args:
        value: (N,), NaN = unknown.
        min_spread: least robust standard deviation.
    """
    known = value[np.isfinite(value)]
    if len(known) < MIN_PICTURES:
        return np.zeros(len(value))
    low, median, high = np.quantile(known, [0.05, 0.5, 0.95])
    return (value - median) / max(min_spread, float(high - low) / 3.29)


def median_of(value: np.ndarray) -> float:
    """Return the median of the known values; 0 where there are none."""
    known = value[np.isfinite(value)]
    return float(np.median(known)) if len(known) else 0.0


def across(group: np.ndarray, split: np.ndarray | None) -> np.ndarray:
    """Select the pictures whose group of near-duplicates lies in several splits, (N,) bool.

    Args:
        group: (N,) int64, -1 for none.
        split: (N,) number of each picture's split; None without splits.
    """
    out = np.zeros(len(group), bool)
    if split is None:
        return out
    for one in np.unique(group[group >= 0]):
        members = group == one
        out[members] = len(np.unique(split[members])) > 1
    return out
