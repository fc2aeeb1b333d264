"""Evidence where nothing was trained: the user's out-of-sample probabilities are all there is. Imports no torch."""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import COUNT_COLUMNS, Round
from zcurate.evidence.heldout import Heldout, TopKProbabilities, is_dense, top_k_of
from zcurate.evidence.planted import Planted

COLUMNS = (
    "n_seen", "n_masked", "z_score", "z_max", "z_last", "loss_mean", "confidence_mean", "confidence_std", "margin_mean", "learned_epoch", "n_forgotten",
)  # fmt: skip
"""Columns of training, named as in `evidence.DOCS`."""
CURVES = ("error", "margin", "z", "sieve")


def untrained_round(probabilities: Heldout, y: np.ndarray) -> Round:
    """Record a round in which nothing was trained and no error planted.

    Args:
        probabilities: (N, C) float32 or top-k, of a model that never trained on the row.
        y: (N,) int64 given classes, -1 = unlabelled.
    """
    n, none = len(y), np.zeros(0, np.int64)
    heldout = probabilities if isinstance(probabilities, TopKProbabilities) or is_dense(*probabilities.shape) else top_k_of(probabilities, y)
    columns = {name: np.zeros(n) if name in COUNT_COLUMNS else np.full(n, np.nan) for name in COLUMNS}
    curves = {name: np.zeros((0, n), np.float32) for name in CURVES}
    return Round(y, Planted(none, none, np.zeros(0, "U1")), columns, heldout, curves, 1.0, hard_heldout=np.zeros((0, probabilities.shape[1]), np.float32))
