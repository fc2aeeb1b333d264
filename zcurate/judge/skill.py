"""Whether there is enough to judge by: rows, classes, and predictions better than chance.

Leaves: `Skill`. Enters: `Evidence`. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np

from zcurate.arrays.sort import percentile_ranks
from zcurate.evidence.evidence import Evidence
from zcurate.evidence.heldout import most_probable

MIN_ROWS, MIN_CLASSES, MIN_ROWS_PER_CLASS = 20, 2, 3
SKILL_P = 0.001
"""Held-out predictions must beat chance at this level, else no row is judged (DESIGN section 3)."""


@dataclass(frozen=True)
class Skill:
    """What held-out predictions are worth."""

    measure: str
    """`balanced accuracy` or `rank correlation`."""
    value: float
    chance: float
    p_value: float
    """Probability of as good a value without skill (one-sided normal approximation)."""

    @property
    def enough(self) -> bool:
        """Better than chance at `SKILL_P`."""
        return self.p_value < SKILL_P


def measure_skill(evidence: Evidence) -> Skill:
    """Whether held-out predictions beat chance.

    Classes: the mean share of each class predicted right, against predicting by the overall shares; its variance under no skill is
    the sum of q_k (1 - q_k) / n_k over C^2. Targets: Spearman's rank correlation with its large-sample normal approximation.
    """
    y = evidence.y
    if y.dtype.kind == "f":
        known = ~np.isnan(y)
        a, b = percentile_ranks(evidence.heldout[known, 0].astype(np.float64)), percentile_ranks(y[known])
        flat = a.std() == 0 or b.std() == 0
        rho = 0.0 if flat else float(np.corrcoef(a, b)[0, 1])
        return Skill("rank correlation", rho, 0.0, upper_tail(rho * sqrt(max(1, known.sum() - 1))))
    known = y >= 0
    predicted, y = most_probable(evidence.heldout)[known], y[known]
    n_classes = evidence.heldout.shape[1]
    n = np.bincount(y, minlength=n_classes)
    there = n > 0
    q = np.bincount(predicted, minlength=n_classes) / len(y)
    right = np.bincount(y[predicted == y], minlength=n_classes)
    recall = right[there] / n[there]
    chance = q[there].mean()
    deviation = sqrt(float((q * (1 - q))[there] @ (1 / n[there]))) / there.sum()
    value = float(recall.mean())
    return Skill("balanced accuracy", value, float(chance), upper_tail((value - chance) / max(deviation, 1e-12)))


def upper_tail(z: float) -> float:
    """P(Z > z) of a standard normal."""
    return 0.5 * (1 - erf(z / sqrt(2)))


def too_few_reason(evidence: Evidence) -> str:
    """Why there is too little to judge; empty when there is enough."""
    y = evidence.y
    if y.dtype.kind == "f":
        n = int((~np.isnan(y)).sum())
        return f"{n} labelled rows, {MIN_ROWS} needed" if n < MIN_ROWS else ""
    counts = np.bincount(y[y >= 0])
    if counts.sum() < MIN_ROWS:
        return f"{counts.sum()} labelled rows, {MIN_ROWS} needed"
    if (counts >= MIN_ROWS_PER_CLASS).sum() < MIN_CLASSES:
        return f"fewer than {MIN_CLASSES} classes have {MIN_ROWS_PER_CLASS} rows"
    return ""


def no_skill_reason(skill: Skill) -> str:
    """What is said when held-out predictions are not surely better than chance."""
    return f"held-out {skill.measure} {skill.value:.3f} is no better than chance {skill.chance:.3f} (p = {skill.p_value:.2g}, below {SKILL_P:g} needed)"
