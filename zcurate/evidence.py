"""`Evidence`: everything seen of every row, N rows, a column per thing. No torch.

Leaves: `Evidence`, `Round`. Enters: what `ledger.freeze` and the witnesses hand over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zcurate.noise import Planted


@dataclass(frozen=True)
class View:
    """Rows under some labels: what a signal looks at."""

    label: np.ndarray
    """(N,) int64 classes or float targets; -1 or NaN = unlabelled."""
    heldout: np.ndarray
    """(N, C) float32 probabilities, or (N, 2) location and log scale, from members that never trained on the row."""
    columns: dict[str, np.ndarray]
    """Per-row columns (N,), named as in `DOCS`."""
    transition: np.ndarray
    """(C, C) float64, probability that a row of class j is labelled k; (0, 0) for regression."""


@dataclass(frozen=True)
class Round:
    """What one round of members saw: each row under the label that it was shown."""

    shown: np.ndarray
    """(N,) int64 classes or float32 standardised targets that the members were shown; -1 or NaN = unlabelled."""
    planted: Planted
    """Rows shown wrong on purpose."""
    columns: dict[str, np.ndarray]
    """Per-row columns (N,), named as in `DOCS`."""
    heldout: np.ndarray
    """(N, C) float32 probabilities, or (N, 2) location and log scale, from members that never trained on the row."""
    error: np.ndarray
    """(E, N) float32, mean error over the training members at each epoch; NaN where not trained on."""
    best: float
    """How far into the run held-out predictions were best, in (0, 1]."""


@dataclass(frozen=True)
class Evidence:
    """All rounds, and the columns they agree on."""

    rounds: tuple[Round, ...]
    """R rounds."""
    columns: dict[str, np.ndarray]
    """Per-row columns (N,), taken over the rounds that showed the row its own label."""
    heldout: np.ndarray
    """(N, C) float32 mean held-out probabilities, or (N, 2) location and log scale."""
    y: np.ndarray
    """(N,) given labels as encoded; -1 or NaN = unlabelled."""


DOCS = {
    "n_seen": ("visits of members that train on the row", "visits"),
    "n_masked": ("visits in which Z-Error left the row out", "visits"),
    "z_score": ("mean signed z of the row's error over its visits", "sigma"),
    "z_max": ("largest z of all visits", "sigma"),
    "z_last": ("mean z in the last epoch", "sigma"),
    "loss_mean": ("mean loss over the epochs", "nats"),
    "confidence_mean": ("mean probability of the given label over the epochs", "probability"),
    "confidence_std": ("its standard deviation over the epochs", "probability"),
    "margin_mean": ("mean margin of the given label over its best rival", "logits"),
    "spread_best": ("regression: mean absolute error in predicted scales, while held-out predictions were still getting better", "scales"),
    "learned_epoch": ("first epoch from which the given label was predicted twice running; E when never", "epoch"),
    "n_forgotten": ("turns from right to wrong", "count"),
}
"""Each column's meaning and unit."""

COUNTS = ("n_seen", "n_masked", "n_forgotten")


def merge(rounds: tuple[Round, ...], y: np.ndarray) -> Evidence:
    """Join the rounds: counts are summed, the rest averaged over the rounds that showed the row its own label.

    Args:
        rounds: R rounds over the same N rows.
        y: (N,) given labels as encoded.
    """
    own = np.ones((len(rounds), len(y)), bool)
    for at, one in enumerate(rounds):
        own[at, one.planted.row] = False
    own[0, ~own.any(0)] = True
    columns = {}
    for name in rounds[0].columns:
        stacked = np.stack([one.columns[name] for one in rounds]).astype(np.float64)
        weight = own * np.stack([one.columns["n_seen"] for one in rounds]) if name == "z_score" else own.astype(float)
        weight = np.where(np.isnan(stacked), 0.0, weight)
        total = np.nansum(np.where(weight > 0, stacked * weight, 0.0), 0)
        if name == "z_max":
            columns[name] = np.fmax.reduce(np.where(own, stacked, np.nan), 0)
        elif name in COUNTS:
            columns[name] = total
        else:
            with np.errstate(invalid="ignore", divide="ignore"):
                columns[name] = total / weight.sum(0)
    heldout = np.mean([one.heldout for one in rounds], 0)
    return Evidence(rounds, columns, heldout, y)


def transition(heldout: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(C, C) float64: how often rows that look like class j are labelled k, counted over held-out predictions.

    Each given label keeps its own count (confident joint without thresholds, arXiv:1911.00068 section 3.1), and half a row is
    added to the diagonal so that a class that is never predicted still explains its own label.

    Args:
        heldout: (N, C) probabilities.
        y: (N,) int64 given classes, -1 = unlabelled.
    """
    n_classes = heldout.shape[1]
    labelled = y >= 0
    joint = 0.5 * np.eye(n_classes)
    np.add.at(joint, (heldout[labelled].argmax(1), y[labelled]), 1)
    joint *= np.bincount(y[labelled], minlength=n_classes) / joint.sum(0)
    return joint / np.maximum(joint.sum(1, keepdims=True), 1e-12)


def views(evidence: Evidence) -> tuple[View, list[View]]:
    """The rows under their given labels, and each round's planted rows under the labels they were shown."""
    classes = evidence.y.dtype.kind == "i"
    noise = transition(evidence.heldout, evidence.y) if classes else np.zeros((0, 0))
    real = View(evidence.y, evidence.heldout, evidence.columns, noise)
    planted = []
    for one in evidence.rounds:
        at = one.planted.row
        planted.append(View(one.shown[at], one.heldout[at], {name: column[at] for name, column in one.columns.items()}, noise))
    return real, planted
