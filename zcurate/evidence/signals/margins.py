"""Signals from margins between the given label and its best rival."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView
from zcurate.evidence.heldout import margins


def heldout_margins(view: LabelView) -> np.ndarray:
    """Compute p(given) - max p(other), (N,) float32; for unlabelled rows the largest minus the second largest."""
    return margins(view.heldout, view.label)


def heldout_margin(view: LabelView) -> np.ndarray:
    """Measure how clearly members that never trained on the row prefer another class to the given one.

    Uses held-out probabilities alone. Uninformative where the model has little skill around the row: then it is near 0.5 for all. A rival at .95
    against .01 for the given class scores 0.97; the other way round, 0.03.

    Returns:
        (N,) float32: (1 - margin) / 2; NaN where unlabelled.
    """
    return np.where(view.label >= 0, (1 - heldout_margins(view)) / 2, np.nan).astype(np.float32)


def training_margin(view: LabelView) -> np.ndarray:
    """Measure how clearly the members that train on the row prefer another class to its label, over the whole run.

    Uses the area under the margin (AUM): the mean logit of the given class minus the best other. Misled by wrong labels that are easy to learn, as
    where one class is often labelled as another; the judge therefore gives it half weight. A label that the members resist at margin
    minus two scores 0.9, one that they learn at once at margin four scores 0.02.

    Returns:
        (N,) float32: 1 / (1 + e^margin); NaN where never trained on.

    Source: arXiv:2001.10528.
    """
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(view.columns["margin_mean"]))).astype(np.float32)
