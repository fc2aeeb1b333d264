"""How late the given label was learned: first epoch from which it was predicted twice running (first k-epoch learning, arXiv:2308.13862).

Sees: the sign of the margin at each epoch. Wrong when: a wrong label is easy, as where one class is often put in another's place.
Sample: 1.0 for a label that was never learned, 0.0 for one known from the first epoch.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """How late the given label was learned: first epoch from which it was predicted twice running (first k-epoch learning, arXiv:2308.13862).

    Sees: the sign of the margin at each epoch. Wrong when: a wrong label is easy, as where one class is often put in another's place.
    Sample: 1.0 for a label that was never learned, 0.0 for one known from the first epoch.

    Returns: (N,) float32: learned_epoch / E; NaN where never trained on.
    """
    return np.where(view.columns["n_seen"] > 0, view.columns["learned_epoch"] / len(view.curves["error"]), np.nan).astype(np.float32)
