"""Aggregation of signals into one suspicion score per row. Imports no torch.

Each signal is replaced by percentile ranks among all rows, so that signals of any scale can be combined. The suspicion score of a row is the
weighted mean of its percentile ranks (classes) or the geometric mean of its signals' odds (regression).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.arrays.sample import sample, sample_where
from zcurate.arrays.sort import mid_rank_in, mid_ranks
from zcurate.evidence.evidence import LabelView, mean_of_known
from zcurate.plugins import SIGNALS
from zcurate.runtime.progress import Timings
from zcurate.runtime.threads import run_in_threads

OTHER_SIGNAL_WEIGHT = 0.5
"""Weight of a signal that the user adds to the core ones."""
MIN_GAIN = 0.002
"""Minimum gain in AUROC of planted boundary errors, the ones most like human errors, from which an added signal gets weight."""


def rank_of_rows(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rank some rows' values among all known values, of which a sample is used when there are very many.

    Args:
        x: (N,) values of all rows, NaN = unknown.
        rows: (M,) int64 rows to rank.

    Returns:
        (M,) float64 ranks in (0, 1]; NaN where the value is NaN.
    """
    reference = np.sort(x[sample_where(~np.isnan(x))])
    rank = (mid_rank_in(x[rows], reference) + 0.5) / max(1, len(reference))
    return np.where(np.isnan(x[rows]), np.nan, np.minimum(rank, 1.0))


