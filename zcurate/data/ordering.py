"""Whether whole-number labels are names of classes or values of a quantity: ages, counts, scores.

The nearest rows of each row predict its label in two ways: by how often each value is among their labels, which suits names, and by how near each
value is to their labels, which suits quantities. The better of the two in mean log-likelihood tells what the labels are. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_ROWS, N_NEIGHBORS = 1_500, 12
"""Rows that are compared with each other, and nearest rows of each."""
PRIOR_WEIGHTS = (0.5, 2.0, 8.0, 40.0, 200.0)
"""Weights of the overall shares of the values against the nearest rows' labels; the best is used."""
N_SHUFFLES = 200
"""Random orders of the values."""
BANDWIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Widths of the kernel over values, in ranks of the values; the best is used."""


@dataclass(frozen=True)
class Ordering:
    """Which of the two predictions explains the labels better."""

    as_names: float
    """Mean log-likelihood of the labels above that of their overall shares [nats], for labels as names."""
    as_quantity: float
    """The same for labels as values of a quantity."""
    nearness: float
    """Mean distance in ranks between unequal labels of near rows, as a share of that between unequal labels of any two rows: 1 for names."""
    n_unequal: int
    """Pairs of near rows with unequal labels."""
    by_chance: float
    """Share of random orders of the values under which unequal labels of near rows are as near to each other."""
    covered: float
    """Share of the rows whose value stands near a row with one of the next two values on either side."""

    @property
    def evidence(self) -> float:
        """By how much the quantity explains the labels better than the names do [nats per row]."""
        return self.as_quantity - self.as_names


def compare_orderings(features: np.ndarray, labels: np.ndarray, seed: int = 0) -> Ordering:
    """Compare the labels as names with the labels as values of a quantity.

    Args:
        features: (N, F) float, without missing values.
        labels: (N,) whole numbers.
        seed: of the rows that are compared.
    """
    rows = np.random.default_rng(seed).permutation(len(labels))[:MAX_ROWS]
    x, (values, code) = features[rows], np.unique(labels[rows], return_inverse=True)
    neighbors = code[nearest_rows(x, min(N_NEIGHBORS, len(rows) - 1))]
    share = np.bincount(code, minlength=len(values)) / len(code)
    at = np.arange(len(code))
    counts = np.zeros((len(code), len(values)))
    np.add.at(counts, (at[:, None], neighbors), 1.0)
    base = np.log(share[code])
    as_names = max(float((np.log((counts[at, code] + weight * share[code]) / (neighbors.shape[1] + weight)) - base).mean()) for weight in PRIOR_WEIGHTS)
    distance = np.abs(np.arange(len(values))[:, None] - np.arange(len(values))[None])
    best = -np.inf
    for width in BANDWIDTHS:
        # The kernel smooths over neighboring values; shares keep rare values rare.
        kernel = np.exp(-distance / width) * share
        smooth = counts @ (kernel / kernel.sum(1, keepdims=True))
        for weight in PRIOR_WEIGHTS:
            p = (smooth[at, code] + weight * share[code]) / (neighbors.shape[1] + weight)
            best = max(best, float((np.log(p) - base).mean()))
    pairs = share[:, None] * share[None]
    usual = float((distance * pairs).sum() / max(1e-12, pairs[distance > 0].sum()))
    one, other = np.repeat(code, neighbors.shape[1]), neighbors.ravel()
    one, other = one[one != other], other[one != other]
    if not len(one):
        return Ordering(as_names, best, 1.0, 0, 1.0, 0.0)
    apart = float(np.abs(one - other).mean())
    rng = np.random.default_rng(seed)
    # Few classes that touch may lie next to each other by chance.
    shuffled = [np.abs(order[one] - order[other]).mean() for order in (rng.permutation(len(values)) for _ in range(N_SHUFFLES))]
    touching = np.unique(np.r_[one[np.abs(one - other) <= 2], other[np.abs(one - other) <= 2]])
    return Ordering(as_names, best, apart / usual, len(one), float(np.mean(np.array(shuffled) <= apart)), float(share[touching].sum()))


def nearest_rows(x: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Find the nearest other rows by Euclidean distance, (n, n_neighbors) int64.

    Args:
        x: (n, F).
        n_neighbors: K.
    """
    x = x.astype(np.float32)
    square = (x * x).sum(1)
    distance = square[:, None] + square[None] - 2 * x @ x.T
    np.fill_diagonal(distance, np.inf)
    return np.argpartition(distance, n_neighbors - 1, axis=1)[:, :n_neighbors]
