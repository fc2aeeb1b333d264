"""Whether rows with exactly the same features carry another label.

Sees: the share of the row's copies that carry another label. Wrong when: few columns with few values; then copies are no surprise.
Sample: 0.67 where two of three copies carry another label; NaN without copies.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View


def score(view: View) -> np.ndarray:
    """Whether rows with exactly the same features carry another label.

    Sees: the share of the row's copies that carry another label. Wrong when: few columns with few values; then copies are no surprise.
    Sample: 0.67 where two of three copies carry another label; NaN without copies.

    Returns: (N,) float32 share of the row's copies with another label; NaN where it has none.
    """
    return view.column("copies_other").astype(np.float32)
