"""Learn from a person's answers how much of the disagreement between model and labels is noise, and which clues to believe. Imports no torch.

The scan's p_incorrect is taken as a prior ranking. A logistic regression on its log-odds and on what each clue says beyond it is fitted to the answers by
maximum a posteriori, with a Gaussian prior around the scan's own judgement, so that few answers move little and none moves nothing. The rows to be asked
about are drawn systematically along the range of p_incorrect with probabilities in proportion to sqrt(p (1 - p)), the allocation of least variance for the
number of wrong rows (Neyman 1934).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from zcurate.arrays.sort import argsort

PRIOR_LEVEL, PRIOR_SLOPE, PRIOR_CLUE = 0.8, 0.35, 0.2
"""Prior standard deviations of the shift of the log-odds, of their factor, and of the weight of a clue in standard deviations of what it says beyond
p_incorrect. Chosen on half of the benchmark sets (tests/bench/README.md)."""
EDGE = 1e-4
"""Probabilities are kept this far from 0 and 1 when their log-odds are taken."""
N_BINS = 40
"""Bins of p_incorrect in which a clue is compared with its mean."""
MAX_DEVIATION = 4.0
"""A clue says at most this many standard deviations."""
CHOSEN_WEIGHT = 0.5
"""Weight of an answer about a row that was not drawn or picked by p_incorrect: why it was chosen may depend on the answer; by taste."""
N_STEPS, TOLERANCE = 50, 1e-6
"""Newton steps, and their size at which the fit ends."""
CONTRADICTION = 3.0
"""Standard deviations between the number of wrong rows among the answers and the one expected, from which both contradict each other."""


@dataclass(frozen=True)
class Answers:
    """What a person said of some rows."""

    row: np.ndarray
    """(A,) int64 positions among the judged rows."""
    wrong: np.ndarray
    """(A,) bool: the given label is wrong."""
    draw_probability: np.ndarray
    """(A,) probability of being drawn; NaN where the row was chosen."""


@dataclass(frozen=True)
class Taught:
    """The judgement after the answers."""

    p: np.ndarray
    """(N,) float64 probability that the label is wrong; of answered rows 0 or 1."""
    level: float
    """Shift of the log-odds."""
    slope: float
    """Factor of the log-odds; 1 where the answers agree with the scan."""
    weights: dict[str, float]
    """Clue -> weight beyond p_incorrect."""
    rate: tuple[float, float, float]
    """Expected share of wrong labels, and the bounds of its 95 % interval."""
    surprise: float
    """Wrong rows among the answers less those expected, in standard deviations."""


def draw_probabilities(p: np.ndarray, n: int) -> np.ndarray:
    """Return the probability of each row to be drawn when n are, (N,), in proportion to sqrt(p (1 - p)) and at most 1.

    Args:
        p: (N,) p_incorrect.
        n: rows to draw, at most N.
    """
    size = np.sqrt(np.clip(p * (1 - p), EDGE**2, None))
    out = np.zeros(len(p))
    certain = np.zeros(len(p), bool)
    for _ in range(64):
        rest = ~certain
        out[rest] = size[rest] / size[rest].sum() * (n - certain.sum())
        if not (out[rest] > 1).any():
            break
        certain |= out >= 1
        out[certain] = 1.0
    return np.minimum(out, 1.0)


def draw_rows(p: np.ndarray, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw n rows systematically along p_incorrect, so that they are spread over its whole range.

    Args:
        p: (N,) p_incorrect.
        n: rows to draw.
        generator: of the random start.

    Returns:
        (n,) int64 rows in order of p, and (n,) the probability with which each was drawn.
    """
    n = min(n, len(p))
    probability = draw_probabilities(p, n)
    order = argsort(p)
    ends = np.cumsum(probability[order])
    rows = order[np.minimum(np.searchsorted(ends, np.arange(n) + generator.random(), "right"), len(p) - 1)]
    rows = np.unique(rows)
    return rows[argsort(p[rows])], probability[rows[argsort(p[rows])]]


