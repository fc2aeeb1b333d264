"""How late the loss came to rest (instance-dependent early stopping, arXiv:2502.07547), rows that rest at a high loss last of all.

Sees: the second difference of the loss over the epochs. Wrong when: few epochs. Sample: 1.0 for a row that never rests or rests above
ln 2, 0.1 for one that is mastered in the first tenth.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, losses

STILL = 0.05
"""Second difference of the loss [nats] below which it is at rest."""


def score(view: View) -> np.ndarray:
    """How late the loss came to rest (instance-dependent early stopping, arXiv:2502.07547), rows that rest at a high loss last of all.

    Sees: the second difference of the loss over the epochs. Wrong when: few epochs. Sample: 1.0 for a row that never rests or rests above
    ln 2, 0.1 for one that is mastered in the first tenth.

    Returns: (N,) float32: mastered epoch / E, 1 where never; NaN where never trained on.
    """
    loss = losses(view)
    if len(loss) < 3:
        return np.full(loss.shape[1], np.nan, np.float32)
    still = (np.abs(np.diff(loss, 2, axis=0)) < STILL) & (loss[2:] < np.log(2))
    epoch = np.where(still.any(0), still.argmax(0) + 2, len(loss))
    return np.where(np.isnan(loss).all(0), np.nan, epoch / len(loss)).astype(np.float32)
