"""Draw charts with characters: a curve over the epochs against two bands, bars, and histograms.

The shade of a cell says which bands pass through it, a mark where the curve is; an arrow at the edge stands for a value beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEVELS = 8
"""Lines of a chart."""
WIDTH = 64
"""Columns of a chart at most."""
MAX_PER_EPOCH = 4
"""Columns of an epoch at most."""
MARK, ABOVE, BELOW = "●", "▲", "▼"
"""Where the curve is, and where it is above or below the chart."""
SHADES = {(False, False): " ", (True, False): "░", (False, True): "·", (True, True): "▒"}
"""(in the first band, in the second) -> shade."""
LABEL = 9
"""Width of the axis labels."""
EIGHTHS = " ▏▎▍▌▋▊▉"
"""Blocks of 0 to 7 eighths of a cell, from the left."""
HEIGHTS = " ▁▂▃▄▅▆▇█"
"""Blocks of 0 to 8 eighths of a cell, from below."""


def chart(curve: Sequence[float | None], first: dict[str, list[float]] | None, second: dict[str, list[float]] | None, width: int = WIDTH) -> list[str]:
    """Draw a curve against two bands: `LEVELS` lines, and the epochs below.

    Args:
        curve: a value per epoch, E in all.
        first: `low` and `high` per epoch; None, or epochs beyond its end, have no band.
        second: the other band.
        width: columns at most.
    """
    n = len(curve)
    n_cells = min(n, width)
    values = pool_epochs(padded(curve, n), n_cells)
    bands = [
        pool_epochs(np.stack([padded(band["low"], n), padded(band["high"], n)], 1) if band else np.full((n, 2), np.nan), n_cells) for band in (first, second)
    ]
    low, high = axis(values, *bands)
    cell_width = max(1, min(MAX_PER_EPOCH, width // n_cells))
    lines = []
    for line in range(LEVELS - 1, -1, -1):
        cells = "".join(cell(line, values[at], bands[0][at], bands[1][at], low, high) * cell_width for at in range(n_cells))
        label = high if line == LEVELS - 1 else low if line == 0 else None
        lines.append(f"{axis_label(label):>{LABEL}} {cells.rstrip()}")
    last = f"{n}"
    return [*lines, f"{'epoch':>{LABEL}} 1{last:>{max(len(last) + 1, n_cells * cell_width - 1)}}"]


def padded(values: Sequence[float | None] | None, n: int) -> np.ndarray:
    """Convert values to (n,) float64, NaN where missing.

    Args:
        values: beyond n they are cut off; None is missing.
        n: length.
    """
    known = [np.nan if value is None else value for value in (values or ())][:n]
    return np.array(known + [np.nan] * (n - len(known)), np.float64)


def pool_epochs(values: np.ndarray, n_cells: int) -> np.ndarray:
    """Average neighboring epochs, ignoring unknown values.

    Args:
        values: (E, ...) with E >= n_cells.
        n_cells: groups.

    Returns:
        (n_cells, ...) float64, NaN where all are unknown.
    """
    if len(values) == n_cells:
        return values
    parts = np.array_split(values, n_cells)
    known = [np.maximum((~np.isnan(part)).sum(0), 1) for part in parts]
    return np.array([np.where(np.isnan(part).all(0), np.nan, np.nansum(part, 0) / n) for part, n in zip(parts, known, strict=True)])


def axis(curve: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Choose the ends of the axis: those of the bands, extended to the curve by at most the bands' own width on each side.

    Args:
        curve: (E,) float64, NaN = unknown, as in the bands.
        first: (E, 2) lower and upper end of one band.
        second: (E, 2) of the other.
    """
    bands = np.concatenate([first.ravel(), second.ravel()])
    if np.isnan(bands).all():
        bands = curve
    low, high = float(np.nanmin(bands)), float(np.nanmax(bands))
    span = max(high - low, 1e-6)
    if not np.isnan(curve).all():
        low, high = min(low, max(float(np.nanmin(curve)), low - span)), max(high, min(float(np.nanmax(curve)), high + span))
    return low, max(high, low + 1e-6)


def level(value: float, low: float, high: float, n_levels: int = LEVELS) -> int:
    """Find the line of a chart for a value, 0 = lowest; -1 and `n_levels` are outside.

    Args:
        value: finite.
        low: lower end of the axis.
        high: upper end, above `low`; belongs to the highest line.
        n_levels: lines.
    """
    if value > high:
        return n_levels
    if value < low:
        return -1
    return min(int((value - low) / (high - low) * n_levels), n_levels - 1)


def axis_label(value: float | None) -> str:
    """Format a number at the axis; empty for None."""
    return "" if value is None else f"{value:.3g}"


def cell(line: int, value: float, first: np.ndarray, second: np.ndarray, low: float, high: float) -> str:
    """Draw one character: the curve's mark, else the shade of the bands that pass through.

    Args:
        line: 0 = lowest.
        value: of the curve, NaN = none.
        first: (2,) ends of one band, NaN = none.
        second: (2,) ends of the other.
        low: lower end of the axis.
        high: upper end.
    """
    at = -9 if np.isnan(value) else level(value, low, high)
    if at == line:
        return MARK
    if at == LEVELS and line == LEVELS - 1:
        return ABOVE
    if at == -1 and line == 0:
        return BELOW
    inside = [not np.isnan(band).any() and level(band[0], low, high) <= line <= level(band[1], low, high) for band in (first, second)]
    return SHADES[inside[0], inside[1]]


def bar(share: float, width: int) -> str:
    """Draw a share of `width` cells as a horizontal bar, to an eighth of a cell.

    Args:
        share: 0 to 1.
        width: cells of a share of 1.
    """
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


def histogram(count: np.ndarray) -> str:
    """Draw counts as a row of vertical bars on a square-root scale, so that small bins stay visible.

    Args:
        count: (B,) int64.
    """
    scaled = np.sqrt(count / max(1, count.max()))
    return "".join(HEIGHTS[0 if n == 0 else max(1, round(s * 8))] for n, s in zip(count, scaled, strict=True))
