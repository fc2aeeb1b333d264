"""What a loss-prioritised training budget would be spent on: planted errors, suspected rows, hard rows or clean ones.

Leaves: plain JSON values. Enters: `Evidence` and each row's part in the groups. No torch. The losses are those of the scan's own
training, so this is what a sampler would have picked had it looked at them; no model is trained with it. The rules: selective
backpropagation, which visits a row with probability CDF(loss)^beta (as studied in arXiv:2107.07741), the quarter of the rows with
the largest loss, and the quarter with the largest reducible loss, training loss minus held-out loss (after arXiv:2206.07137).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zcurate.arrays.sort import percentile_ranks
from zcurate.evidence.evidence import Evidence

N_PARTS = 4
"""Parts of the run that are looked at one by one."""
TOP_SHARE = 0.25
"""Share of the rows that the top-share rules train on."""
SMALLEST_P = 1e-12
"""Held-out probabilities below this count as this much, so that no loss is infinite."""

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]


def heldout_loss(evidence: Evidence) -> np.ndarray:
    """(M,) float64 loss under members that never saw the row; NaN where unlabelled.

    Classes: -log p of the given class [nats]. Regression: the absolute residual [standardised target].

    Args:
        evidence: M rows.
    """
    if evidence.y.dtype.kind == "f":
        return np.abs(evidence.y - evidence.heldout[:, 0])
    own = evidence.heldout[np.arange(len(evidence.y)), np.maximum(evidence.y, 0)].astype(np.float64)
    return np.where(evidence.y >= 0, -np.log(np.maximum(own, SMALLEST_P)), np.nan)


def training_loss(evidence: Evidence) -> np.ndarray:
    """(`N_PARTS`, M) float64 loss of members that train on the row, by part of the run; in the unit of `heldout_loss`.

    A round counts for the rows that it showed their own label. NaN where a row was never trained on.

    Args:
        evidence: R rounds over M rows.
    """
    total, count = np.zeros((N_PARTS, len(evidence.y))), np.zeros((N_PARTS, len(evidence.y)))
    for one in evidence.rounds:
        loss = np.abs(one.error) if evidence.y.dtype.kind == "f" else np.logaddexp(0, one.error)
        loss = loss.astype(np.float64)
        loss[:, one.planted.row] = np.nan
        for part in range(N_PARTS):
            begin = part * len(loss) // N_PARTS
            mine = loss[begin : max(begin + 1, (part + 1) * len(loss) // N_PARTS)]
            total[part] += np.nansum(mine, 0)
            count[part] += (~np.isnan(mine)).sum(0)
    with np.errstate(invalid="ignore"):
        return total / count


def by_cdf(beta: float) -> Rule:
    """Visits in proportion to CDF(loss)^beta."""
    return lambda training, heldout: percentile_ranks(training) ** beta


def top_share(score: np.ndarray) -> np.ndarray:
    """(n,) float64: 1 for the `TOP_SHARE` of the rows with the largest score, earlier rows first among equals, 0 for the rest."""
    out = np.zeros(len(score))
    out[np.argsort(-score, kind="stable")[: max(1, round(TOP_SHARE * len(score)))]] = 1
    return out


RULES: dict[str, Rule] = {
    "CDF(loss)^1": by_cdf(1),
    "CDF(loss)^2": by_cdf(2),
    "top quarter by loss": lambda training, heldout: top_share(training),
    "top quarter, reducible": lambda training, heldout: top_share(training - heldout),
}
"""How each rule weighs rows by training and held-out loss (n,)."""


def budget_shares(training: np.ndarray, heldout: np.ndarray, groups: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The share of the budget that goes to each group: first the groups' share of the rows, then by rule and part of the run.

    Args:
        training: (P, M) float64 training loss by part of the run.
        heldout: (M,) float64 held-out loss.
        groups: (M,) float64 by name, how far a row belongs to the group; 1 in sum. Rows with NaN anywhere are left out.
    """
    known = ~np.isnan(np.stack([*training, heldout, *groups.values()])).any(0)
    parts = np.stack(list(groups.values()))[:, known]

    def shares(weight: np.ndarray) -> dict[str, float]:
        return dict(zip(groups, (parts @ weight / weight.sum()).tolist(), strict=True))

    table: list[dict[str, Any]] = [{"rule": "every row alike", "part": None, **shares(np.ones(int(known.sum())))}]
    for name, rule in RULES.items():
        table += [{"rule": name, "part": at, **shares(rule(loss[known], heldout[known]))} for at, loss in enumerate(training, 1)]
    return table
