"""Rounds that keep the rows learned first, until held-out predictions get no better (late stopping, arXiv:2308.13862). Imports no torch.

The paper trains each round until the wanted share of the rows has been learned, and sets that share by a known noise rate; here every round has the same
epochs, the rows that were learned last are left out of the next ones, and the held-out loss of the given labels says when to stop.
"""

from __future__ import annotations

import numpy as np

from zcurate.evidence.evidence import Round

MIN_P = 0.05
"""Floor of a held-out probability, so that wrong labels, which better models find less probable, do not outweigh the rest."""


def learned_last(last: Round, excluded: np.ndarray, share: float, kept: np.ndarray) -> np.ndarray:
    """Leave out the rows that were learned last: late or never, those with the smallest margin first among equals.

    Args:
        last: the round before.
        excluded: (N,) bool, rows that it left out.
        share: of the rows that it trained on.
        kept: (M,) int64 rows that must stay: planted in the coming round, or decided on by a person.

    Returns:
        (N,) bool, with the rows that were left out before.
    """
    epoch, margin = last.columns["learned_epoch"], last.columns["margin_mean"]
    candidates = ~excluded & np.isfinite(epoch) & np.isfinite(margin)
    # Under a planted label it is not known when the given one would have been learned.
    candidates[last.planted.row] = False
    n = round(share * candidates.sum())
    candidates[kept] = False
    rows = np.flatnonzero(candidates)
    order = np.lexsort((margin[rows], -epoch[rows]))
    out = excluded.copy()
    out[rows[order[:n]]] = True
    out[kept] = False
    return out


def is_over(rounds: list[Round], y: np.ndarray) -> bool:
    """Whether the last round predicts held-out rows no better than the one before.

    Args:
        rounds: so far.
        y: (N,) int64 given classes, -1 = unlabelled.
    """
    return len(rounds) > 1 and robust_loss(rounds[-1], y) >= robust_loss(rounds[-2], y)


def robust_loss(one: Round, y: np.ndarray) -> float:
    """Mean held-out loss [nats] of the given labels, with a floor for the probabilities.

    Args:
        one: a round.
        y: (N,) int64 given classes, -1 = unlabelled.
    """
    known = np.flatnonzero(y >= 0)
    return float(-np.log(np.maximum(one.heldout[known, y[known]], MIN_P)).mean())
