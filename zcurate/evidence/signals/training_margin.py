"""How clearly the members that train on the row prefer another class to its label, over the whole run (area under the margin).

Sees: the mean logit of the given class minus the best other (AUM, arXiv:2001.10528). Wrong when: wrong labels are easy to learn, as
where one class is often put in another's place; that is why the judge counts it half.
Sample: 0.9 for a row whose label the members resist, 0.01 for one that they learn at once.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """How clearly the members that train on the row prefer another class to its label, over the whole run (area under the margin).

    Sees: the mean logit of the given class minus the best other (AUM, arXiv:2001.10528). Wrong when: wrong labels are easy to learn, as
    where one class is often put in another's place; that is why the judge counts it half.
    Sample: 0.9 for a row whose label the members resist, 0.01 for one that they learn at once.

    Returns: (N,) float32: 1 / (1 + e^margin); NaN where never trained on.
    """
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(view.columns["margin_mean"]))).astype(np.float32)
