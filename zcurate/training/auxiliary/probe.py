"""Auxiliary model for rows with features of a pre-trained network: penalized logistic regression that doubts labels (a linear probe).

It is fitted twice: the second time each row counts by how far the first, held-out predictions agree with its label, w = min(1, 2 p_given / p_max), so that
labels that look wrong are not learned. Source: the reweighting is a soft form of the pruning of Northcutt et al. 2021 (Confident learning, section 4).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zcurate.evidence.heldout import AuxiliaryPredictions
from zcurate.training.auxiliary.lbfgs import minimize

PENALTIES = (0.1, 0.3)
"""Penalties of half the squared weights on standardized features, for the mean loss; the likelihood of the labels decides between them."""
ITERATIONS, MORE_ITERATIONS = 25, 10
"""Of L-BFGS from nothing, and from weights of a similar fit."""
MIN_WIDTH, MAX_CELLS = 64, 200_000_000
"""Width of the features from which they are taken for those of a network, and rows times width up to which the probe is fitted."""


class Fit:
    """Weights of one fold's regression, kept as the start of the next fit."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        """Start from zero."""
        self.weight = torch.zeros(n_features + 1, n_classes)
        """(V + 1, C) float32, the biases last."""
        self.n_fits = 0

    def fit(self, x: Tensor, y: Tensor, share: Tensor, penalty: float) -> None:
        """Minimize the weighted mean of the cross-entropy and the penalty.

        Args:
            x: (n, V) float32.
            y: (n,) int64 classes.
            share: (n,) float32 weights of the rows.
            penalty: of half the squared weights.
        """
        rows, total, shape = torch.arange(len(y)), float(share.sum()), self.weight.shape

        def loss_and_gradient(flat: Tensor) -> tuple[float, Tensor]:
            weight = flat.reshape(shape)
            log_p = torch.addmm(weight[-1], x, weight[:-1]).log_softmax(1)
            loss = -float(share @ log_p[rows, y]) / total + penalty / 2 * float(weight[:-1].square().sum())
            error = log_p.exp_()
            error[rows, y] -= 1
            error *= (share / total)[:, None]
            # Few outputs are multiplied several times as fast this way round.
            return loss, torch.cat([(error.T @ x).T + penalty * weight[:-1], error.sum(0, keepdim=True)]).reshape(-1)

        self.weight = minimize(loss_and_gradient, self.weight.reshape(-1), MORE_ITERATIONS if self.n_fits else ITERATIONS).reshape(shape)
        self.n_fits += 1

    def predict(self, x: Tensor) -> np.ndarray:
        """Return probabilities, (n, C) float32."""
        return torch.addmm(self.weight[-1], x, self.weight[:-1]).softmax(1).numpy()


def fit_probe(features: Tensor, y: np.ndarray, fold: np.ndarray, n_classes: int, hard: Tensor, hard_row: np.ndarray) -> dict[str, AuxiliaryPredictions]:
    """Predict the rows of each fold by regressions on the other folds.

    Args:
        features: (N, V) float32 on the CPU, standardized.
        y: (N,) int64 classes, -1 = unlabelled.
        fold: (N,) int64.
        n_classes: C.
        hard: (H, V) float32 synthetic hard examples.
        hard_row: (H,) int64 rows that they were made from; each is predicted by the model that was not fitted on that row.

    Returns:
        Held-out predictions by penalty, `probe 0.1` and so on.
    """
    known = y >= 0
    numbers = [int(number) for number in np.unique(fold) if (known & (fold != number)).any()]
    fits = {number: Fit(features.shape[1], n_classes) for number in numbers}
    found: dict[str, AuxiliaryPredictions] = {}
    for penalty in PENALTIES:
        share = np.ones(len(y), np.float32)
        for _ in range(2):
            rows, of_hard = np.full((len(y), n_classes), 1 / n_classes, np.float32), np.full((len(hard), n_classes), 1 / n_classes, np.float32)
            for number in numbers:
                train, heldout = torch.from_numpy(np.flatnonzero(known & (fold != number))), np.flatnonzero(fold == number)
                fits[number].fit(features[train], torch.from_numpy(y)[train], torch.from_numpy(share)[train], penalty)
                rows[heldout] = fits[number].predict(features[torch.from_numpy(heldout)])
                of_hard[fold[hard_row] == number] = fits[number].predict(hard[torch.from_numpy(fold[hard_row] == number)])
            share = np.minimum(1, 2 * rows[np.arange(len(y)), np.maximum(y, 0)] / rows.max(1)).astype(np.float32)
        found[f"probe {penalty:g}"] = AuxiliaryPredictions(rows, of_hard)
    return found


def is_fitted(width: int, n_rows: int) -> bool:
    """Whether rows with so many features are fitted by the probe."""
    return width >= MIN_WIDTH and width * n_rows <= MAX_CELLS
