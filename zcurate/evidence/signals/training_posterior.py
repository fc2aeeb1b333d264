"""As `training_margin`, with each label's margin moved by how often it is seen wrongly in its rival's place where members are sure.

Sees: the mean logit of the given class minus the best other, and the noise counted among confident rows; the rival is the best other
class of members that never saw the row. Wrong when: noise depends on the row and spares the confident ones.
Sample: 0.5 for a row at margin 1 whose label is 2.7 times as likely to be a mistake for its rival as the rival's own is to be right.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import View, squashed
from zcurate.evidence.heldout import rivals


def score(view: View) -> np.ndarray:
    """As `training_margin`, with each label's margin moved by how often it is seen wrongly in its rival's place where members are sure.

    Sees: the mean logit of the given class minus the best other, and the noise counted among confident rows; the rival is the best other
    class of members that never saw the row. Wrong when: noise depends on the row and spares the confident ones.
    Sample: 0.5 for a row at margin 1 whose label is 2.7 times as likely to be a mistake for its rival as the rival's own is to be right.

    Returns: (N,) float32: logistic of -(margin + log T[y, y] / T[rival, y]); NaN where never trained on.
    """
    own = np.maximum(view.label, 0)
    noise = np.maximum(view.confusion.ranking, 1e-4)
    # Of a rival (row of the matrix) and the own class (column).
    shift = np.log(np.diagonal(noise)[None] / noise)
    moved = view.columns["margin_mean"] + shift[rivals(view.heldout, own), own]
    return np.where(view.label >= 0, squashed(-moved), np.nan).astype(np.float32)
