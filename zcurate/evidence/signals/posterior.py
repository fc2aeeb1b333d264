"""Probability that another class explains the row and its label better, given which labels are seen in another's place where members are sure.

Sees: held-out probabilities and the noise counted among confident rows, so a label that is often put wrongly is suspected more.
Wrong when: noise depends on the row and spares the confident ones; then the judge counts it less (`Confusion.explained`).
Sample: 0.93 for a row that looks like `cat` and is labelled `dog` where sure cats are often labelled dogs.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View
from zcurate.evidence.noise_model import wrong


def score(view: View) -> np.ndarray:
    """Probability that another class explains the row and its label better, given which labels are seen in another's place where members are sure.

    Sees: held-out probabilities and the noise counted among confident rows, so a label that is often put wrongly is suspected more.
    Wrong when: noise depends on the row and spares the confident ones; then the judge counts it less (`Confusion.explained`).
    Sample: 0.93 for a row that looks like `cat` and is labelled `dog` where sure cats are often labelled dogs.

    Returns: (N,) float32: 1 - r of the given class, r_ij ~ p_ij T[j, y_i]; without sharpening, so that it ranks best; NaN where unlabelled.
    """
    return wrong(view.heldout, view.label, view.confusion.ranking).astype(np.float32)
