"""Compute the shares of a loss-prioritised training budget that planted errors, suspected, hard and clean rows would get.

The losses are those of the scan's own training; no model is trained by the rules. No torch. Rules: selective backpropagation, which
samples a row with probability CDF(loss)^beta (as studied in arXiv:2107.07741), the quarter of the rows with the largest loss, and the
quarter with the largest reducible loss, training loss minus held-out loss (after arXiv:2206.07137).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zcurate.arrays.sort import percentile_ranks
from zcurate.evidence.evidence import Evidence

N_PARTS = 4
"""Parts of the run with separate shares."""
TOP_SHARE = 0.25
"""Share of the rows that the top-share rules train on."""
SMALLEST_P = 1e-12
"""Lower limit of held-out probabilities, so that no loss is infinite."""

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(n,) training loss and (n,) held-out loss -> (n,) weights of the rows."""


def heldout_loss(evidence: Evidence) -> np.ndarray:
    """Compute the loss of the held-out predictions.

    Args:
        evidence: M rows.

    Returns:
        (M,) float64: -log p of the given class [nats], or for regression the absolute residual [standardised target]; NaN where unlabelled.
    """
    if evidence.y.dtype.kind == "f":
        return np.abs(evidence.y - evidence.heldout[:, 0])
    own = evidence.heldout[np.arange(len(evidence.y)), np.maximum(evidence.y, 0)].astype(np.float64)
    return np.where(evidence.y >= 0, -np.log(np.maximum(own, SMALLEST_P)), np.nan)


def training_loss(evidence: Evidence) -> np.ndarray:
    """Average the training loss of each row over each part of the run.

    A round does not count for the rows that carried a planted label in it.

    Args:
        evidence: R rounds over M rows.

    Returns:
        (`N_PARTS`, M) float64 in the unit of `heldout_loss`; NaN where a row was never trained on.
    """
    total, count = np.zeros((N_PARTS, len(evidence.y))), np.zeros((N_PARTS, len(evidence.y)))
    for one in evidence.rounds:
        loss = np.abs(one.error) if evidence.y.dtype.kind == "f" else np.logaddexp(0, one.error)
        loss = loss.astype(np.float64)
        loss[:, one.planted.row] = np.nan
        for part in range(N_PARTS):
            begin = part * len(loss) // N_PARTS
            block = loss[begin : max(begin + 1, (part + 1) * len(loss) // N_PARTS)]
            total[part] += np.nansum(block, 0)
            count[part] += (~np.isnan(block)).sum(0)
    with np.errstate(invalid="ignore"):
        return total / count


def by_cdf(beta: float) -> Rule:
    """Make the rule that samples rows in proportion to CDF(loss)^beta."""
    return lambda training, heldout: percentile_ranks(training) ** beta


def top_share(score: np.ndarray) -> np.ndarray:
    """Weigh the `TOP_SHARE` of the rows with the largest score 1, earlier rows first among equals, and the rest 0."""
    out = np.zeros(len(score))
    out[np.argsort(-score, kind="stable")[: max(1, round(TOP_SHARE * len(score)))]] = 1
    return out


RULES: dict[str, Rule] = {
    "CDF(loss)^1": by_cdf(1),
    "CDF(loss)^2": by_cdf(2),
    "top quarter by loss": lambda training, heldout: top_share(training),
    "top quarter, reducible": lambda training, heldout: top_share(training - heldout),
}
"""Rules by name."""


def budget_shares(training: np.ndarray, heldout: np.ndarray, groups: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Compute the share of the budget of each group: first the groups' shares of the rows, then by rule and part of the run.

    Args:
        training: (P, M) float64 training loss by part of the run.
        heldout: (M,) float64 held-out loss.
        groups: name -> (M,) float64 membership of each row, 1 in sum over groups. Rows with NaN anywhere are left out.
    """
    known = ~np.isnan(np.stack([*training, heldout, *groups.values()])).any(0)
    membership = np.stack(list(groups.values()))[:, known]

    def shares(weight: np.ndarray) -> dict[str, float]:
        return dict(zip(groups, (membership @ weight / weight.sum()).tolist(), strict=True))

    table: list[dict[str, Any]] = [{"rule": "every row alike", "part": None, **shares(np.ones(int(known.sum())))}]
    for name, rule in RULES.items():
        table += [{"rule": name, "part": at, **shares(rule(loss[known], heldout[known]))} for at, loss in enumerate(training, 1)]
    return table
