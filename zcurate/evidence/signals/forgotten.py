"""How often the given label was learned and lost again (forgetting events, arXiv:1812.05159).

Sees: turns of the margin's sign. Wrong when: everything: never-learned rows have none. Sample: 0.75 for three turns.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """How often the given label was learned and lost again (forgetting events, arXiv:1812.05159).

    Sees: turns of the margin's sign. Wrong when: everything: never-learned rows have none. Sample: 0.75 for three turns.

    Returns: (N,) float32: n / (n + 1); NaN where never trained on.
    """
    n = view.columns["n_forgotten"]
    return np.where(view.columns["n_seen"] > 0, n / (n + 1), np.nan).astype(np.float32)
