"""What a scan found in each slice of `--slices`: noise, skill, share of visits masked, share flagged. No torch."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from zcurate.data.slices import Slices
from zcurate.evidence.evidence import Evidence
from zcurate.evidence.heldout import most_probable
from zcurate.judge.intervals import wilson
from zcurate.judge.judge import Verdicts

MIN_ROWS = 20
"""Rows from which on a slice is compared with the others."""
CARRIES = 2.0
"""A slice is warned of where its noise, and certainly its share flagged, is this many times that of the other rows."""


def slice_table(slices: Slices, row: np.ndarray, evidence: Evidence, verdicts: Verdicts) -> list[dict[str, Any]]:
    """Describe each slice, the noisiest first.

    Args:
        slices: of the input's rows.
        row: (M,) position in the input of each encoded row.
        evidence: of the encoded rows.
        verdicts: of the encoded rows.

    Returns:
        For each slice `name`, `rows`, `noise` (expected share of wrong labels; None where nothing is judged) with `noise_low` and `noise_high` (95 %: the
        rows' own variance, and what is not known of the whole input's rate), `flagged` (share called incorrect) with `flagged_low` and `flagged_high`,
        `skill` (held-out accuracy on rows not called incorrect; None for regression), `masked` (share of training visits that Z-Error masked), `loss`.
    """
    code, labelled = slices.code[row], ~np.isnan(evidence.y) if evidence.y.dtype.kind == "f" else evidence.y >= 0
    p, flagged = verdicts.p_incorrect, verdicts.has_verdict("incorrect")
    rate, low, high = verdicts.noise_rate
    unknown = (high - low) / (2 * 1.96 * rate) if not verdicts.why and rate > 0 else 0.0
    right = most_probable(evidence.heldout) == evidence.y if evidence.y.dtype.kind != "f" else None
    out = []
    for number, name in enumerate(slices.names):
        rows = labelled & (code == number)
        n = int(rows.sum())
        if n == 0:
            continue
        n_seen, n_masked = (float(np.nansum(evidence.columns[column][rows])) for column in ("n_seen", "n_masked"))
        entry: dict[str, Any] = {"name": name, "rows": n, "noise": None, "noise_low": None, "noise_high": None}
        if not verdicts.why:
            share = float(np.nanmean(p[rows]))
            half = 1.96 * sqrt(float(np.nansum(p[rows] * (1 - p[rows]))) / n**2 + (share * unknown) ** 2)
            entry |= {"noise": share, "noise_low": max(0.0, share - half), "noise_high": min(1.0, share + half)}
        flagged_low, flagged_high = wilson(int(flagged[rows].sum()), n)
        kept = rows & ~flagged
        entry |= {"flagged": float(flagged[rows].mean()), "flagged_low": flagged_low, "flagged_high": flagged_high}
        entry |= {"skill": None if right is None or not kept.any() else float(right[kept].mean())}
        loss = evidence.columns["loss_mean"][rows]
        entry |= {"masked": n_masked / n_seen if n_seen else None, "loss": float(np.nanmean(loss)) if np.isfinite(loss).any() else None}
        out.append(entry)
    return sorted(out, key=lambda entry: (entry["rows"] < MIN_ROWS, -(entry["noise"] or 0.0)))


def slice_warnings(column: str, table: list[dict[str, Any]]) -> list[str]:
    """Warn where one slice carries the noise.

    Args:
        column: value of `--slices`.
        table: of `slice_table`.
    """
    if not table or table[0]["noise"] is None or table[0]["rows"] < MIN_ROWS:
        return []
    worst, others = table[0], table[1:]
    n = sum(entry["rows"] for entry in others)
    rest = sum(entry["noise"] * entry["rows"] for entry in others) / max(1, n)
    flagged = sum(entry["flagged"] * entry["rows"] for entry in others) / max(1, n)
    if worst["noise"] <= CARRIES * rest or worst["flagged_low"] <= CARRIES * flagged:
        return []
    share = worst["noise"] * worst["rows"] / (worst["noise"] * worst["rows"] + rest * n)
    return [
        f"--slices {column}: '{worst['name']}' carries {share:.0%} of the wrong labels in {worst['rows'] / (worst['rows'] + n):.0%} of the rows: "
        f"{worst['noise']:.0%} wrong against {rest:.1%} — look at how these rows were labelled"
    ]
