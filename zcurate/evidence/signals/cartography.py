"""Signals from training dynamics: data maps (arXiv:2009.10795) and Data-IQ (arXiv:2210.13043)."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, own_probabilities


def aleatoric(view: LabelView) -> np.ndarray:
    """Uncertainty that training does not remove: mean of p (1 - p) of the given label over the epochs (Data-IQ, arXiv:2210.13043).

    Sees: the probability of the given label at each epoch. Wrong when: everything: it marks ambiguous rows, not wrong ones.
    Sample: 1.0 for a row at one half throughout, 0.36 at .9.

    Returns: (N,) float32: 4 mean_t p_t (1 - p_t); NaN where never trained on.
    """
    p = own_probabilities(view)
    seen = (~np.isnan(p)).sum(0)
    with np.errstate(invalid="ignore"):
        return (4 * np.nansum(p * (1 - p), 0) / np.where(seen > 0, seen, np.nan)).astype(np.float32)


def confidence(view: LabelView) -> np.ndarray:
    """How little probability the given label had while training, in the mean (dataset cartography, arXiv:2009.10795).

    Sees: the mean over the epochs of the probability of the given label. Wrong when: the row is merely difficult.
    Sample: 0.9 for a mean probability of .1.

    Returns: (N,) float32: 1 - confidence; NaN where never trained on.
    """
    return (1 - view.columns["confidence_mean"]).astype(np.float32)


def correctness(view: LabelView) -> np.ndarray:
    """In what share of the epochs the members that train on the row predicted another label (dataset cartography).

    Sees: the sign of the margin at each epoch. Wrong when: few epochs; then it has few values.
    Sample: 1.0 for a row that was never predicted right.

    Returns: (N,) float32 share of the epochs with a margin at or below zero; NaN where never trained on.
    """
    margin = view.curves["margin"]
    seen = (~np.isnan(margin)).sum(0)
    with np.errstate(invalid="ignore"):
        return ((margin <= 0).sum(0) / np.where(seen > 0, seen, np.nan)).astype(np.float32)


def variability(view: LabelView) -> np.ndarray:
    """How much the probability of the given label swung while training (dataset cartography, arXiv:2009.10795).

    Sees: its standard deviation over the epochs, at most 0.5. Wrong when: everything: it marks ambiguous rows, not wrong ones.
    Sample: 0.6 for a standard deviation of .3.

    Returns: (N,) float32: twice the standard deviation; NaN where never trained on.
    """
    return (2 * view.columns["confidence_std"]).astype(np.float32)
