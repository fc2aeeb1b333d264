"""Classes agreed on by several annotators, of whom each confuses classes in their own way: EM. No torch.

Source: Dawid and Skene 1979, with a prior for each row, which models may give.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

N_STEPS, PRIOR_VOTES = 15, 10.0
"""Steps of EM; votes of a class by which an annotator's confusion is drawn to `shrunk`'s expectation."""


class VoteFit(NamedTuple):
    """What EM found."""

    posterior: np.ndarray
    """(N, C) probability of each class."""
    log_confusion: np.ndarray
    """(A, C, C) log probability of an annotator's vote (last axis) given the class."""
    evidence: np.ndarray
    """(N, C) log likelihood of the row's votes under each class."""
    likelihood: float
    """Log likelihood of each vote given the other votes of its row and the prior, in sum."""


def fit_votes(prior: np.ndarray, votes: np.ndarray) -> VoteFit:
    """Fit the annotators' confusions.

    Args:
        prior: (N, C) log probabilities of each row, up to a constant.
        votes: (N, A) classes, -1 for none.
    """
    n_classes = prior.shape[1]
    prior = np.log(np.maximum(normalized(prior), 1e-300))
    log_confusion = np.log(np.full((votes.shape[1], n_classes, n_classes), 0.3 / max(1, n_classes - 1)))
    log_confusion[:, np.arange(n_classes), np.arange(n_classes)] = np.log(0.7)
    voters = [np.flatnonzero(votes[:, at] >= 0) for at in range(votes.shape[1])]

    def likelihoods(at: int) -> np.ndarray:
        """Log likelihood of one annotator's votes under each class, (n, C)."""
        return log_confusion[at][:, votes[voters[at], at]].T

    def total() -> np.ndarray:
        out = np.zeros(prior.shape)
        for at, rows in enumerate(voters):
            out[rows] += likelihoods(at)
        return out

    for _ in range(N_STEPS):
        posterior = normalized(prior + total())
        counts = np.zeros(log_confusion.shape)
        for at, rows in enumerate(voters):
            np.add.at(counts[at].T, votes[rows, at], posterior[rows])
        log_confusion = shrunk(counts)
    evidence, likelihood = total(), 0.0
    for at, rows in enumerate(voters):
        own = likelihoods(at)
        without = normalized(prior[rows] + evidence[rows] - own)
        likelihood += float(np.log(np.maximum((without * np.exp(own)).sum(1), 1e-300)).sum())
    return VoteFit(normalized(prior + evidence), log_confusion, evidence, likelihood)


def shrunk(counts: np.ndarray) -> np.ndarray:
    """Log probabilities of votes, drawn to what is known of few votes: each annotator's reliability, and which classes all of them confuse.

    Args:
        counts: (A, C, C) expected votes by true class.
    """
    n_classes = counts.shape[1]
    diagonal = np.eye(n_classes, dtype=bool)
    right, n = np.trace(counts, axis1=1, axis2=2), counts.sum((1, 2))
    reliability = (right + PRIOR_VOTES * right.sum() / max(n.sum(), 1e-12)) / (n + PRIOR_VOTES)
    others = np.where(diagonal, 0.0, counts.sum(0) + 1.0)
    others /= np.maximum(others.sum(1, keepdims=True), 1e-12)
    prior = np.where(diagonal[None], reliability[:, None, None], (1 - reliability[:, None, None]) * others[None])
    out: np.ndarray = np.log(np.maximum(counts + PRIOR_VOTES * prior, 1e-12)) - np.log(counts.sum(2, keepdims=True) + PRIOR_VOTES)
    return out


def normalized(log_p: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) from their logarithms up to a constant of each row."""
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    total: np.ndarray = p / p.sum(1, keepdims=True)
    return total
