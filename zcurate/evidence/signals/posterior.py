"""Signals from the posterior probability that the given label is wrong."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, logistic
from zcurate.evidence.heldout import best_other
from zcurate.evidence.noise_model import p_wrong


def counted_posterior(view: LabelView) -> np.ndarray:
    """Compute the posterior probability that another class is true, under the confusion counted over all rows.

    Uses held-out probabilities and the confusion matrix of given and predicted labels, in which hard rows and wrong labels are mixed (the confident
    joint without thresholds). Misled when the model confuses classes that cannot be told apart and the labellers do not. A row that looks like
    `cat` and is labelled `dog`, where rows that look like cats are often labelled dogs, scores 0.93.

    Returns:
        (N,) float32: 1 - r of the given class, r_ij ~ p_ij T[j, y_i]; NaN where unlabelled.

    Source: arXiv:1911.00068.
    """
    return p_wrong(view.heldout, view.label, view.noise_model.confusion).astype(np.float32)


def posterior(view: LabelView) -> np.ndarray:
    """Compute the posterior probability that another class is true, under the kinds of label noise that the data show.

    Uses held-out probabilities and the mixture of noise at random, noise by classes (the transition matrix of confident rows) and noise by rows. Misled where a
    model that knows little is sure of itself. A row that looks like `cat` and is labelled `dog`, where confident cats are often labelled dogs,
    scores 0.93.

    Returns:
        (N,) float32; NaN where unlabelled.

    Source: `noise_mixture`.
    """
    assert view.noise_model.mixture is not None  # crack: narrows types only
    return view.noise_model.mixture.p_wrong(view.heldout, view.label).astype(np.float32)


def training_posterior(view: LabelView) -> np.ndarray:
    """Shift `training_margin` by the log odds that the label is a mistake for its rival.

    Uses the mean logit of the given class minus the best other, and the transition matrix of confident rows; the rival is the best other class of members
    that never trained on the row. Misled when noise depends on the row and spares the confident ones. A row at margin 1 whose label is 2.7
    times as likely to be a mistake for the rival as to be right scores 0.5.

    Returns:
        (N,) float32: logistic of -(margin + log T[y, y] / T[rival, y]); NaN where never trained on.
    """
    own = np.maximum(view.label, 0)
    transition = np.maximum(view.noise_model.transition, 1e-4)
    # Row: rival; column: own class.
    shift = np.log(np.diagonal(transition)[None] / transition)
    shifted = view.columns["margin_mean"] + shift[best_other(view.heldout, own), own]
    return np.where(view.label >= 0, logistic(-shifted), np.nan).astype(np.float32)
