"""Signals from a row's neighbors: their labels, class centers, copies, density."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import LabelView, squash


def class_centre(view: LabelView) -> np.ndarray:
    """Whether the row lies nearer to another class's centre than to its own (tied covariance Mahalanobis, METHODS 4.8).

    Sees: distances in the learned feature space of the member that never trained on the row. Wrong when: classes fall into several clusters.
    Sample: 0.5 at equal distances.

    Returns: (N,) float32: logistic of the distance to the own centre minus that to the nearest other; NaN where there are none.
    """
    return squash(view.column("centre_own") - view.column("centre_other"))


def duplicate(view: LabelView) -> np.ndarray:
    """Whether rows with exactly the same features carry another label.

    Sees: the share of the row's copies that carry another label. Wrong when: few columns with few values; then copies are no surprise.
    Sample: 0.67 where two of three copies carry another label; NaN without copies.

    Returns: (N,) float32 share of the row's copies with another label; NaN where it has none.
    """
    return view.column("copies_other").astype(np.float32)


def neighbour_labels(view: LabelView) -> np.ndarray:
    """Whether the nearest rows in the learned feature space carry another label (SimiFeat, arXiv:2110.06283, with learned features).

    Sees: the labels of the nearest rows as the member sees them that never trained on this one. Wrong when: rare regions, whose neighbours
    are of other classes, and copies of one wrong row. Sample: 0.8 where 70 % of the neighbours carry one other label and 10 % the given one.

    Returns: (N,) float32: (1 - share with the label + largest share of another) / 2; NaN where there are none.
    """
    return ((1 - view.column("neighbour_own") + view.column("neighbour_other")) / 2).astype(np.float32)


def neighbour_targets(view: LabelView) -> np.ndarray:
    """Regression: how far the target lies from the targets of the nearest rows, in units of how much those differ.

    Sees: neighbours in the space of the standardised columns. Wrong when: many columns do not matter; then the nearest rows are not alike.
    Sample: 0.5 at one spread, 0.9 at nine.

    Returns: (N,) float32: |gap| / (1 + |gap|); NaN where there are no neighbours.
    """
    far = np.abs(view.column("neighbour_gap"))
    return (far / (1 + far)).astype(np.float32)


def sparse_region(view: LabelView) -> np.ndarray:
    """Regression: how thinly the data lie around the row, where a large residual says less.

    Sees: the distance to its nearest rows. Wrong when: everything: it marks rows that are hard for want of examples, not wrong ones.
    Sample: 0.5 in the middle of the data, 0.9 where neighbours are nine times as far.

    Returns: (N,) float32: logistic of the log ratio of distances.
    """
    return squash(view.column("isolation"))
