"""A curve over the epochs against two bands, as lines of characters.

Leaves: lines of text, one mark or shade per cell. Enters: plain numbers. A cell's shade says which bands pass through it, a mark where
the curve is; a mark at the rim that points outwards stands for a value beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEVELS = 8
"""Lines of a chart."""
WIDTH = 64
"""Cells of a chart at most."""
MAX_PER_EPOCH = 4
MARK, ABOVE, BELOW = "●", "▲", "▼"
SHADES = {(False, False): " ", (True, False): "░", (False, True): "·", (True, True): "▒"}
"""(in the first band, in the second) -> shade."""
LABEL = 9
"""Width of the numbers at the left."""
EIGHTHS = " ▏▎▍▌▋▊▉"


def level(value: float, low: float, high: float, n_levels: int = LEVELS) -> int:
    """Which line of a chart a value falls on, 0 = lowest; -1 and `n_levels` lie outside.

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


def axis(curve: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Both ends of the axis: as wide as bands and curve, but a curve far off moves an end by no more than the bands' own width.

    Args:
        curve: (E,) float64, NaN = unknown; so are the bands.
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


def padded(values: Sequence[float | None] | None, n: int) -> np.ndarray:
    """(n,) float64, NaN for what is missing.

    Args:
        values: at most n count; None is no value.
        n: length.
    """
    known = [np.nan if value is None else value for value in (values or ())][:n]
    return np.array(known + [np.nan] * (n - len(known)), np.float64)


def pool_epochs(values: np.ndarray, n_cells: int) -> np.ndarray:
    """(n_cells, ...) float64 means of neighbouring epochs, without the unknown ones.

    Args:
        values: (E, ...) with E >= n_cells.
        n_cells: groups.
    """
    if len(values) == n_cells:
        return values
    parts = np.array_split(values, n_cells)
    known = [np.maximum((~np.isnan(part)).sum(0), 1) for part in parts]
    return np.array([np.where(np.isnan(part).all(0), np.nan, np.nansum(part, 0) / n) for part, n in zip(parts, known, strict=True)])


def chart(curve: Sequence[float | None], first: dict[str, list[float]] | None, second: dict[str, list[float]] | None, width: int = WIDTH) -> list[str]:
    """A curve against two bands, `LEVELS` lines and the epochs below.

    Args:
        curve: a value per epoch, E in all.
        first: `low` and `high` per epoch; fewer epochs than E, or None, leave the rest open.
        second: the other band.
        width: cells at most.
    """
    n = len(curve)
    n_cells = min(n, width)
    mine = pool_epochs(padded(curve, n), n_cells)
    bands = [
        pool_epochs(np.stack([padded(band["low"], n), padded(band["high"], n)], 1) if band else np.full((n, 2), np.nan), n_cells) for band in (first, second)
    ]
    low, high = axis(mine, *bands)
    each = max(1, min(MAX_PER_EPOCH, width // n_cells))
    lines = []
    for line in range(LEVELS - 1, -1, -1):
        cells = "".join(cell(line, mine[at], bands[0][at], bands[1][at], low, high) * each for at in range(n_cells))
        end = high if line == LEVELS - 1 else low if line == 0 else None
        lines.append(f"{number(end):>{LABEL}} {cells.rstrip()}")
    last = f"{n}"
    return [*lines, f"{'epoch':>{LABEL}} 1{last:>{max(len(last) + 1, n_cells * each - 1)}}"]


def number(value: float | None) -> str:
    """A number at an axis; nothing where there is none."""
    return "" if value is None else f"{value:.3g}"


def cell(line: int, value: float, first: np.ndarray, second: np.ndarray, low: float, high: float) -> str:
    """One character: the curve's mark, else the shade of the bands that pass through.

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
    """A share of `width` cells as blocks, to an eighth of a cell.

    Args:
        share: 0 to 1.
        width: cells of a share of 1.
    """
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