def teach(p: np.ndarray, clues: dict[str, np.ndarray], answers: Answers) -> Taught:
    """Fit the judgement to the answers.

    Args:
        p: (N,) p_incorrect of the scan.
        clues: name -> (N,) percentile rank, NaN = cannot tell.
        answers: at least one.
    """
    beyond = {name: beyond_ranking(p, values) for name, values in clues.items()}
    x = np.stack([np.ones(len(p)), log_odds(p), *beyond.values()], 1)
    mean = np.concatenate([[0.0, 1.0], np.zeros(len(beyond))])
    precision = 1 / np.concatenate([[PRIOR_LEVEL, PRIOR_SLOPE], np.full(len(beyond), PRIOR_CLUE)]) ** 2
    wrong = answers.wrong.astype(np.float64)
    # Which rows are drawn depends on p alone, which the model has, so their answers need no weights; who chose a row may have seen more.
    weight = np.where(np.isnan(answers.draw_probability), CHOSEN_WEIGHT, 1.0)
    fitted, covariance = fit(x[answers.row], wrong, weight, mean, precision)
    q = sigmoid(x @ fitted)
    expected = p[answers.row]
    spread = max(1e-9, float((expected * (1 - expected)).sum()))
    surprise = float(wrong.sum() - expected.sum()) / np.sqrt(spread)
    q[answers.row] = wrong
    weights = {name: float(weight) for name, weight in zip(beyond, fitted[2:], strict=True)}
    return Taught(q, float(fitted[0]), float(fitted[1]), weights, rate_interval(q, x, covariance), surprise)


def beyond_ranking(p: np.ndarray, clue: np.ndarray) -> np.ndarray:
    """Return what a clue says beyond p_incorrect, (N,): the deviation of its normal score from its mean at that p, in standard deviations; 0 = nothing.

    Args:
        p: (N,) p_incorrect.
        clue: (N,) percentile rank, NaN = cannot tell.
    """
    score = ndtri(np.clip(clue, 1e-3, 1 - 1e-3))
    known = ~np.isnan(score)
    score = np.where(known, score, 0.0)
    weight = np.sqrt(p * (1 - p)) + EDGE
    order = argsort(p)
    mass = np.cumsum(weight[order])
    bins = np.empty(len(p), np.int64)
    bins[order] = np.minimum(mass / mass[-1] * N_BINS, N_BINS - 1)
    of_bin = np.bincount(bins, weight * score * known, N_BINS) / np.maximum(np.bincount(bins, weight * known, N_BINS), 1e-12)
    deviation = np.where(known, score - of_bin[bins], 0.0)
    spread = np.sqrt((weight * deviation**2).sum() / weight.sum())
    return np.zeros(len(p)) if spread < 1e-3 else np.clip(deviation / spread, -MAX_DEVIATION, MAX_DEVIATION)


def fit(x: np.ndarray, y: np.ndarray, weight: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a logistic regression by Newton's method, maximum a posteriori under an independent Gaussian prior.

    Args:
        x: (A, P).
        y: (A,) 0 or 1.
        weight: (A,).
        mean: (P,) of the prior.
        precision: (P,) of the prior.

    Returns:
        (P,) coefficients, and (P, P) their covariance by Laplace's approximation.
    """
    found = mean.copy()
    for _ in range(N_STEPS):
        q = sigmoid(x @ found)
        hessian = (x.T * (weight * q * (1 - q))) @ x + np.diag(precision)
        step = np.linalg.solve(hessian, x.T @ (weight * (y - q)) - precision * (found - mean))
        found = found + step * min(1.0, 2 / max(1e-12, np.abs(step).max()))
        if np.abs(step).max() < TOLERANCE:
            break
    q = sigmoid(x @ found)
    return found, np.linalg.inv((x.T * (weight * q * (1 - q))) @ x + np.diag(precision))


def rate_interval(q: np.ndarray, x: np.ndarray, covariance: np.ndarray) -> tuple[float, float, float]:
    """Return the expected share of wrong labels and its 95 % interval, by the delta method on the logarithm and the rows' own variance.

    Args:
        q: (N,) probabilities; 0 or 1 of answered rows, which vary no more.
        x: (N, P) regressors.
        covariance: (P, P) of the coefficients.
    """
    total, own = float(q.sum()), q * (1 - q)
    slope = own @ x
    variance = float(slope @ covariance @ slope) + float(own.sum())
    half = 1.96 * np.sqrt(variance) / max(total, 1e-9)
    known = float((q == 1).sum())
    low, high = max(known, total * np.exp(-half)), min(len(q), total * np.exp(min(half, 50.0)))
    return total / len(q), min(total, low) / len(q), max(total, high) / len(q)


def log_odds(p: np.ndarray) -> np.ndarray:
    """Return the log-odds of probabilities, kept away from 0 and 1."""
    p = np.clip(p, EDGE, 1 - EDGE)
    return np.log(p) - np.log1p(-p)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))
