"""Whether the nearest rows in the learned feature space carry another label (SimiFeat, arXiv:2110.06283, with learned features).

Sees: the labels of the nearest rows as the member sees them that never trained on this one. Wrong when: rare regions, whose neighbours
are of other classes, and copies of one wrong row. Sample: 0.8 where 70 % of the neighbours carry one other label and 10 % the given one.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """Whether the nearest rows in the learned feature space carry another label (SimiFeat, arXiv:2110.06283, with learned features).

    Sees: the labels of the nearest rows as the member sees them that never trained on this one. Wrong when: rare regions, whose neighbours
    are of other classes, and copies of one wrong row. Sample: 0.8 where 70 % of the neighbours carry one other label and 10 % the given one.

    Returns: (N,) float32: (1 - share with the label + largest share of another) / 2; NaN where there are none.
    """
    return ((1 - view.column("neighbour_own") + view.column("neighbour_other")) / 2).astype(np.float32)
