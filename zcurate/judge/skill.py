"""Checks that there is enough to judge by: rows, classes, and held-out predictions better than chance. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np

from zcurate.arrays.sort import percentile_ranks
from zcurate.evidence.evidence import Evidence
from zcurate.evidence.heldout import most_probable

MIN_ROWS, MIN_CLASSES, MIN_ROWS_PER_CLASS = 20, 2, 3
SKILL_P = 0.001
"""Significance level at which held-out predictions must beat chance; otherwise no row is judged (DESIGN section 3)."""


@dataclass(frozen=True)
class Skill:
    """Skill of the held-out predictions."""

    measure: str
    """`balanced accuracy` or `rank correlation`."""
    value: float
    """Value of the measure."""
    chance: float
    """Value expected without skill."""
    p_value: float
    """Probability of at least this value without skill (one-sided normal approximation)."""

    @property
    def enough(self) -> bool:
        """Whether predictions beat chance at level `SKILL_P`."""
        return self.p_value < SKILL_P


def measure_skill(evidence: Evidence) -> Skill:
    """Test whether held-out predictions beat chance: balanced accuracy for classes, Spearman's rank correlation for targets."""
    return target_skill(evidence) if evidence.y.dtype.kind == "f" else class_skill(evidence)


def target_skill(evidence: Evidence) -> Skill:
    """Test Spearman's rank correlation of predictions and targets by its large-sample normal approximation."""
    known = ~np.isnan(evidence.y)
    predicted, given = percentile_ranks(evidence.heldout[known, 0].astype(np.float64)), percentile_ranks(evidence.y[known])
    constant = predicted.std() == 0 or given.std() == 0
    rho = 0.0 if constant else float(np.corrcoef(predicted, given)[0, 1])
    return Skill("rank correlation", rho, 0.0, upper_tail(rho * sqrt(max(1, known.sum() - 1))))


def class_skill(evidence: Evidence) -> Skill:
    """Test the balanced accuracy against predicting each class k at its overall rate q_k.

    Without skill the balanced accuracy has variance sum_k q_k (1 - q_k) / n_k / C^2.
    """
    known = evidence.y >= 0
    predicted, y = most_probable(evidence.heldout)[known], evidence.y[known]
    n_classes = evidence.heldout.shape[1]
    n = np.bincount(y, minlength=n_classes)
    present = n > 0
    q = np.bincount(predicted, minlength=n_classes) / len(y)
    right = np.bincount(y[predicted == y], minlength=n_classes)
    recall = right[present] / n[present]
    chance = q[present].mean()
    deviation = sqrt(float((q * (1 - q))[present] @ (1 / n[present]))) / present.sum()
    value = float(recall.mean())
    return Skill("balanced accuracy", value, float(chance), upper_tail((value - chance) / max(deviation, 1e-12)))


def upper_tail(z: float) -> float:
    """Compute P(Z > z) of a standard normal."""
    return 0.5 * (1 - erf(z / sqrt(2)))


def too_few_reason(evidence: Evidence) -> str:
    """Say why there are too few rows or classes to judge; empty when there are enough."""
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
    """Say that held-out predictions are not significantly better than chance."""
    return f"held-out {skill.measure} {skill.value:.3f} is no better than chance {skill.chance:.3f} (p = {skill.p_value:.2g}, below {SKILL_P:g} needed)"
