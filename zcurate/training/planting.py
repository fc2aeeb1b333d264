"""Planting of known label errors, by which the scan measures its own detection rate.

Kinds: `uniform` (any other class), `confused` (drawn from the classes that the given class is confused with), `boundary` (rows near the
boundary of the held-out predictions get the best wrong class, as in instance-dependent noise).
"""

from __future__ import annotations

import numpy as np

from zcurate.arrays.chunk import chunk_ranges, chunk_slices
from zcurate.encoding.encoded import EncodedRows
from zcurate.evidence.evidence import Round
from zcurate.evidence.heldout import Heldout, best_other, given_probability, mean_heldout, take_rows
from zcurate.evidence.planted import CLASS_KINDS, TARGET_KINDS, Planted
from zcurate.training.sampler import LEADING_ROWS

PLANT_SHARE, MAX_PLANTED_SINGLE_ROUND = 0.04, 2000
"""Planted errors of a round as a share of the labelled rows; and their largest number if there is no other round with the right labels."""

COPY_ROWS = 1 << 20
"""Rows among which copies are looked for at a time."""


def plant_classes(
    y: np.ndarray, candidates: np.ndarray, n_classes: int, n: int, kinds: tuple[str, ...], p: Heldout | None, rng: np.random.Generator
) -> Planted:
    """Choose rows and a wrong class for each, all kinds equally often.

    Args:
        y: (N,) int64 given classes.
        candidates: (M,) int64 rows that may be chosen.
        n_classes: C.
        n: number of errors to plant.
        kinds: from `CLASS_KINDS`; all but `uniform` need `p`.
        p: (N, C) float32 held-out probabilities of an earlier round, or None.
        rng: source of every choice.
    """
    parts = np.array_split(np.arange(n), len(kinds))
    available = np.zeros(len(y), bool)
    available[candidates] = True
    rows, labels, names = [], [], []
    for kind, part in zip(kinds, parts, strict=True):
        remaining = np.flatnonzero(available)
        if p is None or kind == "uniform":
            weight = np.ones(len(remaining)) if p is None else p[remaining, y[remaining]].astype(float) + 1e-6
            chosen = rng.choice(remaining, min(len(part), len(remaining)), replace=False, p=weight / weight.sum())
            label = (y[chosen] + rng.integers(1, n_classes, len(chosen))) % n_classes
        else:
            chosen, label = plant_confused(y, remaining, p, len(part), kind, rng)
        available[chosen] = False
        rows.append(chosen)
        labels.append(label)
        names.append(np.full(len(chosen), kind, "U8"))
    return Planted(np.concatenate(rows), np.concatenate(labels), np.concatenate(names))


