"""Signals from margins between the given label and its best rival."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView
from zcurate.evidence.noise_model import margins


def margins_of(view: LabelView) -> np.ndarray:
    """(N,) float32: p(given) - max p(other); for unlabelled rows best minus second best."""
    return margins(view.heldout, view.label)


def heldout_margin(view: LabelView) -> np.ndarray:
    """How clearly members that never saw the row prefer another class to the given one.

    Sees: held-out probabilities alone. Wrong when: the model has little skill on the row's region; then it is near 0.5 for all.
    Sample: 0.97 where another class has .95 and the given one .01; 0.02 the other way round.

    Returns: (N,) float32: (1 - margin) / 2; NaN where unlabelled.
    """
    return np.where(view.label >= 0, (1 - margins_of(view)) / 2, np.nan).astype(np.float32)


def training_margin(view: LabelView) -> np.ndarray:
    """How clearly the members that train on the row prefer another class to its label, over the whole run (area under the margin).

    Sees: the mean logit of the given class minus the best other (AUM, arXiv:2001.10528). Wrong when: wrong labels are easy to learn, as
    where one class is often put in another's place; that is why the judge counts it half.
    Sample: 0.9 for a row whose label the members resist, 0.01 for one that they learn at once.

    Returns: (N,) float32: 1 / (1 + e^margin); NaN where never trained on.
    """
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(view.columns["margin_mean"]))).astype(np.float32)
