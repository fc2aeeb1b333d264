"""Auxiliary model for texts: multinomial naive Bayes on TF-IDF weights.

It is estimated from counts instead of gradient steps, so that a few wrong labels change it little, and it makes other mistakes than a
linear model. Source: Rennie et al. 2003 (ICML), weights instead of counts.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.heldout import AuxiliaryPredictions

SMOOTHINGS = (0.1, 0.3)
"""Pseudo-count of every term in every class; the more likely model is used. Chosen among 0.02, 0.1, 0.3 and 1 on the tuning half and simulated sets."""
MAX_CELLS = 20_000_000
"""Terms x classes and rows x classes, at most; beyond, there is no such model."""


def fit_naive_bayes(
    term: np.ndarray, start: np.ndarray, weight: np.ndarray, n_terms: int, y: np.ndarray, fold: np.ndarray, n_classes: int
) -> dict[str, AuxiliaryPredictions]:
    """Predict each row from the rows of the other folds, with each smoothing.

    Args:
        term: (M,) int64 CSR columns.
        start: (N + 1,) int64 CSR row starts.
        weight: (M,) float32 CSR values.
        n_terms: V.
        y: (N,) int64 classes, -1 = unlabelled.
        fold: (N,) int64.
        n_classes: C.

    Returns:
        Held-out predictions of each setting, named `bayes <smoothing>`; empty if there are too many terms, rows or classes.
    """
    import scipy.sparse

    if max(n_terms, len(y)) * n_classes > MAX_CELLS:
        return {}
    x = scipy.sparse.csr_matrix((weight, term, start), shape=(len(y), n_terms))
    predictions = {f"bayes {smoothing}": np.full((len(y), n_classes), 1 / n_classes, np.float32) for smoothing in SMOOTHINGS}
    for number in np.unique(fold):
        train, heldout = np.flatnonzero((y >= 0) & (fold != number)), np.flatnonzero(fold == number)
        if not len(train):
            continue
        membership = scipy.sparse.csr_matrix((np.ones(len(train), np.float32), (y[train], np.arange(len(train)))), shape=(n_classes, len(train)))
        counts = (membership @ x[train]).toarray().astype(np.float64)
        log_prior = np.log(np.maximum(np.bincount(y[train], minlength=n_classes), 0.5) / len(train))
        for smoothing, p in zip(SMOOTHINGS, predictions.values(), strict=True):
            smoothed = counts + smoothing
            score = x[heldout] @ np.log(smoothed / smoothed.sum(1, keepdims=True)).T + log_prior
            likelihood = np.exp(score - score.max(1, keepdims=True))
            p[heldout] = likelihood / likelihood.sum(1, keepdims=True)
    return {name: AuxiliaryPredictions(p, np.zeros((0, n_classes), np.float32)) for name, p in predictions.items()}
