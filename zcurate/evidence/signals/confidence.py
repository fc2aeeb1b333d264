"""How little probability the given label had while training, in the mean (dataset cartography, arXiv:2009.10795).

Sees: the mean over the epochs of the probability of the given label. Wrong when: the row is merely difficult.
Sample: 0.9 for a mean probability of .1.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """How little probability the given label had while training, in the mean (dataset cartography, arXiv:2009.10795).

    Sees: the mean over the epochs of the probability of the given label. Wrong when: the row is merely difficult.
    Sample: 0.9 for a mean probability of .1.

    Returns: (N,) float32: 1 - confidence; NaN where never trained on.
    """
    return (1 - view.columns["confidence_mean"]).astype(np.float32)
