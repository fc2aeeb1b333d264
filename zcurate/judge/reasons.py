"""Reasons for a verdict: their stable codes, their meaning, and how strongly each applies to a row. Imports no torch."""

from __future__ import annotations

import numpy as np

from zcurate.arrays.sort import top_k
from zcurate.evidence.evidence import LabelView
from zcurate.evidence.heldout import given_probability, margins, most_probable, take_rows
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
    "annotators_disagree": "reliable annotators gave it another label",
    "far_from_data": "the input is unlike the rest of the data",
}
"""Stable codes and their meaning."""
HARD_REASONS = ("near_boundary", "unsure", "learned_late", "forgotten", "noisy_region", "sparse_region")
"""Reasons why a row with a right label is hard."""

EXPLAINED_AS = {"suspect": "incorrect"}
"""Verdict -> the one whose reasons it has."""

CODES = tuple(REASONS)
"""Codes in the order in which reports number them."""
MAX_REASONS = 3
"""Maximum number of reasons per row."""
MIN_STRENGTH = 0.8
"""Strength from which a reason is given; the strongest is given in any case."""


def reasons_for(real: LabelView, percentiles: dict[str, np.ndarray], p_outlier: np.ndarray, verdict_rows: dict[str, np.ndarray]) -> np.ndarray:
    """Select the strongest reasons for every row that is not clean.

    Args:
        real: view of the N rows.
        percentiles: clue -> (N,) percentile rank among all rows.
        p_outlier: (N,).
        verdict_rows: `incorrect`, `suspect`, `hard` and `outlier` -> (N,) bool, the rows with that verdict.

    Returns:
        (N, 3) int8 positions in `CODES`, strongest first; -1 = none.
    """
    out = np.full((len(p_outlier), MAX_REASONS), -1, np.int8)
    explained = np.flatnonzero(np.any(list(verdict_rows.values()), 0))
    strengths = reason_strengths(real, percentiles, p_outlier, explained)
    for verdict, of_verdict in verdict_rows.items():
        position = np.flatnonzero(of_verdict[explained])
        rows, codes = explained[position], [code for code in strengths if verdict_of_reason(code) == EXPLAINED_AS.get(verdict, verdict)]
        if not codes or not len(rows):
            continue
        strength = np.stack([np.nan_to_num(strengths[code][position]) for code in codes])
        remaining = strength.copy()
        number = np.array([CODES.index(code) for code in codes], np.int8)
        for rank, best in enumerate(top_k(remaining, MAX_REASONS)):
            strong = strength[best, np.arange(len(rows))] >= MIN_STRENGTH
            out[rows, rank] = np.where(strong | (rank == 0), number[best], -1)
    return out


def verdict_of_reason(code: str) -> str:
    """Return the verdict that a reason explains."""
    return "outlier" if code == "far_from_data" else "hard" if code in HARD_REASONS else "incorrect"


def reason_strengths(real: LabelView, percentiles: dict[str, np.ndarray], p_outlier: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the strength in [0, 1] of each reason for some rows: percentile ranks of suspicion, or closeness to a class boundary and the like.

    Args:
        real: view of the N rows.
        percentiles: clue -> (N,) percentile rank among all rows.
        p_outlier: (N,).
        rows: (M,) int64 rows to explain.

    Returns:
        Code -> (M,).
    """
    columns = real.columns
    strengths: dict[str, np.ndarray] = {}
    for name, percentile in percentiles.items():
        code, strength = SIGNALS[name].reason, percentile[rows]
        if code is not None:
            strengths[code] = np.fmax(strengths[code], strength) if code in strengths else strength
    with np.errstate(invalid="ignore", divide="ignore"):
        masked = rank_of_rows(columns["n_masked"] / columns["n_seen"], rows)
    strengths["often_masked"] = np.where(masked > 0.95, masked, 0.0)
    learned = columns["learned_epoch"]
    last = np.nanmax(learned) if np.isfinite(learned).any() else 1.0
    strengths["never_learned"] = np.where(learned[rows] >= max(last, 1.0), 0.9, 0.0)
    strengths["copies_disagree"] = np.nan_to_num(real.column("copies_other")[rows])
    if real.label.dtype.kind == "f":
        strengths["noisy_region"] = rank_of_rows(real.heldout[:, 1].astype(np.float64), rows)
        strengths["sparse_region"] = rank_of_rows(real.column("isolation"), rows)
    else:
        p = take_rows(real.heldout, rows)
        strengths["near_boundary"] = 1 - np.minimum(1, np.abs(margins(p, real.label[rows])))
        strengths["unsure"] = 1 - given_probability(p, most_probable(p))
        strengths["learned_late"] = rank_of_rows(learned, rows) * (learned[rows] < last)
        strengths["forgotten"] = rank_of_rows(columns["n_forgotten"], rows)
    strengths["far_from_data"] = p_outlier[rows]
    if not len(real.curves["error"]):
        # Nothing was trained.
        for code in ("often_masked", "never_learned", "learned_late", "forgotten"):
            strengths.pop(code, None)
    return strengths
