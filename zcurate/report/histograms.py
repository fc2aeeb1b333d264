"""Histograms of what rows did while the model learned, by verdict: for the terminal, the page and notebooks. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zcurate.report.report import Report
from zcurate.report.select import floats

TITLES = {"z_score": "mean z-score while training", "mask_frequency": "share of training steps in which it was masked"}
"""Column of the report -> what it is, in words."""
MIN_WIDTH = 1e-6
"""Of the range, where all values are equal."""


@dataclass(frozen=True)
class Histogram:
    """Counts of one column in B bins of equal width, by verdict."""

    column: str
    """Of the report, a key of `TITLES`."""
    low: float
    """Left end of the first bin, which also counts what is below."""
    high: float
    """Right end of the last bin, which also counts what is above."""
    counts: dict[str, np.ndarray]
    """Verdict -> (B,) int64, for verdicts with rows."""

    @property
    def title(self) -> str:
        """What is counted, in words."""
        return TITLES[self.column]

    @property
    def bars(self) -> dict[str, list[float]]:
        """Verdict -> (B) counts relative to its largest one."""
        return {word: (count / count.max()).tolist() for word, count in self.counts.items()}


def histograms(report: Report, words: tuple[str, ...], n_bins: int) -> list[Histogram]:
    """Count z-scores and mask frequencies; columns without a value are left out.

    Args:
        report: a scan's result.
        words: verdicts, in the order of the result.
        n_bins: B.
    """
    found = []
    for column in TITLES:
        values = floats(report.table.column(column))
        known = np.isfinite(values)
        if not known.any():
            continue
        low, high = np.quantile(values[known], [0.001, 0.999])
        high = max(high, low + MIN_WIDTH)
        counts = {word: np.histogram(np.clip(values[known & report.called(word)], low, high), bins=n_bins, range=(low, high))[0] for word in words}
        found.append(Histogram(column, float(low), float(high), {word: count for word, count in counts.items() if count.any()}))
    return found
