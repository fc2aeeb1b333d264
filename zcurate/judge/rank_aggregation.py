"""Places of rows among all rows, by each clue and by all together: the suspicion that the judge goes by.

Leaves: suspicions in [0, 1], weights of the clues. Enters: views of the evidence. No torch.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.arrays.sample import sample, sample_where
from zcurate.arrays.sort import mid_rank_in, mid_ranks
from zcurate.evidence.evidence import LabelView, known_mean
from zcurate.plugins import SIGNALS
from zcurate.runtime.progress import Timings
from zcurate.runtime.threads import run_in_threads

OTHER_SIGNAL_WEIGHT = 0.5
"""Weight of a clue that the user adds."""
MIN_GAIN = 0.002
"""An added clue must rank planted errors near the boundary, the likest to people's, better by so much (AUROC), or it does not count."""


def rank_of_rows(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(M,) float64 ranks in (0, 1] of some rows' values among those that are there (a sample where there are very many); NaN stays.

    Args:
        x: (N,) values of all rows, NaN = not there.
        rows: (M,) int64 rows asked about.
    """
    reference = np.sort(x[sample_where(~np.isnan(x))])
    at = (mid_rank_in(x[rows], reference) + 0.5) / max(1, len(reference))
    return np.where(np.isnan(x[rows]), np.nan, np.minimum(at, 1.0))


def percentile_in(value: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(N,) float64 in [0, 1]: position among known values; NaN stays.

    Args:
        value: (N,).
        reference: sorted values of all rows, without NaN.
    """
    return np.where(np.isnan(value), np.nan, mid_rank_in(value, reference) / max(1, len(reference)))


def percentiles_of(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) float64 place of each value among all that are known, NaN stays; and those sorted.

    Args:
        value: (N,).
    """
    known = np.flatnonzero(~np.isnan(value))
    there = value[known] if len(known) < len(value) else value
    order, middle = mid_ranks(there)
    out = np.full(len(value), np.nan)
    out[known[order] if len(known) < len(value) else order] = middle / max(1, len(known))
    return out, there[order]


def suspicion_score(percentiles: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """(N,) float64 in [0, 1]: weighted mean place of each clue; NaN where no clue can tell.

    Args:
        percentiles: clue -> (N,) place among all rows' values, NaN = cannot tell.
        weights: clue -> weight.
    """
    out = np.full(len(next(iter(percentiles.values()))), np.nan)
    for part in chunk_slices(len(out)):
        total, weighted = np.zeros(part.stop - part.start), np.zeros(part.stop - part.start)
        for name, weight in weights.items():
            at = percentiles[name][part]
            known = ~np.isnan(at)
            total += weight * known
            weighted += np.where(known, weight * at, 0.0)
        out[part] = np.where(total > 0, weighted / np.maximum(total, 1e-12), np.nan)
    return out


def signal_percentiles(
    real: LabelView, planted: list[LabelView], hard: LabelView | None, names: list[str], timings: Timings
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Each clue's places of all rows, of the planted rows and of the hard cases, among all rows' values.

    Args:
        real: N rows.
        planted: P rows in all.
        hard: H hard cases, or None for none.
        names: clues.
        timings: takes their seconds.
    """
    labelled = real.labelled

    def placed(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        with timings(name), np.errstate(invalid="ignore", divide="ignore"):
            score = SIGNALS.load(name)
            value = np.array(score(real), np.float32)
            value[~labelled] = np.nan
            own, reference = percentiles_of(value)
            wrong = np.concatenate([percentile_in(score(view), reference) for view in planted]) if planted else np.zeros(0)
            return own, wrong, None if hard is None else percentile_in(score(hard), reference)

    found = dict(zip(names, run_in_threads([partial(placed, name) for name in names], len(labelled)), strict=True))
    rows, errors = {name: own for name, (own, _, _) in found.items()}, {name: wrong for name, (_, wrong, _) in found.items()}
    return rows, errors, {name: cases for name, (_, _, cases) in found.items() if cases is not None}


def signal_weights(
    reliability: float, names: list[str], rows: dict[str, np.ndarray], errors: dict[str, np.ndarray], kinds: np.ndarray, alone: bool = False
) -> dict[str, float]:
    """How much each clue counts: the core ones by how far the posterior is to be trusted, others if planted errors bear them out.

    Chosen on the tuning half of the bench and on simulated sets (tests/bench/README.md).

    Args:
        reliability: `Confusion.trust`.
        alone: there was one short round, in which as few members train on a row as hold it out and none has the time to learn wrong labels by
            heart; what the former say counts as much as what the latter say.
        names: clues asked for.
        rows: clue -> (N,) places of all rows.
        errors: clue -> (P,) places of the planted rows.
        kinds: (P,) kind of each.
    """
    core = {
        "posterior": reliability,
        "counted_posterior": (1 - reliability) / 2,
        "heldout_margin": 1.5 - reliability,
        "training_margin": 1.5 - reliability if alone else (1 - reliability) / 2,
        "training_posterior": reliability / 2,
    }
    weights = {name: core[name] for name in core if name in names}
    if sum(weights.values()) <= 0:
        return dict.fromkeys(names, 1.0)
    added = [name for name in names if name not in core and not np.isnan(rows[name]).all()]
    if not added:
        return weights
    some = sample(len(rows[names[0]]))
    rows = {name: at[some] for name, at in rows.items()}
    before = planted_auroc(rows, errors, kinds, weights)
    for name in added:
        after = planted_auroc(rows, errors, kinds, {**weights, name: OTHER_SIGNAL_WEIGHT})
        if after - before > MIN_GAIN:
            weights[name] = OTHER_SIGNAL_WEIGHT
            before = after
    return weights


def planted_auroc(rows: dict[str, np.ndarray], errors: dict[str, np.ndarray], kinds: np.ndarray, weights: dict[str, float]) -> float:
    """Chance that a planted row is more suspicious than any row: those of the kind `boundary`, the likest to people's, where there are some.

    Args:
        rows: clue -> (N,) places of all rows.
        errors: clue -> (P,) places of the planted rows.
        kinds: (P,) kind of each.
        weights: clue -> weight.
    """
    every = suspicion_score(rows, weights)
    at = percentile_in(suspicion_score(errors, weights), np.sort(every[~np.isnan(every)]))
    return float(np.nanmean(at[human_like(kinds)])) if len(at) else 0.0


def human_like(kinds: np.ndarray) -> np.ndarray:
    """(P,) bool planted rows that are likest to people's errors: the kind `boundary`, all where there is none of it.

    Args:
        kinds: (P,) kind of each.
    """
    near = kinds == "boundary"
    return near if near.any() else np.ones(len(kinds), bool)


def geometric_mean(view: LabelView, names: list[str]) -> np.ndarray:
    """(N,) float64 geometric mean of the clues' odds; for the held-out and the training spread these are the spreads [predicted scales].

    Args:
        view: rows of a regression.
        names: clues; one that cannot tell of a row is passed over, NaN where none can.
    """
    odds = []
    for name in names:
        value = np.clip(SIGNALS.load(name)(view).astype(np.float64), 1e-6, 1 - 1e-6)
        odds.append(np.log(value / (1 - value)))
    return np.where(np.isnan(view.label), np.nan, np.exp(known_mean(np.stack(odds))))
