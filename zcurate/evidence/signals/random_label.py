"""How the row's loss stands among the losses that rows would have under random labels (on-the-fly denoising, arXiv:2003.10647).

Sees: held-out probabilities of all classes: the counterfactual losses cost nothing. Wrong when: two classes; then a random label is right
half the time. Sample: 0.5 for a loss in the middle of the random ones.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """How the row's loss stands among the losses that rows would have under random labels (on-the-fly denoising, arXiv:2003.10647).

    Sees: held-out probabilities of all classes: the counterfactual losses cost nothing. Wrong when: two classes; then a random label is right
    half the time. Sample: 0.5 for a loss in the middle of the random ones.

    Returns: (N,) float32 share of the random-label losses that lie below the row's own; NaN where unlabelled.
    """
    whole = view.whole.heldout[:: max(1, len(view.whole.heldout) // 20_000)]
    random = np.sort(-np.log(np.maximum(whole, 1e-6)), None)
    own = -np.log(np.maximum(view.heldout[np.arange(len(view.label)), np.maximum(view.label, 0)], 1e-6))
    return np.where(view.label >= 0, np.searchsorted(random, own) / len(random), np.nan).astype(np.float32)
