"""Auxiliary model for tables with more columns than rows: ridge regression on columns that are weighted by what they tell of the classes.

Each column counts by its F statistic (between the classes, over within them) among the training rows, to some power: 0 is plain ridge regression,
2 all but selects columns. Weights and fit never see the rows they predict. Solved by the rows (the dual form), whatever the number of columns.
Sources: ridge regression for classes (Friedman 1989); weights by the F statistic as a soft form of sure independence screening (Fan and Lv 2008).
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.brent import minimize_scalar
from zcurate.evidence.heldout import AuxiliaryPredictions

POWERS = (0, 1, 2)
"""Powers of the F statistic; the likelihood of the given labels decides between them, and those that it cannot tell apart are averaged."""
PENALTY = 1.0
"""Ridge penalty, where a row's squared length is 1 on average; .1 and 10 do little else on simulated tables (tests/bench/README.md)."""
INTERCEPT = 10.0
"""Variance of the intercept, on the same scale: hardly penalized."""
MAX_F = 1_000.0
"""Largest F statistic of a column, so that one that determines the classes does not hide all others."""
FOLDS, MANY_ROWS, FOLDS_OF_MANY_ROWS = 10, 500, 5
"""Folds: where rows are few, each one that is left out costs accuracy."""
MIN_LIKELIHOOD = 0.01
"""Likelihood of a label, at least, so that wrong ones do not decide everything."""
MIN_LOG_SCALE, MAX_LOG_SCALE = -3.0, 6.0
"""Bounds of the logarithm of the factor that turns scores into log probabilities."""


def n_folds(n_rows: int) -> int:
    """Number of folds for N rows."""
    return FOLDS if n_rows < MANY_ROWS else FOLDS_OF_MANY_ROWS


def fit_ridge(columns: np.ndarray, y: np.ndarray, fold: np.ndarray, n_classes: int, hard: np.ndarray, hard_row: np.ndarray) -> dict[str, AuxiliaryPredictions]:
    """Predict the rows of each fold by models of the other folds.

    Args:
        columns: (N, P) float32, centered.
        y: (N,) int64 classes, -1 = unlabelled.
        fold: (N,) int64.
        n_classes: C.
        hard: (H, P) float32 synthetic hard examples.
        hard_row: (H,) int64 rows that they were made from; each is predicted by the model that was not fitted on that row.

    Returns:
        Held-out predictions of `ridge`.
    """
    columns = np.concatenate([columns, hard])
    fold = np.concatenate([fold, fold[hard_row]])
    known = np.concatenate([y >= 0, np.zeros(len(hard), bool)])
    indicator = np.zeros((len(columns), n_classes))
    indicator[np.flatnonzero(known), y[y >= 0]] = 1
    score = {power: np.zeros((len(columns), n_classes)) for power in POWERS}
    for number in np.unique(fold):
        train, heldout = np.flatnonzero(known & (fold != number)), np.flatnonzero(fold == number)
        if len(train) < 2:
            continue
        standardized, f = standardize_by(columns, indicator, train)
        for power in POWERS:
            score[power][heldout] = predict(standardized, f**power, indicator, train, heldout)
    p = average_of_likeliest([as_probabilities(one, y) for one in score.values()], y)
    return {"ridge": AuxiliaryPredictions(*np.split(p, [len(y)]))}


def average_of_likeliest(predictions: list[np.ndarray], y: np.ndarray) -> np.ndarray:
    """Average the predictions that are within one standard error of the likeliest ones, (M, C) float32.

    Args:
        predictions: (M, C) probabilities each.
        y: (N,) int64 given classes of the leading rows, -1 = unlabelled.
    """
    rows = np.flatnonzero(y >= 0)
    losses = np.stack([-np.log(np.maximum(p[rows, y[rows]], MIN_LIKELIHOOD)) for p in predictions])
    excess = losses - losses[losses.mean(1).argmin()]
    close = excess.mean(1) <= excess.std(1) / max(1, len(rows)) ** 0.5
    return np.stack([p for p, is_close in zip(predictions, close, strict=True) if is_close]).mean(0)


def standardize_by(columns: np.ndarray, indicator: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardize columns by some rows, and compute their F statistics.

    Args:
        columns: (N, P) float32.
        indicator: (N, C) float64, 1 at the row's class.
        train: (n,) int64 rows.

    Returns:
        (N, P) float32, and (P,) float32 of at most `MAX_F`; constant columns are 0.
    """
    rows, of_class = columns[train], indicator[train].astype(np.float32)
    mean = rows.mean(0)
    total = np.square(rows).sum(0) - len(train) * mean**2
    size = of_class.sum(0)
    present = size > 0
    between = np.square(of_class.T @ rows)[present].T @ (1 / size[present]) - len(train) * mean**2
    n_present = int(present.sum())
    within = np.maximum(total - between, 1e-3 * total) / max(1, len(train) - n_present)
    varies = total > 1e-6 * len(train)
    f = np.where(varies, np.clip(between / max(1, n_present - 1) / np.where(varies, within, 1), 0, MAX_F), 0)
    scale = np.where(varies, np.sqrt(len(train) / np.where(varies, total, 1)), 0)
    return (columns - mean) * scale, f.astype(np.float32)


def predict(columns: np.ndarray, weight: np.ndarray, indicator: np.ndarray, train: np.ndarray, heldout: np.ndarray) -> np.ndarray:
    """Fit a ridge regression of each class's indicator and predict other rows, (m, C) float64.

    Args:
        columns: (N, P) float32, standardized.
        weight: (P,) variance that each column's coefficient may have, relative to the others'.
        indicator: (N, C) float64.
        train: (n,) int64 rows.
        heldout: (m,) int64 rows.
    """
    own = columns[train]
    weighted = own * weight
    gram, cross = (own @ weighted.T).astype(np.float64), (columns[heldout] @ weighted.T).astype(np.float64)
    scale = len(train) / max(float(np.trace(gram)), 1e-12)
    gram, cross = gram * scale + INTERCEPT, cross * scale + INTERCEPT
    gram[np.diag_indices(len(train))] += PENALTY
    share = indicator[train].mean(0)
    return share + cross @ np.linalg.solve(gram, indicator[train] - share)


def as_probabilities(score: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Turn scores into probabilities, (M, C) float32: the softmax of a multiple, fitted to the given labels of the leading rows.

    Args:
        score: (M, C) float64.
        y: (N,) int64 given classes, -1 = unlabelled.
    """
    rows = np.flatnonzero(y >= 0)

    def softmax(log_scale: float, some: np.ndarray) -> np.ndarray:
        z = np.exp(log_scale) * some
        p = np.exp(z - z.max(1, keepdims=True))
        return np.asarray(p / p.sum(1, keepdims=True))

    def loss(log_scale: float) -> float:
        return float(-np.log(np.maximum(softmax(log_scale, score[rows])[np.arange(len(rows)), y[rows]], MIN_LIKELIHOOD)).mean())

    return softmax(minimize_scalar(loss, MIN_LOG_SCALE, MAX_LOG_SCALE), score).astype(np.float32)
