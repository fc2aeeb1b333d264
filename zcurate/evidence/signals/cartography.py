"""Signals from training dynamics: dataset cartography (arXiv:2009.10795) and Data-IQ (arXiv:2210.13043)."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, label_probabilities


def aleatoric(view: LabelView) -> np.ndarray:
    """Measure the uncertainty that training does not remove: the mean of p (1 - p) of the given label over the epochs.

    Uses the probability of the given label at each epoch. Not specific to wrong labels: it marks ambiguous rows. A row at probability one half
    throughout scores 1.0, one at .9 scores 0.36.

    Returns:
        (N,) float32: 4 mean_t p_t (1 - p_t); NaN where never trained on.

    Source: Data-IQ, arXiv:2210.13043.
    """
    p = label_probabilities(view)
    n_epochs = (~np.isnan(p)).sum(0)
    with np.errstate(invalid="ignore"):
        return (4 * np.nansum(p * (1 - p), 0) / np.where(n_epochs > 0, n_epochs, np.nan)).astype(np.float32)


def confidence(view: LabelView) -> np.ndarray:
    """Measure how low the mean probability of the given label was during training.

    Uses the probability of the given label averaged over the epochs. Misled by rows that are merely hard. A mean probability of .1 scores 0.9.

    Returns:
        (N,) float32: 1 - confidence; NaN where never trained on.

    Source: dataset cartography, arXiv:2009.10795.
    """
    return (1 - view.columns["confidence_mean"]).astype(np.float32)


def correctness(view: LabelView) -> np.ndarray:
    """Measure the share of epochs in which the members that train on the row predicted another label.

    Uses the sign of the margin at each epoch. Coarse with few epochs, when it takes few values. A row that was never predicted correctly scores 1.0.

    Returns:
        (N,) float32: share of the epochs with a margin at or below zero; NaN where never trained on.

    Source: dataset cartography, arXiv:2009.10795.
    """
    margin = view.curves["margin"]
    n_epochs = (~np.isnan(margin)).sum(0)
    with np.errstate(invalid="ignore"):
        return ((margin <= 0).sum(0) / np.where(n_epochs > 0, n_epochs, np.nan)).astype(np.float32)


def variability(view: LabelView) -> np.ndarray:
    """Measure how much the probability of the given label varied during training.

    Uses its standard deviation over the epochs, which is at most 0.5. Not specific to wrong labels: it marks ambiguous rows. A standard
    deviation of .3 scores 0.6.

    Returns:
        (N,) float32: twice the standard deviation; NaN where never trained on.

    Source: dataset cartography, arXiv:2009.10795.
    """
    return (2 * view.columns["confidence_std"]).astype(np.float32)
