"""The threshold on p_incorrect, and decision thresholds of classes where output distributions cross (METHODS 1.4). Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.arrays.sample import sample, sample_where
from zcurate.evidence.evidence import Evidence
from zcurate.evidence.heldout import MAX_DENSE_CELLS, most_probable

GUARD, GUARD_UNRELIABLE = 0.6, 0.8
"""Log-odds by which `--precision` lowers p_incorrect, always and where confident rows explain nothing, so that the requested precision is reached;
chosen on the tuning half, simulated sets and half of the fresh ones (tests/bench/README.md)."""


@dataclass(frozen=True)
class Cut:
    """Where the verdict `incorrect` begins: at most one field is set, none means `threshold` 0.5."""

    threshold: float | None = None
    """p_incorrect above which a row is called incorrect."""
    precision: float | None = None
    """Expected share of wrong labels among the rows called incorrect."""
    budget: int | None = None
    """Maximum number of rows to call incorrect."""

    @property
    def is_set(self) -> bool:
        """Whether a field is set."""
        return (self.threshold, self.precision, self.budget) != (None, None, None)


def cut_at(cut: Cut, p: np.ndarray, reliability: float = 1.0) -> float:
    """Convert the user's cut to a threshold on p_incorrect.

    For `precision` it is the lowest threshold above which the mean of the guarded p_incorrect is still that high; 1 when there is none.

    Args:
        cut: the user's choice.
        p: (N,) p_incorrect, NaN where not judged.
        reliability: `NoiseModel.reliability`; the lower it is, the more the probabilities are lowered.
    """
    if cut.precision is None and cut.budget is None:
        return 0.5 if cut.threshold is None else cut.threshold
    descending = -np.sort(-p[~np.isnan(p)])
    if cut.budget is not None:
        return float(descending[cut.budget]) if cut.budget < len(descending) else 0.0
    mean = np.cumsum(guarded(descending, reliability)) / np.arange(1, len(descending) + 1)
    n = int(np.searchsorted(-mean, -float(cut.precision or 0.0), "right"))
    return 1.0 if n == 0 else float(descending[n]) if n < len(descending) else 0.0


def guarded(p: np.ndarray, reliability: float) -> np.ndarray:
    """Lower probabilities by the log-odds that `--precision` keeps as a margin.

    Args:
        p: (N,) p_incorrect.
        reliability: `NoiseModel.reliability`.
    """
    odds = np.clip(p, 1e-9, 1 - 1e-9) / (1 - np.clip(p, 1e-9, 1 - 1e-9))
    return 1 / (1 + np.exp(GUARD + GUARD_UNRELIABLE * (1 - reliability)) / odds)


def expected_precision(p: np.ndarray, reliability: float) -> dict[str, float | None]:
    """Compute the precision expected of the flagged rows, and the cautious one, which `--precision` asks for; None where no row is flagged.

    Args:
        p: (n,) p_incorrect of the flagged rows.
        reliability: `NoiseModel.reliability`.
    """
    if not len(p):
        return {"precision": None, "precision_cautious": None}
    return {"precision": float(p.mean()), "precision_cautious": float(guarded(p.astype(np.float64), reliability).mean())}


def review_cut(p: np.ndarray) -> float:
    """Return the threshold on p_incorrect of greatest expected F1: half of that F1.

    F1 of the n surest rows is expected to be 2 sum(p of them) / (n + sum(p of all)).

    Args:
        p: (N,) p_incorrect, NaN where not judged.

    Source: Lipton, Elkan and Naryanaswamy 2014, theorem 1.
    """
    descending = -np.sort(-p[~np.isnan(p)].astype(np.float64))
    if not len(descending):
        return float("nan")
    found = np.cumsum(descending)
    return float((found / (np.arange(1, len(found) + 1) + found[-1])).max())


def density_crossing(other: np.ndarray, own: np.ndarray) -> float:
    """Find where the normal densities of two groups of outputs, weighted by their sizes, cross.

    With a = 1/2s1^2 - 1/2s0^2, b = m0/s0^2 - m1/s1^2, c = m1^2/2s1^2 - m0^2/2s0^2 - ln(s0 n1 / s1 n0): the root of
    a x^2 + b x + c between the means, or the midpoint of the means when there is none.

    Args:
        other: (n0,) float64 outputs of rows of other classes.
        own: (n1,) float64 outputs of rows of the class.

    Source: METHODS 1.4.
    """
    if len(other) < 2 or len(own) < 2:
        return 0.0
    m0, m1, s0, s1 = other.mean(), own.mean(), other.std() + 1e-6, own.std() + 1e-6
    if m1 <= m0:
        return float((m0 + m1) / 2)
    a = 1 / (2 * s1**2) - 1 / (2 * s0**2)
    b = m0 / s0**2 - m1 / s1**2
    c = m1**2 / (2 * s1**2) - m0**2 / (2 * s0**2) - np.log(s0 * len(own) / (s1 * len(other)))
    roots = np.roots([a, b, c]) if abs(a) > 1e-12 else np.array([-c / b])
    between = [float(root.real) for root in roots if abs(root.imag) < 1e-9 and m0 < root.real < m1]
    return between[0] if between else float((m0 + m1) / 2)


def class_logits(heldout: np.ndarray) -> np.ndarray:
    """Compute the float64 log-odds of probabilities of any shape."""
    p = np.clip(heldout.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def class_cutoffs(evidence: Evidence) -> np.ndarray:
    """Compute the decision threshold of each class: the probability (C,) at which its two output distributions cross.

    Outputs more than 2 standard deviations from the mean of their group are ignored.
    """
    rows = sample_where(evidence.y >= 0)
    rows = rows[sample(len(rows), max(1, MAX_DENSE_CELLS // evidence.heldout.shape[1]))]
    y, out = evidence.y[rows], []
    for code, p in enumerate(evidence.heldout[rows].T):
        logit = class_logits(p)
        out.append(density_crossing(inliers(logit[y != code]), inliers(logit[y == code])))
    return 1 / (1 + np.exp(-np.array(out)))


def inliers(x: np.ndarray) -> np.ndarray:
    """Select the values within 2 standard deviations of the mean."""
    return x[np.abs(x - x.mean()) <= 2 * x.std()] if len(x) else x


def predicted_labels(evidence: Evidence, decision: str) -> np.ndarray:
    """Predict the class, or the standardised target, of each row: (N,).

    Args:
        evidence: held-out predictions.
        decision: `argmax` of the probabilities, or `crossing`: the class whose log-odds exceed its threshold most.
    """
    if evidence.y.dtype.kind == "f":
        return evidence.heldout[:, 0].astype(np.float64)
    if decision == "argmax":
        return most_probable(evidence.heldout)
    cutoff = np.clip(class_cutoffs(evidence), 1e-6, 1 - 1e-6)
    parts = chunk_slices(*evidence.heldout.shape)
    return np.concatenate([(class_logits(evidence.heldout[part]) - np.log(cutoff / (1 - cutoff))).argmax(1) for part in parts])
