"""From suspicion to probability: isotonic means, densities of planted errors, mixtures; and what is found at each cut.

Leaves: probabilities, intervals, the calibration table. Enters: suspicions of all rows and of the planted ones. No torch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zcurate.arrays.sample import sample, sample_where
from zcurate.arrays.sort import percentile_ranks
from zcurate.evidence import noise_model
from zcurate.evidence.evidence import Evidence, LabelView
from zcurate.evidence.heldout import best_other, given_probability, take_rows
from zcurate.judge.isotonic import break_ties, isotonic_curve

CUTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BEYOND_CHANCE, BEYOND_PRIOR, MOST_SUPPORT, SUPPORT_WIDTH = 0.26, 0.2, 0.4, 0.04
"""A prediction against the label is borne out when so much more than 1 / C of the nearest rows carry another label, or so much at most, and another
class is held so much more probable than 1 / C, or so much at most."""
PLANTED_SHARE = 0.25
"""How much their density counts where confident rows tell all of the noise."""
MIN_PLANTED = 20
"""Planted errors below which their density says nothing."""
DENSITY_EDGES = np.concatenate([np.linspace(0.0, 0.6, 8)[1:], np.linspace(0.6, 1.0, 40)[1:-1]])
"""Quantiles of the suspicion between which planted errors are counted; finer where rows are suspicious."""
LOMAX_SHAPES, WEIBULL_SHAPES = (3.0, 5.0, 8.0, 30.0), (1.0, 1.05)
"""Regression: how heavy the tail of right rows may be, up to exponential (1.0) and a little lighter, as the mean of two spreads is. Lighter still,
1.1, likelihood takes hard rows for wrong; chosen on the tuning half."""


def class_probability(evidence: Evidence, real: LabelView, s: np.ndarray, planted: np.ndarray) -> tuple[np.ndarray, float, float]:
    """(N,) p_incorrect, monotone in the suspicion; and the two shares of wrong labels between which it lies.

    The mean of `noise_model.probability` at each suspicion says how many labels are wrong and roughly which; as far as the posterior is to be
    trusted, `PLANTED_SHARE` of it is replaced by how dense planted errors lie there, weighted to be confused as the data are, which knows all clues.

    Args:
        evidence: the planted rows and their own labels.
        real: N rows.
        s: (N,) suspicion.
        planted: (P,) suspicion of the planted rows.
    """
    rows = sample_where(real.labelled)
    wrong, low, high = p_incorrect_of(real, rows)
    rows, wrong = rows[~np.isnan(s[rows])], wrong[~np.isnan(s[rows])]
    judged = np.flatnonzero(~np.isnan(s))
    at = s[judged]
    p = isotonic_curve(s[rows], wrong, np.ones(len(rows)), at)
    own = p_incorrect_of(real, np.concatenate([one.planted.row for one in evidence.rounds]).astype(np.int64))[0]
    weight = planted_weights(evidence, real, own)
    known = ~np.isnan(planted) & (weight > 0)
    share = real.noise_model.reliability * PLANTED_SHARE
    if share > 0 and known.sum() >= MIN_PLANTED:
        p += share * (planted_density(at, planted[known], weight[known], float(p.mean())) - p)
    out = np.full(len(s), np.nan)
    out[judged] = break_ties(p, at)
    return out, low, high


def p_incorrect_of(real: LabelView, rows: np.ndarray) -> tuple[np.ndarray, float, float]:
    """`noise_model.probability` of some rows.

    Args:
        real: N rows.
        rows: (M,) int64 those wanted.
    """
    return noise_model.p_incorrect_under(take_rows(real.heldout, rows), real.label[rows], real.noise_model, support(real, rows))


def planted_weights(evidence: Evidence, real: LabelView, wrong: np.ndarray) -> np.ndarray:
    """(P,) weights under which planted errors are confused as confident rows say the data are; 0 where the row's own label is suspect.

    Args:
        evidence: the rounds.
        real: N rows, for the noise.
        wrong: (P,) probability that the planted row's own label is wrong.
    """
    row, shown = (np.concatenate([getattr(one.planted, name) for one in evidence.rounds]).astype(np.int64) for name in ("row", "shown"))
    own, n_classes = evidence.y[row], real.heldout.shape[1]
    planted = np.zeros((n_classes, n_classes))
    np.add.at(planted, (own, shown), 1)
    size = np.bincount(evidence.y[evidence.y >= 0], minlength=n_classes)
    return np.where(wrong < 0.5, real.noise_model.noise[own, shown] * size[own] / np.maximum(planted[own, shown], 1), 0.0)


def planted_density(s: np.ndarray, planted: np.ndarray, weight: np.ndarray, rate: float) -> np.ndarray:
    """(N,) probability of being wrong at each suspicion: rate x density of the planted errors over density of all rows, isotonic, mean `rate`.

    Args:
        s: (N,) suspicion of all rows.
        planted: (P,) suspicion of the planted rows.
        weight: (P,) their weights.
        rate: share of wrong rows.
    """
    edges = np.unique(np.quantile(s[sample(len(s))], DENSITY_EDGES))
    place = np.searchsorted(edges, s)
    count = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    effective = weight.sum() ** 2 / (weight**2).sum()
    found = np.bincount(np.searchsorted(edges, planted), weights=weight, minlength=len(count)) / weight.sum()
    found = (found * effective + 0.5 / len(found)) / (effective + 0.5)
    there = count > 0
    middle = np.bincount(place, weights=s, minlength=len(count))[there] / count[there]
    p = np.clip(rate * found[there] * len(s) / count[there], 0, 1)
    out = isotonic_curve(middle, p, count[there], s)
    for _ in range(20):
        mean = max(float(out.mean()), 1e-9)
        out *= rate
        out /= mean
        np.minimum(out, 0.999, out=out)
    return out


def support(real: LabelView, rows: np.ndarray) -> np.ndarray:
    """(M,) in [0, 1]: whether enough of the nearest rows carry one other label and the models prefer one by enough; 1 for two classes and without neighbours.

    Where the labels around are of every class, or held-out probabilities hardly differ (inputs that say nothing), a prediction against
    the given label means little, however it is sharpened.

    Args:
        real: N rows.
        rows: (M,) int64 those asked about.
    """
    n_classes = real.heldout.shape[1]
    if n_classes < 3 or "neighbour_other" not in real.columns:
        return np.ones(len(rows))
    share, p = real.column("neighbour_other")[rows], take_rows(real.heldout, rows)
    other = given_probability(p, best_other(p, np.maximum(real.label[rows], 0)))
    out = np.ones(len(rows))
    for value, beyond in ((share, BEYOND_CHANCE), (other, BEYOND_PRIOR)):
        least = min(MOST_SUPPORT, 1 / n_classes + beyond)
        out *= np.where(np.isnan(value), 1.0, 1 / (1 + np.exp(-(value - least) / SUPPORT_WIDTH)))
    return out


def target_probability(u: np.ndarray, planted: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """(N,) p_incorrect from a mixture: right rows, and each planted kind as it looks in this data.

    Right rows follow a Lomax tail in the spread (a Laplace residual whose scale varies) or a Weibull one, the kinds their own histograms. The
    weights come from the data by EM, the tail's shape and scale by likelihood over a grid, so the kind of error that the data
    shows decides, not the one that was planted most.

    Args:
        u: (N,) spread of all rows, NaN where not judged.
        planted: (P,) spread of the planted rows.
        kinds: (P,) kind of each.
    """
    judged = ~np.isnan(u)
    every, known = u[judged], u[sample_where(judged)]
    edges = np.unique(np.concatenate([np.quantile(known, np.linspace(0, 1, 41)[1:-1]), np.quantile(planted, np.linspace(0, 1, 17)[1:-1])]))
    count = np.bincount(np.searchsorted(edges, every), minlength=len(edges) + 1)
    wrong = np.stack([histogram(planted[kinds == kind], edges) for kind in sorted(set(kinds.tolist()))])
    best, p = -np.inf, np.zeros(len(count))
    for beyond in tail_shapes():
        for scale in np.median(known) / np.log(2) * np.geomspace(0.5, 1.5, 21):
            above = np.concatenate([[1.0], beyond(edges / scale), [0.0]])
            parts = np.vstack([-np.diff(above), wrong])
            weight = mixture_weights(parts, count)
            likelihood = float(count @ np.log(weight @ parts + 1e-300))
            if likelihood > best:
                best, p = likelihood, 1 - weight[0] * parts[0] / (weight @ parts + 1e-300)
    middle = np.concatenate([[edges[0] / 2], (edges[1:] + edges[:-1]) / 2, [edges[-1] * 1.5]])
    out = np.full(len(u), np.nan)
    out[judged] = break_ties(isotonic_curve(np.log1p(middle), p, count + 1e-3, np.log1p(every)), percentile_ranks(every))
    return out


def tail_shapes() -> list[Callable[[np.ndarray], np.ndarray]]:
    """Shares of right rows whose spread is beyond x scales, for x >= 0: Lomax (1 + x / k)^-k, Weibull exp(-x^k)."""
    lomax = [lambda x, k=k: (1 + x / k) ** -k for k in LOMAX_SHAPES]
    return [*lomax, *(lambda x, k=k: np.exp(-(x**k)) for k in WEIBULL_SHAPES)]


def histogram(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(len(edges) + 1,) shares of `x` between the edges, a fiftieth of a row added to each so that none is impossible."""
    count = np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) + 0.02
    return count / count.sum()


