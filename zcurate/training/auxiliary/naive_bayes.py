"""Another kind of model beside the members for texts: multinomial naive Bayes on TF-IDF weights.

Leaves: held-out probabilities. Enters: a CSR matrix as arrays, classes, folds. No torch. It counts instead of learning by steps, so a few wrong
labels move it little; its mistakes are others than a linear model's. Source: Rennie et al. 2003 (ICML), weights instead of counts.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.heldout import AuxiliaryPredictions

SMOOTHINGS = (0.1, 0.3)
"""Weight that every term is granted in every class; what suits the data better is used. Chosen among .02, .1, .3, 1 on the tuning half and simulated sets."""
MAX_CELLS = 20_000_000
"""Terms x classes, and rows x classes, beyond which there is none of this."""


def fit_naive_bayes(
    term: np.ndarray, start: np.ndarray, weight: np.ndarray, n_terms: int, y: np.ndarray, fold: np.ndarray, n_classes: int
) -> dict[str, AuxiliaryPredictions]:
    """Held-out predictions under each smoothing: each row's from the weights of the other folds' rows.

    Args:
        term: (M,) int64 CSR columns.
        start: (N + 1,) int64 CSR row starts.
        weight: (M,) float32 CSR values.
        n_terms: V.
        y: (N,) int64 classes, -1 = unlabelled.
        fold: (N,) int64.
        n_classes: C.
    """
    import scipy.sparse

    if max(n_terms, len(y)) * n_classes > MAX_CELLS:
        return {}
    x = scipy.sparse.csr_matrix((weight, term, start), shape=(len(y), n_terms))
    out = {f"bayes {smoothing}": np.full((len(y), n_classes), 1 / n_classes, np.float32) for smoothing in SMOOTHINGS}
    for at in np.unique(fold):
        known, own = np.flatnonzero((y >= 0) & (fold != at)), np.flatnonzero(fold == at)
        if not len(known):
            continue
        member = scipy.sparse.csr_matrix((np.ones(len(known), np.float32), (y[known], np.arange(len(known)))), shape=(n_classes, len(known)))
        total = (member @ x[known]).toarray().astype(np.float64)
        prior = np.log(np.maximum(np.bincount(y[known], minlength=n_classes), 0.5) / len(known))
        for smoothing, p in zip(SMOOTHINGS, out.values(), strict=True):
            granted = total + smoothing
            score = x[own] @ np.log(granted / granted.sum(1, keepdims=True)).T + prior
            likelihood = np.exp(score - score.max(1, keepdims=True))
            p[own] = likelihood / likelihood.sum(1, keepdims=True)
    return {name: AuxiliaryPredictions(p, np.zeros((0, n_classes), np.float32)) for name, p in out.items()}
