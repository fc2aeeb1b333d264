"""Make the report's list columns for `explain`: curves over the epochs, percentile ranks of the clues, top held-out classes. No torch.

Also the bands of the planted errors' curves for the run card.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.arrays.chunk import chunk_slices
from zcurate.arrays.sort import top_k
from zcurate.evidence.evidence import Evidence, Round
from zcurate.evidence.heldout import Heldout, TopKProbabilities, take_rows
from zcurate.judge.judge import Verdicts

CURVES = ("loss", "margin", "z")
"""Per-epoch values of a row."""
BAND = (0.1, 0.5, 0.9)
"""Quantiles of a band: lower end, median and upper end."""
MOST_CLASSES = 3
"""Held-out classes listed for a row."""
DECIMALS = 3
"""Of every value in the lists."""
ROUNDING_ROWS = 200_000
"""Input rows above which curves keep at most three significant digits; a chart does not show more."""


def curve_of(curves: dict[str, np.ndarray], name: str, regression: bool, rows: np.ndarray | slice) -> np.ndarray:
    """Select or compute one of `CURVES` for some rows.

    Args:
        curves: as in `Round`.
        name: `loss` is computed from `error`: its softplus [nats] for classes, its absolute value for regression; the others are stored.
        regression: errors are signed.
        rows: (M,) to take.

    Returns:
        (E, M) float64; NaN where the row was not trained on.
    """
    if name != "loss":
        return curves[name][:, rows].astype(np.float64)
    error = curves["error"][:, rows].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.abs(error) if regression else np.logaddexp(0, error)


def columns(
    n_rows: int, row: np.ndarray, evidence: Evidence, verdicts: Verdicts, classes: tuple[str, ...], n_in_all: int
) -> list[Callable[[], dict[str, pa.Array]]]:
    """Make one function per group of `CURVE_COLUMNS` that builds these columns, so that they can run in threads.

    Args:
        n_rows: N input rows.
        row: (M,) position in the input of each encoded row.
        evidence: of the encoded rows.
        verdicts: of the encoded rows.
        classes: names in class order; empty for regression.
        n_in_all: rows of the whole report, of which these may be some.

    Returns:
        Functions independent of one another; their columns are (N,) lists, those of held-out classes only where there are classes.
    """
    percentiles, coarse = list(verdicts.percentiles.values()), n_in_all > ROUNDING_ROWS

    def curve_column(name: str) -> dict[str, pa.Array]:
        n_epochs = len(evidence.curves["error" if name == "loss" else name])
        return {f"{name}_curve": lists(scatter_rows(n_rows, row, lambda part: curve_of(evidence.curves, name, not classes, part), n_epochs, coarse))}

    def clues_column() -> dict[str, pa.Array]:
        return {"clues": lists(scatter_rows(n_rows, row, lambda part: np.stack([rank[part] for rank in percentiles]), len(percentiles)), whole=True)}

    def class_columns() -> dict[str, pa.Array]:
        return dict(zip(("top_classes", "top_probabilities"), best_classes(n_rows, row, evidence.heldout, classes), strict=True))

    return [*(partial(curve_column, name) for name in CURVES), clues_column, *([class_columns] if classes else [])]


def scatter_rows(n_rows: int, row: np.ndarray, values: Callable[[slice], np.ndarray], n_values: int, coarse: bool = False) -> np.ndarray:
    """Scatter values to their rows of the input, rounded to `DECIMALS`.

    Args:
        n_rows: N.
        row: (M,) positions in the input.
        values: returns (L, m) values of a slice of the M rows.
        n_values: L.
        coarse: round to 8 significant bits (two to three decimal digits) too: these compress better.

    Returns:
        (N, L) float32; NaN for the other rows and for values that are not finite.
    """
    out = np.full((n_rows, n_values), np.nan, np.float32)
    for part in chunk_slices(len(row), n_values):
        if n_values:
            block = np.round(np.asarray(values(part).T, np.float64, "C"), DECIMALS) + 0.0
            block[~np.isfinite(block)] = np.nan
            out[row[part]] = block
    if coarse:
        bits = out.view(np.uint32)
        bits += 0x8000
        bits &= 0xFFFF0000
    return out


def lists(values: np.ndarray, whole: bool = False) -> pa.Array:
    """Convert rows of values to lists that end with the last known value.

    Args:
        values: (N, L).
        whole: lists with any known value have length L.

    Returns:
        (N,) list<float32>, NaN as null; a list without known values is null.
    """
    n_rows, n_values = values.shape
    known = ~np.isnan(values)
    if n_values and known.all():
        return to_lists(pa.array(values.reshape(-1).astype(np.float32, copy=False)), np.full(n_rows, n_values))
    length = np.where(known.any(1), n_values if whole else n_values - known[:, ::-1].argmax(1) if n_values else 0, 0)
    flat = values[np.arange(n_values)[None] < length[:, None]].astype(np.float32, copy=False)
    return to_lists(pa.array(flat, from_pandas=True), length)


def to_lists(flat: pa.Array, length: np.ndarray, empty: bool = False) -> pa.Array:
    """Cut a flat array into (N,) consecutive lists.

    Args:
        flat: all values.
        length: (N,) number of values of each list.
        empty: a list of length 0 is empty instead of null.
    """
    offsets = np.zeros(len(length) + 1, np.int32)
    np.cumsum(length, out=offsets[1:])
    is_empty = length == 0
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=None if empty or not is_empty.any() else pa.array(is_empty))


def best_classes(n_rows: int, row: np.ndarray, heldout: Heldout, classes: tuple[str, ...]) -> tuple[pa.Array, pa.Array]:
    """List the `MOST_CLASSES` most probable held-out classes of each row, most probable first, and their probabilities.

    Args:
        n_rows: N.
        row: (M,) positions in the input of the encoded rows.
        heldout: (M, C) float32 probabilities.
        classes: C names.

    Returns:
        (N,) list<string> and (N,) list<float32>, null for rows that were not encoded.
    """
    n_best = min(MOST_CLASSES, len(classes))
    code, p = np.zeros((n_rows, n_best), np.int32), np.full((n_rows, n_best), np.nan, np.float32)
    for part in chunk_slices(len(row), len(classes)):
        block = take_rows(heldout, part)
        best = block.code()[:, :n_best] if isinstance(block, TopKProbabilities) else top_k(block.T.copy(), n_best).T
        p_best = block.p()[:, :n_best] if isinstance(block, TopKProbabilities) else np.take_along_axis(block, best, 1)
        code[row[part]] = best
        p[row[part]] = np.round(p_best.astype(np.float64), DECIMALS) + 0.0
    known = ~np.isnan(p).any(1)
    length = np.where(known, n_best, 0)
    names = pa.array(classes, pa.string()).take(pa.array(code[known].reshape(-1)))
    return to_lists(names, length), to_lists(pa.array(p[known].reshape(-1)), length)


def bands(rounds: tuple[Round, ...], regression: bool) -> dict[str, Any]:
    """Compute the bands of the planted errors' curves over all rounds.

    Later rounds may be shorter; their rows then count only in the epochs that they have.

    Args:
        rounds: R rounds over the same rows.
        regression: errors are signed.

    Returns:
        `planted`, the number of planted errors, and per curve `low`, `middle` and `high`, a value per epoch of the first round;
        empty when nothing was planted.
    """
    n_epochs = len(rounds[0].error)
    n_planted = sum(len(one.planted.row) for one in rounds)
    found: dict[str, Any] = {}
    for name in CURVES:
        parts = [curve_of(one.dynamics_of_planted()[1], name, regression, slice(None))[:n_epochs] for one in rounds]
        padded = [np.pad(part, ((0, n_epochs - len(part)), (0, 0)), constant_values=np.nan) for part in parts]
        found[name] = band(np.concatenate(padded, 1))
    return {"planted": n_planted, **found} if n_planted else {}


def band(curves: np.ndarray) -> dict[str, list[float]]:
    """Compute the `BAND` quantiles at each epoch, up to the first epoch in which no row is known.

    Args:
        curves: (E, N) float64, NaN = not trained on.

    Returns:
        `low`, `middle` and `high`, a value per epoch each.
    """
    finite = np.where(np.isfinite(curves), curves, np.nan)
    is_unknown = np.isnan(finite).all(1)
    n_epochs = int(is_unknown.argmax()) if is_unknown.any() else len(finite)
    quantiles = np.round(np.nanquantile(finite[:n_epochs], BAND, axis=1), DECIMALS) + 0.0 if n_epochs else np.zeros((3, 0))
    return dict(zip(("low", "middle", "high"), quantiles.tolist(), strict=True))