def mixture_weights(parts: np.ndarray, count: np.ndarray, n_steps: int = 60) -> np.ndarray:
    """(M,) weights of known densities that fit binned counts best, by EM.

    Args:
        parts: (M, B) shares per bin.
        count: (B,) rows per bin.
        n_steps: EM steps.
    """
    weight = np.concatenate([[0.8], np.full(len(parts) - 1, 0.2 / max(1, len(parts) - 1))])
    for _ in range(n_steps):
        share = weight[:, None] * parts
        weight = np.maximum((share / (share.sum(0) + 1e-300)) @ count, 1e-9)
        weight /= weight.sum()
    return weight


def calibration_table(p: np.ndarray, s: np.ndarray, planted: np.ndarray) -> list[dict[str, float]]:
    """At each cut: how many planted errors lie above it, and what is expected of the rows called incorrect.

    Args:
        p: (N,) p_incorrect, NaN where not judged.
        s: (N,) suspicion.
        planted: (P,) suspicion of the planted rows.
    """
    with np.errstate(invalid="ignore"):
        suspected = np.flatnonzero(p > min(CUTS))
    p, s = p[suspected], s[suspected]
    table = []
    for cut in CUTS:
        flagged = p > cut
        edge = s[flagged].min() if flagged.any() else np.inf
        found = int((planted >= edge).sum())
        expected = float(p[flagged].mean()) if flagged.any() else float("nan")
        recall = found / len(planted) if len(planted) else float("nan")
        table.append({"cut": cut, "planted": len(planted), "found": found, "recall": recall, "precision": expected, "flagged": int(flagged.sum())})
    return table
