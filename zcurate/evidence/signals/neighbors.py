"""Signals from a row's neighbors: their labels and targets, class centers, copies, density."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, logistic


def class_centre(view: LabelView) -> np.ndarray:
    """Compare the row's distance to its own class center with that to the nearest other class center.

    Uses Mahalanobis distances, with a covariance shared by all classes, in the feature space of the member that never trained on the row.
    Misled when a class falls into several clusters. Equal distances score 0.5.

    Returns:
        (N,) float32: logistic of the distance to the own center minus that to the nearest other; NaN where they were not measured.

    Source: METHODS 4.8.
    """
    return logistic(view.column("centre_own") - view.column("centre_other"))


def duplicate(view: LabelView) -> np.ndarray:
    """Measure how many exact or near copies of the row carry another label.

    Uses the share of the row's copies with another label. Misled by data with few columns of few values, where rows coincide by chance. Two of three
    copies with another label score 0.67.

    Returns:
        (N,) float32: share of the row's copies with another label; NaN where it has no copy.
    """
    return view.column("copies_other").astype(np.float32)


def neighbour_labels(view: LabelView) -> np.ndarray:
    """Measure how far the nearest rows in learned feature space carry another label.

    Uses the labels of the nearest rows in the feature space of the member that never trained on the row. Misled in sparse regions, where neighbors belong
    to other classes, and by copies of one wrong row. 70 % of neighbors with one other label against 10 % with the given one score 0.8.

    Returns:
        (N,) float32: (1 - share with the label + largest share of another) / 2; NaN where there are no neighbors.

    Source: SimiFeat, arXiv:2110.06283, with learned features.
    """
    return ((1 - view.column("neighbour_own") + view.column("neighbour_other")) / 2).astype(np.float32)


def neighbour_targets(view: LabelView) -> np.ndarray:
    """Regression: measure how far the target lies from the targets of the nearest rows, in units of their spread.

    Uses neighbors in the space of the standardised columns. Misled when many columns are irrelevant: then the nearest rows are not similar. A gap of
    one spread scores 0.5, of nine spreads 0.9.

    Returns:
        (N,) float32: |gap| / (1 + |gap|); NaN where there are no neighbors.
    """
    gap = np.abs(view.column("neighbour_gap"))
    return (gap / (1 + gap)).astype(np.float32)


def sparse_region(view: LabelView) -> np.ndarray:
    """Regression: measure how sparse the data are around the row, where a large residual says less.

    Uses the distance to the nearest rows. Not specific to wrong targets: it marks rows that are hard for lack of examples. The median distance
    scores 0.5, neighbors nine times as far score 0.9.

    Returns:
        (N,) float32: logistic of the log ratio of distances.
    """
    return logistic(view.column("isolation"))
