"""What `explain` needs of each row beside its verdict: curves over the epochs, places of the clues, the best held-out classes.

Leaves: list columns of the report, and the planted errors' bands for the run card. Enters: `Evidence` and `Verdicts`. No torch; no loop over rows.
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
BAND = (0.1, 0.5, 0.9)
"""Quantiles of a band: its lower end, middle and upper end."""
MOST_CLASSES = 3
DECIMALS = 3
ROUNDING_ROWS = 200_000
"""Input rows beyond which curves keep three digits at most, which a drawing does not show."""


def curve_of(curves: dict[str, np.ndarray], name: str, regression: bool, rows: np.ndarray | slice) -> np.ndarray:
    """(E, M) float64 one of `CURVES` of some rows; NaN where the row was not trained on.

    Args:
        curves: as in `Round`.
        name: `loss` is made from `error`: its softplus [nats] for classes, its size for regression; the others are there.
        regression: errors are signed.
        rows: (M,) those wanted.
    """
    if name != "loss":
        return curves[name][:, rows].astype(np.float64)
    error = curves["error"][:, rows].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.abs(error) if regression else np.logaddexp(0, error)


def columns(
    n_rows: int, row: np.ndarray, evidence: Evidence, verdicts: Verdicts, classes: tuple[str, ...], n_in_all: int
) -> list[Callable[[], dict[str, pa.Array]]]:
    """Functions, each independent of the others, that make the report's `TRACES`, (N,) lists each; those of held-out classes only where there are classes.

    Args:
        n_rows: N input rows.
        row: (M,) position in the input of each encoded row.
        evidence: of the encoded rows.
        verdicts: of the encoded rows.
        classes: names in class order; empty for regression.
        n_in_all: rows of the whole report, of which these may be some.
    """
    percentiles, coarse = list(verdicts.percentiles.values()), n_in_all > ROUNDING_ROWS

    def curve(name: str) -> dict[str, pa.Array]:
        n_epochs = len(evidence.curves["error" if name == "loss" else name])
        return {f"{name}_curve": lists(scatter_rows(n_rows, row, lambda part: curve_of(evidence.curves, name, not classes, part), n_epochs, coarse))}

    def clues() -> dict[str, pa.Array]:
        return {"clues": lists(scatter_rows(n_rows, row, lambda part: np.stack([place[part] for place in percentiles]), len(percentiles)), whole=True)}

    def best() -> dict[str, pa.Array]:
        return dict(zip(("top_classes", "top_probabilities"), best_classes(n_rows, row, evidence.heldout, classes), strict=True))

    return [*(partial(curve, name) for name in CURVES), clues, *([best] if classes else [])]


def scatter_rows(n_rows: int, row: np.ndarray, values: Callable[[slice], np.ndarray], n_values: int, coarse: bool = False) -> np.ndarray:
    """(N, L) float32: values at their rows' places in the input, rounded; NaN for the other rows and for what is not finite.

    Args:
        n_rows: N.
        row: (M,) places.
        values: gives (L, m) values of a slice of the M rows.
        n_values: L.
        coarse: round to 8 binary digits too, three decimal ones or nearly so: these take less room in a file.
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
    """(N,) list<float32>, NaN as null; a list ends with its last known value and is null where nothing is known.

    Args:
        values: (N, L).
        whole: lists keep their length L.
    """
    n_rows, n_values = values.shape
    known = ~np.isnan(values)
    if n_values and known.all():
        return to_lists(pa.array(values.reshape(-1).astype(np.float32, copy=False)), np.full(n_rows, n_values))
    length = np.where(known.any(1), n_values if whole else n_values - known[:, ::-1].argmax(1) if n_values else 0, 0)
    flat = values[np.arange(n_values)[None] < length[:, None]].astype(np.float32, copy=False)
    return to_lists(pa.array(flat, from_pandas=True), length)


def to_lists(flat: pa.Array, length: np.ndarray, empty: bool = False) -> pa.Array:
    """(N,) lists of the given lengths, one after another; null for length 0.

    Args:
        flat: all values.
        length: (N,) how many belong to each row.
        empty: a list of length 0 is empty instead.
    """
    offsets = np.zeros(len(length) + 1, np.int32)
    np.cumsum(length, out=offsets[1:])
    nobody = length == 0
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=None if empty or not nobody.any() else pa.array(nobody))


def best_classes(n_rows: int, row: np.ndarray, heldout: Heldout, classes: tuple[str, ...]) -> tuple[pa.Array, pa.Array]:
    """(N,) list<string> and list<float32>: the most probable held-out classes, best first, and their probabilities.

    Args:
        n_rows: N.
        row: (M,) places of the encoded rows.
        heldout: (M, C) float32 probabilities.
        classes: C names.
    """
    n_best = min(MOST_CLASSES, len(classes))
    code, p = np.zeros((n_rows, n_best), np.int32), np.full((n_rows, n_best), np.nan, np.float32)
    for part in chunk_slices(len(row), len(classes)):
        mine = take_rows(heldout, part)
        best = mine.code()[:, :n_best] if isinstance(mine, TopKProbabilities) else top_k(mine.T.copy(), n_best).T
        of_best = mine.p()[:, :n_best] if isinstance(mine, TopKProbabilities) else np.take_along_axis(mine, best, 1)
        code[row[part]] = best
        p[row[part]] = np.round(of_best.astype(np.float64), DECIMALS) + 0.0
    known = ~np.isnan(p).any(1)
    length = np.where(known, n_best, 0)
    names = pa.array(classes, pa.string()).take(pa.array(code[known].reshape(-1)))
    return to_lists(names, length), to_lists(pa.array(p[known].reshape(-1)), length)


def bands(rounds: tuple[Round, ...], regression: bool) -> dict[str, Any]:
    """How planted errors went over the epochs, all rounds together: per curve `low`, `middle` and `high`, a value per epoch of the first round.

    Later rounds may be shorter; where they end the first goes on alone. `planted` says how many; empty when there were none.

    Args:
        rounds: R rounds over the same rows.
        regression: errors are signed.
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
    """The `BAND` quantiles at each epoch as `low`, `middle`, `high`; they end at the first epoch in which no row is known.

    Args:
        curves: (E, N) float64, NaN = not trained on.
    """
    finite = np.where(np.isfinite(curves), curves, np.nan)
    nobody = np.isnan(finite).all(1)
    n_epochs = int(nobody.argmax()) if nobody.any() else len(finite)
    at = np.round(np.nanquantile(finite[:n_epochs], BAND, axis=1), DECIMALS) + 0.0 if n_epochs else np.zeros((3, 0))
    return dict(zip(("low", "middle", "high"), at.tolist(), strict=True))
