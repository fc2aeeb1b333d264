"""Stable codes for why a row got its verdict, their words, and how strongly each speaks.

Leaves: codes by number. Enters: views, places, verdicts. No torch.
"""

from __future__ import annotations

import numpy as np

from zcurate.arrays.sort import top_k
from zcurate.evidence.evidence import LabelView
from zcurate.evidence.heldout import given_probability, most_probable, take_rows
from zcurate.evidence.noise_model import margins
from zcurate.judge.rank_aggregation import rank_of_rows
from zcurate.plugins import SIGNALS

REASONS = {
    "other_class": "models that never saw the row prefer another class",
    "confused_pair": "the given label is often put where another belongs",
    "resists_training": "models that train on the row do not learn its label",
    "often_masked": "left out of the gradient more often than 95 % of the rows",
    "never_learned": "its label was never predicted twice running",
    "far_from_prediction": "the target is far from what models that never saw it predict",
    "neighbours_disagree": "the rows most like it carry another label",
    "nearer_other_class": "it lies nearer to the middle of another class",
    "copies_disagree": "exact or near copies of the row carry another label",
    "learned_badly": "its label was learned late, badly or not for long",
    "near_boundary": "two classes fit about equally well",
    "unsure": "models that never saw the row are sure of nothing",
    "learned_late": "its label was learned late",
    "forgotten": "its label was learned and lost again",
    "noisy_region": "targets scatter widely where this row lies",
    "sparse_region": "few rows lie near this one",
    "far_from_data": "the input is unlike the rest of the data",
}
"""Stable codes and their meaning in words."""
HARD_REASONS = ("near_boundary", "unsure", "learned_late", "forgotten", "noisy_region", "sparse_region")
"""Reasons why a right row is hard."""


CODES = tuple(REASONS)
MAX_REASONS = 3
STANDS_OUT = 0.8
"""Strength from which a clue is a reason; the strongest is one anyhow."""


def reasons_for(real: LabelView, percentiles: dict[str, np.ndarray], p_outlier: np.ndarray, called: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 3) int8 positions in `CODES` of the clues that stand out, strongest first, for every row that is not clean; -1 = none.

    Args:
        real: N rows.
        percentiles: clue -> (N,) place among all rows' values.
        p_outlier: (N,).
        called: `incorrect`, `hard` and `outlier`, (N,) bool each.
    """
    out = np.full((len(p_outlier), MAX_REASONS), -1, np.int8)
    every = np.flatnonzero(np.any(list(called.values()), 0))
    parts = reason_strengths(real, percentiles, p_outlier, every)
    for word, mine in called.items():
        at = np.flatnonzero(mine[every])
        rows, codes = every[at], [code for code in parts if verdict_of_reason(code) == word]
        if not codes or not len(rows):
            continue
        strength = np.stack([np.nan_to_num(parts[code][at]) for code in codes])
        kept = strength.copy()
        number = np.array([CODES.index(code) for code in codes], np.int8)
        for nth, best in enumerate(top_k(strength, MAX_REASONS)):
            strong = kept[best, np.arange(len(rows))] >= STANDS_OUT
            out[rows, nth] = np.where(strong | (nth == 0), number[best], -1)
    return out


def verdict_of_reason(code: str) -> str:
    """The verdict that a reason can be given for."""
    return "outlier" if code == "far_from_data" else "hard" if code in HARD_REASONS else "incorrect"


def reason_strengths(real: LabelView, percentiles: dict[str, np.ndarray], p_outlier: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Each reason's strength in [0, 1] for some rows: ranks for what grows with suspicion, closeness for what marks a hard row.

    Args:
        real: N rows.
        percentiles: clue -> (N,) place among all rows' values.
        p_outlier: (N,).
        rows: (M,) int64 rows asked about.

    Returns:
        Code -> (M,).
    """
    columns = real.columns
    parts: dict[str, np.ndarray] = {}
    for name, place in percentiles.items():
        code, at = SIGNALS[name].reason, place[rows]
        if code is not None:
            parts[code] = np.fmax(parts[code], at) if code in parts else at
    with np.errstate(invalid="ignore", divide="ignore"):
        masked = rank_of_rows(columns["n_masked"] / columns["n_seen"], rows)
    parts["often_masked"] = np.where(masked > 0.95, masked, 0.0)
    learned = columns["learned_epoch"]
    last = np.nanmax(learned) if np.isfinite(learned).any() else 1.0
    parts["never_learned"] = np.where(learned[rows] >= max(last, 1.0), 0.9, 0.0)
    parts["copies_disagree"] = np.nan_to_num(real.column("copies_other")[rows])
    if real.label.dtype.kind == "f":
        parts["noisy_region"] = rank_of_rows(real.heldout[:, 1].astype(np.float64), rows)
        parts["sparse_region"] = rank_of_rows(real.column("isolation"), rows)
    else:
        p = take_rows(real.heldout, rows)
        parts["near_boundary"] = 1 - np.minimum(1, np.abs(margins(p, real.label[rows])))
        parts["unsure"] = 1 - given_probability(p, most_probable(p))
        parts["learned_late"] = rank_of_rows(learned, rows) * (learned[rows] < last)
        parts["forgotten"] = rank_of_rows(columns["n_forgotten"], rows)
    parts["far_from_data"] = p_outlier[rows]
    return parts