def plant_confused(y: np.ndarray, rows: np.ndarray, p: Heldout, n: int, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Choose rows and wrong classes of kind `confused` or `boundary`.

    Rows are drawn in proportion to the probability of their label: changing a label that the model considers wrong could correct it.

    Args:
        y: (N,) int64 given classes.
        rows: (M,) int64 rows to choose from.
        p: (N, C) held-out probabilities.
        n: number of errors to plant.
        kind: `confused` or `boundary`.
        rng: source of every choice.
    """
    of_rows = take_rows(p, rows)
    own, rival = given_probability(of_rows, y[rows]), best_other(of_rows, y[rows])
    weight = own.astype(float) + 1e-6
    if kind == "boundary":
        margin = own - given_probability(of_rows, rival)
        weight = np.where(margin > 0, (1 - margin**2) / 2, 0.0) + 1e-6
    at = rng.choice(len(rows), min(n, len(rows)), replace=False, p=weight / weight.sum())
    if kind == "boundary":
        return rows[at], rival[at]
    confusion = confusion_rows(y, p)
    draw = rng.random(len(at))[:, None]
    label = (np.cumsum(confusion[y[rows[at]]], 1) < draw).sum(1).clip(max=p.shape[1] - 1)
    unchanged = label == y[rows[at]]
    return rows[at], np.where(unchanged, rival[at], label)


def confusion_rows(y: np.ndarray, p: Heldout) -> np.ndarray:
    """Estimate the mean held-out probability of every other class for each given class.

    Args:
        y: (N,) int64 given classes, -1 where unlabelled.
        p: (N, C) held-out probabilities.

    Returns:
        (C, C) float64; rows sum to 1, the diagonal is 0.
    """
    n_classes = p.shape[1]
    total = np.full((n_classes, n_classes), 1e-6)
    labelled = y >= 0
    for part in chunk_slices(len(y), n_classes):
        keep = labelled[part]
        np.add.at(total, y[part][keep], p[part][keep])
    np.fill_diagonal(total, 0)
    return total / total.sum(1, keepdims=True)


def plant_targets(y: np.ndarray, candidates: np.ndarray, n: int, rng: np.random.Generator, kinds: tuple[str, ...] = TARGET_KINDS) -> Planted:
    """Choose rows and a wrong target for each.

    Kinds: another row's target, a shift of at least half a standard deviation, a unit error.

    A target that ends up too close to the right one (swapped with a similar one, ten times zero) is shifted instead and has the kind `shift`.

    Args:
        y: (N,) float64 targets in the user's unit.
        candidates: (M,) int64 rows that may be chosen.
        n: number of errors to plant.
        rng: source of every choice.
        kinds: from `TARGET_KINDS`, all equally often.
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
    wrong = np.select([kind == "swap", kind == "shift"], [other, shift], scale)
    too_close = np.abs(wrong - y[rows]) < 0.5 * spread
    wrong = np.where(too_close, shift, wrong)
    return Planted(rows, wrong.astype(np.float64), np.where(too_close, "shift", kind).astype("U8"))


def plant_round(
    encoded: EncodedRows, y: np.ndarray, candidates: np.ndarray, n_labelled: int, rounds: list[Round], rng: np.random.Generator, max_planted: int
) -> Planted:
    """Plant the errors of the next round, in the unit of the encoded labels: as many rows in all, whether they have copies or not.

    Args:
        encoded: N rows.
        y: (N,) encoded labels.
        candidates: (M,) int64 rows that may be chosen, leading ones where rows are memory-mapped.
        n_labelled: number of labelled rows in all.
        rounds: finished rounds; with none all errors are of kind `uniform`.
        rng: source of every choice.
        max_planted: largest number of errors.
    """
    n = min(max(round(PLANT_SHARE * n_labelled), 12), n_labelled // 8, len(candidates) // 2, max_planted)
    copies, all_labels = encoded.copies, y
    if copies is not None:
        _, of_candidate, size = np.unique(copies.key[candidates], return_inverse=True, return_counts=True)
        n = max(1, round(n / size[of_candidate].mean()))
    y = y if encoded.store.resident else y[:LEADING_ROWS]
    if encoded.target is not None:
        targets = encoded.target.back(y)
        planted = plant_targets(targets, candidates, n, rng)
        planted = Planted(planted.row, encoded.target.forward(planted.label), planted.kind)
        return planted if copies is None else with_copies(planted, copies.key, all_labels)
    p = mean_heldout([take_rows(one.heldout, slice(len(y))) for one in rounds], y) if rounds else None
    kinds = CLASS_KINDS if rounds else ("uniform",)
    planted = plant_classes(y, candidates, encoded.n_outputs, n, kinds, p, rng)
    return planted if copies is None else with_copies(planted, copies.key, all_labels)


def with_copies(planted: Planted, key: np.ndarray, y: np.ndarray) -> Planted:
    """Plant each error in the row's copies too that have its label, as a record that was copied has the same wrong label everywhere.

    Otherwise the copies would give planted errors away and not the real ones.

    Args:
        planted: errors.
        key: (N,) int64, the same for copies.
        y: (N,) given labels in the unit of the planted ones.
    """
    if not len(planted.row):
        return planted
    keys, first = np.unique(key[planted.row], return_index=True)
    rows, source = [], []
    for begin, end in chunk_ranges(len(key), COPY_ROWS):
        place = np.minimum(np.searchsorted(keys, key[begin:end]), len(keys) - 1)
        chosen = first[place]
        found = np.flatnonzero((keys[place] == key[begin:end]) & (y[begin:end] == y[planted.row[chosen]]))
        rows.append(begin + found)
        source.append(chosen[found])
    row, of = np.concatenate(rows), np.concatenate(source)
    # In the order of the errors, the kinds one after the other.
    order = np.lexsort((row, of))
    return Planted(row[order], planted.label[of[order]], planted.kind[of[order]])
