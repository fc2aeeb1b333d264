"""Signals from posterior probabilities of the given label."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, squash
from zcurate.evidence.heldout import best_other
from zcurate.evidence.noise_model import p_wrong


def counted_posterior(view: LabelView) -> np.ndarray:
    """As `posterior`, with the confusion counted over all rows, hard ones and wrong labels together (confident joint without thresholds).

    Sees: held-out probabilities and which labels they disagree with (arXiv:1911.00068). Wrong when: the confusion is the model's own (classes
    that cannot be told apart) and not the labellers'. Sample: 0.93 for a row that looks like `cat` and is labelled `dog` where rows that look
    like cats are often labelled dogs.

    Returns: (N,) float32: 1 - r of the given class; NaN where unlabelled.
    """
    return p_wrong(view.heldout, view.label, view.noise_model.counted).astype(np.float32)


def posterior(view: LabelView) -> np.ndarray:
    """Probability that another class explains the row and its label better, given which labels are seen in another's place where members are sure.

    Sees: held-out probabilities and the noise counted among confident rows, so a label that is often put wrongly is suspected more.
    Wrong when: noise depends on the row and spares the confident ones; then the judge counts it less (`Confusion.explained`).
    Sample: 0.93 for a row that looks like `cat` and is labelled `dog` where sure cats are often labelled dogs.

    Returns: (N,) float32: 1 - r of the given class, r_ij ~ p_ij T[j, y_i]; without sharpening, so that it ranks best; NaN where unlabelled.
    """
    return p_wrong(view.heldout, view.label, view.noise_model.ranking).astype(np.float32)


def training_posterior(view: LabelView) -> np.ndarray:
    """As `training_margin`, with each label's margin moved by how often it is seen wrongly in its rival's place where members are sure.

    Sees: the mean logit of the given class minus the best other, and the noise counted among confident rows; the rival is the best other
    class of members that never saw the row. Wrong when: noise depends on the row and spares the confident ones.
    Sample: 0.5 for a row at margin 1 whose label is 2.7 times as likely to be a mistake for its rival as the rival's own is to be right.

    Returns: (N,) float32: logistic of -(margin + log T[y, y] / T[rival, y]); NaN where never trained on.
    """
    own = np.maximum(view.label, 0)
    noise = np.maximum(view.noise_model.ranking, 1e-4)
    # Of a rival (row of the matrix) and the own class (column).
    shift = np.log(np.diagonal(noise)[None] / noise)
    moved = view.columns["margin_mean"] + shift[best_other(view.heldout, own), own]
    return np.where(view.label >= 0, squash(-moved), np.nan).astype(np.float32)
