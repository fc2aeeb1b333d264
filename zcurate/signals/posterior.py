"""Probability that another class explains the row and its label better, given how this data confuses its classes.

Sees: held-out probabilities and the confusion counted from them, so a label that is often put in another's place is suspected more.
Wrong when: the confusion is the model's own (classes that cannot be told apart) and not the labellers'.
Sample: 0.93 for a row that looks like `cat` and is labelled `dog` where cats are often labelled dogs.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence import View

needs = ("heldout", "transition")
SHARPEN = 3.0
"""Power that undoes the blur which wrong labels leave on held-out probabilities. Chosen among 1, 1.5, 2, 3, 4 for the mean F1 on the
tuning half of the bench (tests/bench/README.md)."""


def classes(view: View, sharpen: float = SHARPEN) -> np.ndarray:
    """(N, C) float64: probability of each class given the row and its label; without a label, given the row alone.

    Bayes: r_ij ~ p_ij^s T[j, y_i], T the probability that a row of class j carries label k.

    Args:
        view: N rows.
        sharpen: s.
    """
    p = np.maximum(view.heldout.astype(np.float64), 1e-9) ** sharpen
    labelled = view.label >= 0
    p[labelled] *= view.transition[:, view.label[labelled]].T
    return p / p.sum(1, keepdims=True)


def score(view: View) -> np.ndarray:
    """(N,) float32: 1 - r of the given class, taken without sharpening so that it ranks best; NaN where unlabelled."""
    r = classes(view, 1.0)
    own = r[np.arange(len(r)), np.maximum(view.label, 0)]
    return np.where(view.label >= 0, 1 - own, np.nan).astype(np.float32)
