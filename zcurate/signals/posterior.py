"""Probability that another class explains the row and its label better, given which labels are seen in another's place where members are sure.

Sees: held-out probabilities and the noise counted among confident rows, so a label that is often put wrongly is suspected more.
Wrong when: noise depends on the row and spares the confident ones; then the judge counts it less (`Confusion.explained`).
Sample: 0.93 for a row that looks like `cat` and is labelled `dog` where sure cats are often labelled dogs.
"""

from __future__ import annotations

import numpy as np

from zcurate.confusion import sharpened
from zcurate.evidence import View

needs = ("heldout", "confusion")


def classes(view: View, noise: np.ndarray, power: float = 1.0) -> np.ndarray:
    """(N, C) float64: probability of each class given the row and its label; without a label, given the row alone.

    Bayes: r_ij ~ p_ij^s T[j, y_i], T the probability that a row of class j carries label k.

    Args:
        view: N rows.
        noise: (C, C) T.
        power: s.
    """
    p = sharpened(view.heldout, power)
    labelled = view.label >= 0
    p[labelled] *= noise[:, view.label[labelled]].T
    return p / p.sum(1, keepdims=True)


def wrong(view: View, noise: np.ndarray, power: float = 1.0) -> np.ndarray:
    """(N,) float64: 1 - r of the given class; NaN where unlabelled; arguments as for `classes`."""
    r = classes(view, noise, power)
    own = r[np.arange(len(r)), np.maximum(view.label, 0)]
    return np.where(view.label >= 0, 1 - own, np.nan)


def score(view: View) -> np.ndarray:
    """(N,) float32: 1 - r of the given class, taken without sharpening so that it ranks best; NaN where unlabelled."""
    return wrong(view, view.confusion.ranking).astype(np.float32)
