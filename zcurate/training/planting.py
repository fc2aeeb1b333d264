"""Plant known errors: the scan measures itself with wrong labels it put in on purpose.

Leaves: which rows are shown wrong, and with which label. Enters: labels, held-out probabilities where there are any, a generator.
Kinds: `uniform` (any other class), `confused` (drawn from what the given class is confused with), `boundary` (rows near the
boundary of the held-out predictions get the best wrong class, as in instance-dependent noise).
"""

from __future__ import annotations

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.encoding.encoded import EncodedRows
from zcurate.evidence import planted as planted_module
from zcurate.evidence.evidence import Round
from zcurate.evidence.heldout import Heldout, best_other, given_probability, mean_heldout, take_rows
from zcurate.evidence.planted import TARGET_KINDS, Planted


def plant_classes(
    y: np.ndarray, candidates: np.ndarray, n_classes: int, n: int, kinds: tuple[str, ...], p: Heldout | None, rng: np.random.Generator
) -> Planted:
    """Choose `n` rows and a wrong class for each, the kinds in equal parts.

    Args:
        y: (N,) int64 given classes.
        candidates: (M,) int64 rows that may be chosen.
        n_classes: C.
        n: how many to plant.
        kinds: of `CLASS_KINDS`; all but `uniform` need `p`.
        p: (N, C) float32 held-out probabilities of an earlier round, or None.
        rng: source of every choice.
    """
    shares = np.array_split(np.arange(n), len(kinds))
    free = np.zeros(len(y), bool)
    free[candidates] = True
    rows, shown, names = [], [], []
    for kind, share in zip(kinds, shares, strict=True):
        open_rows = np.flatnonzero(free)
        if p is None or kind == "uniform":
            weight = np.ones(len(open_rows)) if p is None else p[open_rows, y[open_rows]].astype(float) + 1e-6
            picked = rng.choice(open_rows, min(len(share), len(open_rows)), replace=False, p=weight / weight.sum())
            label = (y[picked] + rng.integers(1, n_classes, len(picked))) % n_classes
        else:
            picked, label = plant_confused(y, open_rows, p, len(share), kind, rng)
        free[picked] = False
        rows.append(picked)
        shown.append(label)
        names.append(np.full(len(picked), kind, "U8"))
    return Planted(np.concatenate(rows), np.concatenate(shown), np.concatenate(names))


def plant_confused(y: np.ndarray, rows: np.ndarray, p: Heldout, n: int, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and wrong classes of kind `confused` or `boundary`.

    A row that the model already holds for wrong is left alone in proportion: flipping it could make it right.

    Args:
        y: (N,) int64 given classes.
        rows: (M,) int64 rows to choose from.
        p: (N, C) held-out probabilities.
        n: how many.
        kind: `confused` or `boundary`.
        rng: source of every choice.
    """
    some = take_rows(p, rows)
    own, rival = given_probability(some, y[rows]), best_other(some, y[rows])
    weight = own.astype(float) + 1e-6
    if kind == "boundary":
        margin = own - given_probability(some, rival)
        weight = np.where(margin > 0, (1 - margin**2) / 2, 0.0) + 1e-6
    at = rng.choice(len(rows), min(n, len(rows)), replace=False, p=weight / weight.sum())
    if kind == "boundary":
        return rows[at], rival[at]
    noise_model = confusion_rows(y, p)
    draw = rng.random(len(at))[:, None]
    label = (np.cumsum(noise_model[y[rows[at]]], 1) < draw).sum(1).clip(max=p.shape[1] - 1)
    same = label == y[rows[at]]
    return rows[at], np.where(same, rival[at], label)


def confusion_rows(y: np.ndarray, p: Heldout) -> np.ndarray:
    """(C, C) float64: for each given class, the mean held-out probability of every other class, summing to 1.

    Args:
        y: (N,) int64 given classes, -1 where unlabelled.
        p: (N, C) held-out probabilities.
    """
    n_classes = p.shape[1]
    total = np.full((n_classes, n_classes), 1e-6)
    labelled = y >= 0
    for part in chunk_slices(len(y), n_classes):
        mine = labelled[part]
        np.add.at(total, y[part][mine], p[part][mine])
    np.fill_diagonal(total, 0)
    return total / total.sum(1, keepdims=True)


def plant_targets(y: np.ndarray, candidates: np.ndarray, n: int, rng: np.random.Generator, kinds: tuple[str, ...] = TARGET_KINDS) -> Planted:
    """Choose `n` rows and a wrong target for each: another row's, a shift of at least half a deviation, a unit error.

    What comes out too near the right target (a swap with its like, ten times nothing) is shifted instead, and named so.

    Args:
        y: (N,) float64 targets in the user's unit.
        candidates: (M,) int64 rows that may be chosen.
        n: how many to plant.
        rng: source of every choice.
        kinds: of `TARGET_KINDS`, in equal parts.
    """
    rows = rng.choice(candidates, min(n, len(candidates)), replace=False)
    kind = np.array(kinds)[np.arange(len(rows)) % len(kinds)]
    spread = float(np.std(y[candidates])) or 1.0
    clipped = np.clip(y[candidates], *np.quantile(y[candidates], [0.01, 0.99]))
    spread = min(spread, float(np.std(clipped)) or spread)
    other = y[rng.choice(candidates, len(rows))]
    size = spread * (0.5 + rng.exponential(1.0, len(rows)))
    shift = y[rows] + np.where(rng.random(len(rows)) < 0.5, -1, 1) * size
    scale = y[rows] * np.where(rng.random(len(rows)) < 0.5, 10.0, 0.1)
    shown = np.select([kind == "swap", kind == "shift"], [other, shift], scale)
    too_near = np.abs(shown - y[rows]) < 0.5 * spread
    shown = np.where(too_near, shift, shown)
    return Planted(rows, shown.astype(np.float64), np.where(too_near, "shift", kind).astype("U8"))


PLANT_SHARE, MAX_PLANTED_SINGLE_ROUND = 0.04, 2000
"""Share of the rows that each round is shown wrong; and how many at most where no other round shows them right."""


def plant_round(
    encoded: EncodedRows, y: np.ndarray, candidates: np.ndarray, n_labelled: int, rounds: list[Round], rng: np.random.Generator, most: int
) -> Planted:
    """The errors that the next round is shown, in the encoded labels' unit, `most` at most."""
    n = min(max(round(PLANT_SHARE * n_labelled), 12), n_labelled // 8, len(candidates) // 2, most)
    if encoded.target is not None:
        targets = encoded.target.back(y)
        planted = plant_targets(targets, candidates, n, rng)
        return Planted(planted.row, encoded.target.forward(planted.label), planted.kind)
    p = mean_heldout([take_rows(one.heldout, slice(len(y))) for one in rounds], y) if rounds else None
    kinds = planted_module.CLASS_KINDS if rounds else ("uniform",)
    return plant_classes(y, candidates, encoded.n_outputs, n, kinds, p, rng)
