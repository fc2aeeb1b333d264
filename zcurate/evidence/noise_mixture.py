"""Which kind of label noise there is: a mixture of noise that does not depend on the row and noise that does, fitted by EM. Imports no torch.

A label is right, drawn at random from the other classes, drawn by the transition matrix of confident rows, or drawn from the classes that the row itself could
be taken for. The first three are the class-conditional noise of arXiv:1609.03683, the last is row-dependent noise in the manner of arXiv:2012.05458, where the
labeller's confusion follows the model's. Which of them explains labels that the models find improbable decides how rows are ranked: under noise at random the
least probable labels are the most suspect, under row-dependent noise those with the most probable rival.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.arrays.sample import sample
from zcurate.evidence.heldout import Heldout, TopKProbabilities, chunks_of, class_value, take_rows, tempered_columns

FIT_ROWS = 5000
"""Rows that the mixture is fitted to, at most."""
POWERS = (1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
"""Candidate inverse temperatures, by which held-out probabilities of labels become those of true classes. Smaller ones would take row-dependent noise for
blurred probabilities; chosen on the tuning half."""
START, N_STEPS = (0.6, 0.05, 0.3, 0.05), 60
"""Weights from which EM starts, and its steps."""
RANDOM_PRIOR = 2.0
"""Prior of noise at random, in rows: where the rows cannot tell, it is preferred to the transition matrix, which has a rate for every pair of classes.
Chosen on the tuning half."""
MIN_LIKELIHOOD, MIN_REST = 1e-6, 1e-3
"""Floors of a label's likelihood, and of the probability that is left for the other classes."""


@dataclass(frozen=True)
class NoiseMixture:
    """Weights of the kinds of label noise."""

    weights: tuple[float, float, float, float]
    """Of right labels, labels at random, labels by the transition matrix (its diagonal: right ones), and labels by the row; 1 in all."""
    transition: np.ndarray
    """(C, C) float64 transition matrix, rows = true classes."""

    def p_wrong(self, heldout: Heldout, y: np.ndarray) -> np.ndarray:
        """Compute the posterior probability that the true class is not the given one, without tempering, as that ranks best.

        Args:
            heldout: (N, C) probabilities.
            y: (N,) int64 given classes, -1 = unlabelled.

        Returns:
            (N,) float64, NaN where unlabelled.
        """
        label = np.maximum(y, 0)
        weights, kept = np.array(self.weights), np.diagonal(self.transition)
        out = np.empty(len(y))
        parts = chunks_of(heldout) if isinstance(heldout, TopKProbabilities) else ((part, heldout[part]) for part in chunk_slices(*heldout.shape))
        for part, some in parts:
            found = components(some, label[part], self.transition, 1.0)
            right = (weights[0] + weights[2] * kept[label[part]]) * found[0]
            out[part] = 1 - right / np.maximum(weights @ found, 1e-12)
        return np.where(y >= 0, out, np.nan)


def fit_mixture(heldout: Heldout, y: np.ndarray, transition: np.ndarray) -> NoiseMixture:
    """Fit the weights by maximum a posteriori, together with the inverse temperature.

    Args:
        heldout: (N, C) held-out probabilities.
        y: (N,) int64 given classes, -1 = unlabelled.
        transition: (C, C) transition matrix.
    """
    labelled = np.flatnonzero(y >= 0)
    rows = labelled[sample(len(labelled), FIT_ROWS)]
    if not len(rows):
        return NoiseMixture(START, transition)
    some, label = take_rows(heldout, rows), y[rows]
    fits = [fit_weights(components(some, label, transition, power)) for power in POWERS]
    return NoiseMixture(max(fits, key=lambda fit: fit[1])[0], transition)


def fit_weights(found: np.ndarray) -> tuple[tuple[float, float, float, float], float]:
    """Fit the weights of a mixture of known likelihoods by EM.

    Args:
        found: (4, n) from `components`.

    Returns:
        The weights, and the log-likelihood.
    """
    weights = np.array(START)
    prior = np.array([0.0, RANDOM_PRIOR, 0.0, 0.0])
    for _ in range(N_STEPS):
        total = np.maximum(weights @ found, 1e-12)
        count = weights * (found @ (1 / total)) + prior
        weights = count / count.sum()
    first, second, third, fourth = weights.tolist()
    return (first, second, third, fourth), float(np.log(np.maximum(weights @ found, MIN_LIKELIHOOD)).sum())


def components(p: Heldout, label: np.ndarray, transition: np.ndarray, power: float) -> np.ndarray:
    """Compute the likelihood of each label under each kind of noise, in the order of `NoiseMixture.weights`.

    With q = p^power normalized over the classes, y the label and j a true class other than y: q_y; sum_j q_j / (C - 1); sum over all classes of
    q_j T[j, y]; sum_j q_j p_y / (1 - p_j).

    Args:
        p: (n, C) held-out probabilities.
        label: (n,) int64.
        transition: (C, C) T.
        power: inverse temperature.

    Returns:
        (4, n) float64.
    """
    n_classes = p.shape[1]
    if isinstance(p, TopKProbabilities):
        (q, q_other), code = p.tempered(power), p.code()
        p_other = p.p_other()
        own, p_own = class_value(code, q, q_other, label), class_value(code, p.p().astype(np.float64), p_other, label)
        is_rival = code != label[:, None]
        share = transition[code, label[:, None]]
        by_class = (q * share).sum(1) + q_other * np.maximum(0.0, transition.sum(0)[label] - share.sum(1))
        odds = (q / np.maximum(1 - p.p(), MIN_REST) * is_rival).sum(1)
        odds += q_other / np.maximum(1 - p_other, MIN_REST) * (n_classes - is_rival.sum(1) - 1)
    else:
        q, at = tempered_columns(p, power), (label, np.arange(len(label)))
        plain = q if power == 1 else tempered_columns(p, 1.0)
        own, p_own = q[at], plain[at]
        by_class = (q * transition[:, label]).sum(0)
        rivals = q / np.maximum(1 - plain, MIN_REST)
        rivals[at] = 0
        odds = rivals.sum(0)
    return np.stack([own, (1 - own) / max(1, n_classes - 1), by_class, odds * np.maximum(p_own, MIN_LIKELIHOOD)])
