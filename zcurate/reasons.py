"""Stable codes for why a row got its verdict, their words, and how strongly each speaks.

Leaves: lists of codes. Enters: views, places, verdicts. No torch.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence import View
from zcurate.ranking import rank_known
from zcurate.signals import heldout_margin

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
REASON_OF = {
    "posterior": "confused_pair",
    "counted_posterior": "confused_pair",
    "heldout_margin": "other_class",
    "training_margin": "resists_training",
    "training_posterior": "resists_training",
    "neighbour_labels": "neighbours_disagree",
    "class_centre": "nearer_other_class",
    "heldout_residual": "far_from_prediction",
    "training_residual": "resists_training",
    "conformal": "far_from_prediction",
    "neighbour_targets": "neighbours_disagree",
    "class_z": "learned_badly",
    "class_z_robust": "learned_badly",
    "confidence": "learned_badly",
    "correctness": "learned_badly",
    "learned_epoch": "learned_badly",
    "mastered_epoch": "learned_badly",
    "loss_cluster": "learned_badly",
    "ema_label": "learned_badly",
    "sieve": "learned_badly",
    "discrim_stage": "learned_badly",
    "discrim_weight": "learned_badly",
    "exponentiated": "learned_badly",
    "random_label": "learned_badly",
    "second_split": "learned_badly",
}
"""Which reason a clue speaks for."""
HARD_REASONS = ("near_boundary", "unsure", "learned_late", "forgotten", "noisy_region", "sparse_region")
"""Reasons why a right row is hard."""


def reasons_for(real: View, s_parts: dict[str, np.ndarray], verdict: np.ndarray) -> list[list[str]]:
    """Codes of the clues that stand out, strongest first, for every row that is not clean.

    Args:
        real: N rows.
        s_parts: code -> (N,) strength in [0, 1].
        verdict: (N,) str.
    """
    hard_codes = [code for code in s_parts if code in HARD_REASONS]
    wrong_codes = [code for code in s_parts if code not in HARD_REASONS and code != "far_from_data"]
    by_verdict = {"incorrect": wrong_codes, "hard": hard_codes, "outlier": [code for code in s_parts if code == "far_from_data"]}
    out: list[list[str]] = [[] for _ in verdict]
    for word, codes in by_verdict.items():
        if not codes:
            continue
        strength = np.stack([np.nan_to_num(s_parts[code]) for code in codes])
        for row in np.flatnonzero(verdict == word):
            order = np.argsort(-strength[:, row], kind="stable")
            strong = [codes[k] for k in order if strength[k, row] >= 0.8]
            out[row] = strong[:3] or [codes[order[0]]]
    return out


def clue_strengths(real: View, places: dict[str, np.ndarray], p_outlier: np.ndarray) -> dict[str, np.ndarray]:
    """Each reason's strength per row in [0, 1]: ranks for what grows with suspicion, closeness for what marks a hard row."""
    columns = real.columns
    parts: dict[str, np.ndarray] = {}
    for name, at in places.items():
        if name in REASON_OF:
            code = REASON_OF[name]
            parts[code] = np.fmax(parts[code], at) if code in parts else at
    with np.errstate(invalid="ignore", divide="ignore"):
        masked = rank_known(columns["n_masked"] / columns["n_seen"])
    parts["often_masked"] = np.where(masked > 0.95, masked, 0.0)
    last = np.nanmax(columns["learned_epoch"]) if np.isfinite(columns["learned_epoch"]).any() else 1.0
    parts["never_learned"] = np.where(columns["learned_epoch"] >= max(last, 1.0), 0.9, 0.0)
    parts["copies_disagree"] = np.nan_to_num(real.column("copies_other"))
    if real.label.dtype.kind == "f":
        parts["noisy_region"] = rank_known(real.heldout[:, 1].astype(np.float64))
        parts["sparse_region"] = rank_known(real.column("isolation"))
    else:
        margin = heldout_margin.margin(real)
        parts["near_boundary"] = 1 - np.minimum(1, np.abs(margin))
        parts["unsure"] = 1 - real.heldout.max(1)
        parts["learned_late"] = rank_known(columns["learned_epoch"]) * (columns["learned_epoch"] < last)
        parts["forgotten"] = rank_known(columns["n_forgotten"])
    parts["far_from_data"] = p_outlier
    return parts
