"""Held-out predictions of several kinds of models put together, by how likely they make the given labels once noise is reckoned with.

Leaves: `Evidence`, weights. Enters: `Evidence`, what other kinds of models say. No torch. Weights are chosen by the likelihood of the labels
as `confusion` sees them, not by accuracy on them: that would favour a model that learns the wrong labels too.
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
"""Rows that weights are chosen on."""
SHARES = (0.25, 0.5, 0.75)
"""What a further kind may count for beside those before it."""


def blend(evidence: Evidence, said: dict[str, AuxiliaryPredictions]) -> tuple[Evidence, dict[str, float]]:
    """The evidence with the held-out probabilities of members and other kinds of models together; and what each counts for, 1 in all.

    Of each kind the likeliest setting counts, as blurred as the members are. One kind after another joins, with the smallest share that is within
    one standard error of the best (Breiman et al. 1984, section 3.4.3: the rows cannot tell the two apart).

    Args:
        evidence: of classes; where only the best few of them are kept nothing joins.
        said: kind and setting, such as `boosted 30` -> what it says of all rows and of the last round's hard cases.
    """
    if not said or isinstance(evidence.heldout, TopKProbabilities):
        return evidence, {"members": 1.0}
    labelled = np.flatnonzero(evidence.y >= 0)
    rows = labelled[sample(len(labelled), BLEND_ROWS)]
    y, heldout, last = evidence.y[rows], evidence.heldout, evidence.rounds[-1]
    hard = last.hard_heldout
    weights, before = {"members": 1.0}, negative_log_likelihood(heldout[rows], y)
    sharpness = noise_model.estimate_noise(heldout[rows], y).inverse_temperature
    for name in most_likely(said, rows, y):
        held = temper_to(said[name], rows, y, sharpness)
        share, before = best_share(heldout[rows], held.rows[rows], y, before)
        if share:
            heldout = mix(heldout, held.rows, share)
            hard = mix(hard, held.hard, share) if len(hard) else hard
            weights = {**{kind: weight * (1 - share) for kind, weight in weights.items()}, name: share}
    rounds = (*evidence.rounds[:-1], dataclasses.replace(last, hard_heldout=hard))
    return dataclasses.replace(evidence, heldout=heldout, rounds=rounds), weights


def most_likely(said: dict[str, AuxiliaryPredictions], rows: np.ndarray, y: np.ndarray) -> list[str]:
    """One setting of each kind, the kinds in their order: the one that makes the labels of some rows likeliest.

    Args:
        said: kind and setting -> what it says.
        rows: (n,) int64.
        y: (n,) given classes.
    """
    kinds: dict[str, list[str]] = {}
    for name in said:
        kinds.setdefault(name.split()[0], []).append(name)
    return [names[0] if len(names) == 1 else min(names, key=lambda name: negative_log_likelihood(said[name].rows[rows], y).mean()) for names in kinds.values()]


def temper_to(held: AuxiliaryPredictions, rows: np.ndarray, y: np.ndarray, sharpness: float) -> AuxiliaryPredictions:
    """What a kind says, as blurred as what the members say, so that it does not depend on the shares how sure the mixture is.

    Args:
        held: what it says.
        rows: (n,) int64 rows to measure on.
        y: (n,) their given classes.
        sharpness: the members'.
    """
    power = noise_model.estimate_noise(held.rows[rows], y).inverse_temperature / sharpness
    return AuxiliaryPredictions(*(temper(p, power).astype(np.float32) for p in held))


def best_share(p: np.ndarray, other: np.ndarray, y: np.ndarray, before: np.ndarray) -> tuple[float, np.ndarray]:
    """The share, 0 or one of `SHARES`, with which another kind joins, and `unlikely` of the mixture.

    Args:
        p: (n, C) probabilities so far.
        other: (n, C) the other kind's.
        y: (n,) given classes.
        before: (n,) `unlikely` of `p`.
    """
    found = [before, *(negative_log_likelihood(mix(p, other, share), y) for share in SHARES)]
    best = min(found, key=np.mean)
    return next((share, each) for share, each in zip((0.0, *SHARES), found, strict=True) if (each - best).mean() <= (each - best).std() / sqrt(len(y)))


def mix(p: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """(N, C) float32 weighted mean of probabilities.

    Args:
        p: (N, C).
        other: (N, C).
        share: of `other`.
    """
    return ((1 - share) * p + share * other).astype(np.float32)


def negative_log_likelihood(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) float64 negative log-likelihood [nats] of the given labels under sharpened probabilities sent through the noise that confident rows show.

    Args:
        p: (n, C) held-out probabilities.
        y: (n,) given classes.
    """
    found = noise_model.estimate_noise(p, y)
    likelihood = (tempered_columns(p, found.inverse_temperature) * found.transition[:, y]).sum(0)
    return -np.log(np.maximum(likelihood, 1e-3))
