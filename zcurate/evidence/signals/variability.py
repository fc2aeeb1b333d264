"""How much the probability of the given label swung while training (dataset cartography, arXiv:2009.10795).

Sees: its standard deviation over the epochs, at most 0.5. Wrong when: everything: it marks ambiguous rows, not wrong ones.
Sample: 0.6 for a standard deviation of .3.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """How much the probability of the given label swung while training (dataset cartography, arXiv:2009.10795).

    Sees: its standard deviation over the epochs, at most 0.5. Wrong when: everything: it marks ambiguous rows, not wrong ones.
    Sample: 0.6 for a standard deviation of .3.

    Returns: (N,) float32: twice the standard deviation; NaN where never trained on.
    """
    return (2 * view.columns["confidence_std"]).astype(np.float32)
