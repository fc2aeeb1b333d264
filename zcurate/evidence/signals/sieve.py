"""CORES score (arXiv:2010.02347): cross-entropy of the given label minus its mean over all labels, while training.

Sees: the mean logit against the given label's. Wrong when: many classes: then it hardly asks which rival is preferred.
Sample: 0.5 where the given label is as likely as the geometric mean of all.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, mean_over_epochs, squashed


def score(view: View) -> np.ndarray:
    """CORES score (arXiv:2010.02347): cross-entropy of the given label minus its mean over all labels, while training.

    Sees: the mean logit against the given label's. Wrong when: many classes: then it hardly asks which rival is preferred.
    Sample: 0.5 where the given label is as likely as the geometric mean of all.

    Returns: (N,) float32: logistic of the mean score over the epochs; NaN where never trained on.
    """
    return squashed(mean_over_epochs(view, "sieve"))
