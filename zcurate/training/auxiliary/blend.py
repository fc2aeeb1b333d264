"""Blending of held-out predictions of several kinds of models.

Weights are chosen by the likelihood of the labels under the noise model, not by accuracy: accuracy would favor a model that also learns
the wrong labels.
"""

from __future__ import annotations

import dataclasses
from math import sqrt

import numpy as np

from zcurate.arrays.sample import sample
from zcurate.evidence import noise_model
from zcurate.evidence.evidence import Evidence
from zcurate.evidence.heldout import AuxiliaryPredictions, TopKProbabilities, temper, tempered_columns

BLEND_ROWS = 8000
"""Rows that weights are chosen on, at most."""
SHARES = (0.25, 0.5, 0.75)
"""Candidate weights of a further kind of model relative to the blend before it."""

WHOLE = ("probabilities",)
"""Kinds that may be all of the blend: the user's own model may be better than everything here."""
REPLACING = ("ridge",)
"""Kinds that replace the members where they are likelier: on more columns than rows the members memorize every label, and the smallest weight that
so few rows do not rule out would only add noise."""


def blend(evidence: Evidence, predictions: dict[str, AuxiliaryPredictions]) -> tuple[Evidence, dict[str, float]]:
    """Blend the held-out probabilities of the members with those of auxiliary models.

    The most likely setting of each kind is used, tempered to the inverse temperature of the members. Kinds are added one by one, each with
    the smallest weight within one standard error of the best (Breiman et al. 1984, section 3.4.3: the rows cannot tell the two apart).

    Args:
        evidence: of a classification; with top-k probabilities nothing is blended.
        predictions: of all rows and of the last round's hard examples, by kind and setting such as `boosted 30`.

    Returns:
        The evidence with blended probabilities; and the weight of the members and of each auxiliary model, 1 in total.
    """
    if not predictions or isinstance(evidence.heldout, TopKProbabilities):
        return evidence, {"members": 1.0}
    labelled = np.flatnonzero(evidence.y >= 0)
    rows = labelled[sample(len(labelled), BLEND_ROWS)]
    y, heldout, last = evidence.y[rows], evidence.heldout, evidence.rounds[-1]
    hard = last.hard_heldout
    weights, loss = {"members": 1.0}, negative_log_likelihood(heldout[rows], y)
    inverse_temperature = noise_model.estimate_noise(heldout[rows], y).inverse_temperature
    for name in most_likely(predictions, rows, y):
        if name.split()[0] in REPLACING:
            auxiliary, own_loss = predictions[name], negative_log_likelihood(predictions[name].rows[rows], y)
            share, loss = (1.0, own_loss) if own_loss.mean() < loss.mean() else (0.0, loss)
        else:
            auxiliary = temper_to(predictions[name], rows, y, inverse_temperature)
            share, loss = best_share(heldout[rows], auxiliary.rows[rows], y, loss, (*SHARES, 1.0) if name in WHOLE else SHARES)
        if share:
            heldout = mix(heldout, auxiliary.rows, share)
            hard = mix(hard, auxiliary.hard, share) if len(auxiliary.hard) else hard
            weights = {**{kind: weight * (1 - share) for kind, weight in weights.items()}, name: share}
    rounds = (*evidence.rounds[:-1], dataclasses.replace(last, hard_heldout=hard))
    return dataclasses.replace(evidence, heldout=heldout, rounds=rounds), weights


def most_likely(predictions: dict[str, AuxiliaryPredictions], rows: np.ndarray, y: np.ndarray) -> list[str]:
    """Choose the setting of each kind under which the labels are most likely.

    Args:
        predictions: by kind and setting.
        rows: (n,) int64.
        y: (n,) their given classes.

    Returns:
        One name per kind, the kinds in their order.
    """
    kinds: dict[str, list[str]] = {}
    for name in predictions:
        kinds.setdefault(name.split()[0], []).append(name)

    def loss(name: str) -> float:
        return float(negative_log_likelihood(predictions[name].rows[rows], y).mean())

    return [names[0] if len(names) == 1 else min(names, key=loss) for names in kinds.values()]


def temper_to(auxiliary: AuxiliaryPredictions, rows: np.ndarray, y: np.ndarray, inverse_temperature: float) -> AuxiliaryPredictions:
    """Temper predictions to the inverse temperature of the members.

    The confidence of the blend then does not depend on the weights.

    Args:
        auxiliary: predictions of another kind of model.
        rows: (n,) int64 rows on which the inverse temperature is estimated.
        y: (n,) their given classes.
        inverse_temperature: inverse temperature of the members.
    """
    power = noise_model.estimate_noise(auxiliary.rows[rows], y).inverse_temperature / inverse_temperature
    return AuxiliaryPredictions(*(temper(p, power).astype(np.float32) for p in auxiliary))


def best_share(p: np.ndarray, other: np.ndarray, y: np.ndarray, loss: np.ndarray, shares: tuple[float, ...] = SHARES) -> tuple[float, np.ndarray]:
    """Choose the weight with which another kind of model is added.

    Args:
        p: (n, C) probabilities so far.
        other: (n, C) probabilities of the other kind.
        y: (n,) given classes.
        loss: (n,) `negative_log_likelihood` of `p`.
        shares: candidates.

    Returns:
        0 or one of `shares`; and the (n,) `negative_log_likelihood` of the blend.
    """
    losses = [loss, *(negative_log_likelihood(mix(p, other, share), y) for share in shares)]
    best = min(losses, key=np.mean)
    return next((share, each) for share, each in zip((0.0, *shares), losses, strict=True) if (each - best).mean() <= (each - best).std() / sqrt(len(y)))


def mix(p: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """Compute the weighted mean of probabilities, (N, C) float32.

    Args:
        p: (N, C).
        other: (N, C).
        share: weight of `other`.
    """
    return ((1 - share) * p + share * other).astype(np.float32)


def negative_log_likelihood(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute the negative log-likelihood of the given labels under label noise.

    Inverse temperature and noise are estimated from confident rows.

    Args:
        p: (n, C) held-out probabilities.
        y: (n,) given classes.

    Returns:
        (n,) float64 [nats].
    """
    noise = noise_model.estimate_noise(p, y)
    likelihood = (tempered_columns(p, noise.inverse_temperature) * noise.transition[:, y]).sum(0)
    return -np.log(np.maximum(likelihood, 1e-3))
