"""Decision cut-offs from the output distributions of the classes, where they cross (METHODS 1.4).

Leaves: cut-offs, predicted classes. Enters: `Evidence`. No torch.
"""

from __future__ import annotations

import numpy as np

from zcurate.arrays.sort import pieces, sample, sampled
from zcurate.evidence.evidence import Evidence
from zcurate.evidence.heldout import MOST_CELLS, likeliest


def crossing(wrong: np.ndarray, right: np.ndarray) -> float:
    """Where the normal densities of two groups of outputs cross, weighted by their sizes (METHODS 1.4).

    With a = 1/2s1^2 - 1/2s0^2, b = m0/s0^2 - m1/s1^2, c = m1^2/2s1^2 - m0^2/2s0^2 - ln(s0 n1 / s1 n0): the root of
    a x^2 + b x + c between the means; halfway between them where there is none.

    Args:
        wrong: (n0,) float64 outputs of rows of other classes.
        right: (n1,) float64 outputs of rows of the class.
    """
    if len(wrong) < 2 or len(right) < 2:
        return 0.0
    m0, m1, s0, s1 = wrong.mean(), right.mean(), wrong.std() + 1e-6, right.std() + 1e-6
    if m1 <= m0:
        return float((m0 + m1) / 2)
    a = 1 / (2 * s1**2) - 1 / (2 * s0**2)
    b = m0 / s0**2 - m1 / s1**2
    c = m1**2 / (2 * s1**2) - m0**2 / (2 * s0**2) - np.log(s0 * len(right) / (s1 * len(wrong)))
    roots = np.roots([a, b, c]) if abs(a) > 1e-12 else np.array([-c / b])
    between = [float(root.real) for root in roots if abs(root.imag) < 1e-9 and m0 < root.real < m1]
    return between[0] if between else float((m0 + m1) / 2)


def class_logits(heldout: np.ndarray) -> np.ndarray:
    """float64 log-odds of probabilities, whatever the shape."""
    p = np.clip(heldout.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def class_cutoffs(evidence: Evidence) -> np.ndarray:
    """(C,) probability of each class at which its two output distributions cross, each within 2 deviations of its mean."""
    rows = sampled(evidence.y >= 0)
    rows = rows[sample(len(rows), max(1, MOST_CELLS // evidence.heldout.shape[1]))]
    y, out = evidence.y[rows], []
    for code, p in enumerate(evidence.heldout[rows].T):
        logit = class_logits(p)
        out.append(crossing(inliers(logit[y != code]), inliers(logit[y == code])))
    return 1 / (1 + np.exp(-np.array(out)))


def inliers(x: np.ndarray) -> np.ndarray:
    """The values within 2 standard deviations of the mean."""
    return x[np.abs(x - x.mean()) <= 2 * x.std()] if len(x) else x


def decided(evidence: Evidence, decision: str) -> np.ndarray:
    """(N,) predicted class, or standardised target.

    Args:
        evidence: held-out predictions.
        decision: `argmax` of the probabilities, or `crossing`: the class whose log-odds lie highest above its cut-off.
    """
    if evidence.y.dtype.kind == "f":
        return evidence.heldout[:, 0].astype(np.float64)
    if decision == "argmax":
        return likeliest(evidence.heldout)
    cut = np.clip(class_cutoffs(evidence), 1e-6, 1 - 1e-6)
    parts = pieces(*evidence.heldout.shape)
    return np.concatenate([(class_logits(evidence.heldout[part]) - np.log(cut / (1 - cut))).argmax(1) for part in parts])
