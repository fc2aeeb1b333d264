"""How fast members forget the row when they go on with rows that they never saw (second-split forgetting, arXiv:2210.15031).

Sees: the margin of the given label during the second split; needs `second_split` epochs. Wrong when: the second split holds the same wrong
labels in the same region: then they are refreshed, not forgotten. Sample: 0.9 for a margin of minus two.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, squashed


def score(view: View) -> np.ndarray:
    """How fast members forget the row when they go on with rows that they never saw (second-split forgetting, arXiv:2210.15031).

    Sees: the margin of the given label during the second split; needs `second_split` epochs. Wrong when: the second split holds the same wrong
    labels in the same region: then they are refreshed, not forgotten. Sample: 0.9 for a margin of minus two.

    Returns: (N,) float32: logistic of minus the mean margin in the second split; NaN where there was none.
    """
    margin = view.curves["second"]
    if not len(margin):
        return np.full(margin.shape[1], np.nan, np.float32)
    return squashed(-margin.mean(0))