def percentile_in(value: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Compute the percentile rank of each value in a reference sample.

    Args:
        value: (N,).
        reference: sorted values of all rows, without NaN.

    Returns:
        (N,) float64 in [0, 1]; NaN where the value is NaN.
    """
    return np.where(np.isnan(value), np.nan, mid_rank_in(value, reference) / max(1, len(reference)))


def percentiles_of(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the percentile rank of each value among all known ones.

    Args:
        value: (N,).

    Returns:
        (N,) float64, NaN where the value is NaN; and the known values, sorted.
    """
    known = np.flatnonzero(~np.isnan(value))
    known_values = value[known] if len(known) < len(value) else value
    order, rank = mid_ranks(known_values)
    out = np.full(len(value), np.nan)
    out[known[order] if len(known) < len(value) else order] = rank / max(1, len(known))
    return out, known_values[order]


def suspicion_score(percentiles: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """Combine signals into a suspicion score: the weighted mean of their percentile ranks.

    Args:
        percentiles: clue -> (N,) percentile rank among all rows, NaN where the signal has no value.
        weights: clue -> weight.

    Returns:
        (N,) float64 in [0, 1]; NaN where no signal has a value.
    """
    out = np.full(len(next(iter(percentiles.values()))), np.nan)
    for part in chunk_slices(len(out)):
        total_weight, weighted = np.zeros(part.stop - part.start), np.zeros(part.stop - part.start)
        for name, weight in weights.items():
            percentile = percentiles[name][part]
            known = ~np.isnan(percentile)
            total_weight += weight * known
            weighted += np.where(known, weight * percentile, 0.0)
        out[part] = np.where(total_weight > 0, weighted / np.maximum(total_weight, 1e-12), np.nan)
    return out


def signal_percentiles(
    real: LabelView, planted: list[LabelView], hard: LabelView | None, names: list[str], timings: Timings
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Compute each signal's percentile ranks, among all rows, of all rows, of the planted rows and of the hard examples.

    Args:
        real: view of the N rows.
        planted: views of each round's planted rows, P rows in all.
        hard: view of the H hard examples, or None when there are none.
        names: clues.
        timings: receives the seconds of each clue.

    Returns:
        Three dicts from clue to percentile ranks: (N,), (P,), and (H,) or an empty dict without hard examples.
    """
    labelled = real.labelled

    def ranks(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        with timings(name), np.errstate(invalid="ignore", divide="ignore"):
            signal = SIGNALS.load(name)
            value = np.array(signal(real), np.float32)
            value[~labelled] = np.nan
            of_rows, reference = percentiles_of(value)
            of_planted = np.concatenate([percentile_in(signal(view), reference) for view in planted]) if planted else np.zeros(0)
            return of_rows, of_planted, None if hard is None else percentile_in(signal(hard), reference)

    found = dict(zip(names, run_in_threads([partial(ranks, name) for name in names], len(labelled)), strict=True))
    rows = {name: of_rows for name, (of_rows, _, _) in found.items()}
    errors = {name: of_planted for name, (_, of_planted, _) in found.items()}
    return rows, errors, {name: of_hard for name, (_, _, of_hard) in found.items() if of_hard is not None}


def signal_weights(reliability: float, names: list[str], rows: dict[str, np.ndarray], errors: dict[str, np.ndarray], kinds: np.ndarray) -> dict[str, float]:
    """Choose the weight of each signal.

    The posterior under the mixture of kinds of noise counts most; the margins of training count as far as noise is not explained by the classes. The
    held-out margin and the neighbors' labels are reasons for what is found, but the posterior ranks better without them. Every other signal gets
    `OTHER_SIGNAL_WEIGHT` if it improves the ranking of planted errors. The rule was chosen on the tuning half of the bench (tests/bench/README.md).

    Args:
        reliability: `NoiseModel.reliability`.
        names: selected clues.
        rows: clue -> (N,) percentile ranks of all rows.
        errors: clue -> (P,) percentile ranks of the planted rows.
        kinds: (P,) kind of each planted error.

    Returns:
        Clue -> weight; signals that planted errors do not support are missing.
    """
    core = {"posterior": 1.0, "training_margin": (1 - reliability) / 2, "heldout_margin": 0.0, "neighbour_labels": 0.0}
    weights = {name: core[name] for name in core if name in names}
    if sum(weights.values()) <= 0:
        return dict.fromkeys(names, 1.0)
    added = [name for name in names if name not in core and not np.isnan(rows[name]).all()]
    if not added:
        return weights
    sampled = sample(len(rows[names[0]]))
    rows = {name: percentile[sampled] for name, percentile in rows.items()}
    before = planted_auroc(rows, errors, kinds, weights)
    for name in added:
        after = planted_auroc(rows, errors, kinds, {**weights, name: OTHER_SIGNAL_WEIGHT})
        if after - before > MIN_GAIN:
            weights[name] = OTHER_SIGNAL_WEIGHT
            before = after
    return weights


def planted_auroc(rows: dict[str, np.ndarray], errors: dict[str, np.ndarray], kinds: np.ndarray, weights: dict[str, float]) -> float:
    """Compute the probability that a human-like planted error has a higher suspicion score than a random row.

    Args:
        rows: clue -> (N,) percentile ranks of all rows.
        errors: clue -> (P,) percentile ranks of the planted rows.
        kinds: (P,) kind of each planted error.
        weights: clue -> weight.
    """
    scores = suspicion_score(rows, weights)
    percentile = percentile_in(suspicion_score(errors, weights), np.sort(scores[~np.isnan(scores)]))
    return float(np.nanmean(percentile[human_like(kinds)])) if len(percentile) else 0.0


def human_like(kinds: np.ndarray) -> np.ndarray:
    """Select the planted errors most like human errors: (P,) bool, those of kind `boundary`, or all when there are none.

    Args:
        kinds: (P,) kind of each planted error.
    """
    boundary = kinds == "boundary"
    return boundary if boundary.any() else np.ones(len(kinds), bool)


def geometric_mean(view: LabelView, names: list[str]) -> np.ndarray:
    """Combine regression signals into a suspicion score: the geometric mean of their odds.

    The odds of the held-out and of the training residual are the residuals themselves [predicted scales].

    Args:
        view: rows of a regression.
        names: clues; one without a value for a row is skipped there.

    Returns:
        (N,) float64 >= 0; NaN where unlabelled or where no signal has a value.
    """
    log_odds = []
    for name in names:
        value = np.clip(SIGNALS.load(name)(view).astype(np.float64), 1e-6, 1 - 1e-6)
        log_odds.append(np.log(value / (1 - value)))
    return np.where(np.isnan(view.label), np.nan, np.exp(mean_of_known(np.stack(log_odds))))
