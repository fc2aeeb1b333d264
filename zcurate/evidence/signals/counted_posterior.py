"""As `posterior`, with the confusion counted over all rows, hard ones and wrong labels together (confident joint without thresholds).

Sees: held-out probabilities and which labels they disagree with (arXiv:1911.00068). Wrong when: the confusion is the model's own (classes
that cannot be told apart) and not the labellers'. Sample: 0.93 for a row that looks like `cat` and is labelled `dog` where rows that look
like cats are often labelled dogs.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View
from zcurate.evidence.noise_model import wrong


def score(view: View) -> np.ndarray:
    """As `posterior`, with the confusion counted over all rows, hard ones and wrong labels together (confident joint without thresholds).

    Sees: held-out probabilities and which labels they disagree with (arXiv:1911.00068). Wrong when: the confusion is the model's own (classes
    that cannot be told apart) and not the labellers'. Sample: 0.93 for a row that looks like `cat` and is labelled `dog` where rows that look
    like cats are often labelled dogs.

    Returns: (N,) float32: 1 - r of the given class; NaN where unlabelled.
    """
    return wrong(view.heldout, view.label, view.confusion.counted).astype(np.float32)
