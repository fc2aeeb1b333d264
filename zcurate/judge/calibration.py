"""Calibration of suspicion scores to probabilities, and the table of what is found at each cut. Imports no torch.

Classes: the mean posterior at each suspicion score, smoothed by isotonic regression and mixed with the density of planted errors. Regression:
a mixture of right rows and planted errors, fitted by EM.
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
"""Thresholds on p_incorrect listed in the calibration table."""
NEIGHBOR_EXCESS, PROBABILITY_EXCESS, MAX_SUPPORT_LEVEL, SUPPORT_WIDTH = 0.26, 0.2, 0.4, 0.04
"""A prediction against the label is supported when the share of neighbors with one other label exceeds 1 / C by `NEIGHBOR_EXCESS` and the probability
of another class exceeds 1 / C by `PROBABILITY_EXCESS`; both levels are at most `MAX_SUPPORT_LEVEL`, and `SUPPORT_WIDTH` is the width of the logistic
step at each."""
PLANTED_SHARE = 0.25
"""Weight of the density of planted errors where confident rows explain all of the noise."""
MIN_PLANTED = 20
"""Number of planted errors below which their density is not used."""
DENSITY_EDGES = np.concatenate([np.linspace(0.0, 0.6, 8)[1:], np.linspace(0.6, 1.0, 40)[1:-1]])
"""Quantiles of the suspicion score that bound the bins in which planted errors are counted; finer where rows are suspicious."""
LOMAX_SHAPES, WEIBULL_SHAPES = (3.0, 5.0, 8.0, 30.0), (1.0, 1.05)
"""Regression: candidate tail shapes of the residuals of right rows, from heavy to exponential (1.0) and slightly lighter, as the mean of two residuals
is. With a still lighter tail, 1.1, maximum likelihood takes hard rows for wrong ones; chosen on the tuning half."""


def class_probability(evidence: Evidence, real: LabelView, s: np.ndarray, planted: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Calibrate p_incorrect for classes, as an increasing function of the suspicion score.

    The posterior of `noise_model.p_incorrect_under` estimates how many labels are wrong and roughly which; isotonic regression on the suspicion
    score turns it into a curve. The density of planted errors depends on all signals, but says nothing about how many labels are wrong. It is
    rescaled to the mean of that curve and mixed in with weight `PLANTED_SHARE` x reliability, after weighting the planted errors so that they
    confuse classes as the data do.

    Args:
        evidence: the rounds, with the planted rows and their given labels.
        real: view of the N rows.
        s: (N,) suspicion score.
        planted: (P,) suspicion score of the planted rows.

    Returns:
        (N,) p_incorrect, NaN where there is no score; and lower and upper bound of the share of wrong labels.
    """
    rows = sample_where(real.labelled)
    wrong, low, high = p_incorrect_of(real, rows)
    rows, wrong = rows[~np.isnan(s[rows])], wrong[~np.isnan(s[rows])]
    judged = np.flatnonzero(~np.isnan(s))
    score = s[judged]
    p = isotonic_curve(s[rows], wrong, np.ones(len(rows)), score)
    given_wrong = p_incorrect_of(real, np.concatenate([one.planted.row for one in evidence.rounds]).astype(np.int64))[0]
    weight = planted_weights(evidence, real, given_wrong)
    known = ~np.isnan(planted) & (weight > 0)
    share = real.noise_model.reliability * PLANTED_SHARE
    if share > 0 and known.sum() >= MIN_PLANTED:
        p += share * (planted_density(score, planted[known], weight[known], float(p.mean())) - p)
    out = np.full(len(s), np.nan)
    out[judged] = break_ties(p, score)
    return out, low, high


def p_incorrect_of(real: LabelView, rows: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Compute `noise_model.p_incorrect_under` for some rows.

    Args:
        real: view of the N rows.
        rows: (M,) int64.
    """
    return noise_model.p_incorrect_under(take_rows(real.heldout, rows), real.label[rows], real.noise_model, support(real, rows))


def planted_weights(evidence: Evidence, real: LabelView, given_wrong: np.ndarray) -> np.ndarray:
    """Weight planted errors so that pairs of classes occur as often among them as the transition matrix says they occur in the data.

    Args:
        evidence: the rounds.
        real: view of the N rows, with the noise model.
        given_wrong: (P,) probability that the given label of the planted row is wrong.

    Returns:
        (P,) weights; 0 where the given label is itself suspect, so that the planted one may be right.
    """
    row, label = (np.concatenate([getattr(one.planted, name) for one in evidence.rounds]).astype(np.int64) for name in ("row", "label"))
    given, n_classes = evidence.y[row], real.heldout.shape[1]
    n_planted = np.zeros((n_classes, n_classes))
    np.add.at(n_planted, (given, label), 1)
    class_size = np.bincount(evidence.y[evidence.y >= 0], minlength=n_classes)
    expected = real.noise_model.transition[given, label] * class_size[given]
    return np.where(given_wrong < 0.5, expected / np.maximum(n_planted[given, label], 1), 0.0)


def planted_density(s: np.ndarray, planted: np.ndarray, weight: np.ndarray, rate: float) -> np.ndarray:
    """Compute the probability of a wrong label at each suspicion score by Bayes' rule.

    That is `rate` x density of planted errors / density of all rows, estimated in bins, made isotonic, and rescaled to mean `rate`.

    Args:
        s: (N,) suspicion score of all rows.
        planted: (P,) suspicion score of the planted rows.
        weight: (P,) their weights.
        rate: share of wrong labels.

    Returns:
        (N,) float64, at most .999.
    """
    edges = np.unique(np.quantile(s[sample(len(s))], DENSITY_EDGES))
    row_bin = np.searchsorted(edges, s)
    count = np.bincount(row_bin, minlength=len(edges) + 1).astype(np.float64)
    effective_size = weight.sum() ** 2 / (weight**2).sum()
    planted_share = np.bincount(np.searchsorted(edges, planted), weights=weight, minlength=len(count)) / weight.sum()
    planted_share = (planted_share * effective_size + 0.5 / len(planted_share)) / (effective_size + 0.5)
    occupied = count > 0
    center = np.bincount(row_bin, weights=s, minlength=len(count))[occupied] / count[occupied]
    p = np.clip(rate * planted_share[occupied] * len(s) / count[occupied], 0, 1)
    out = isotonic_curve(center, p, count[occupied], s)
    # Clipping lowers the mean, so rescaling and clipping alternate.
    for _ in range(20):
        mean = max(float(out.mean()), 1e-9)
        out *= rate
        out /= mean
        np.minimum(out, 0.999, out=out)
    return out


def support(real: LabelView, rows: np.ndarray) -> np.ndarray:
    """Measure how far a prediction against the given label is supported by the neighbors' labels and by the probability of the other class.

    Where the neighbors carry labels of every class, or held-out probabilities hardly differ (uninformative inputs), a prediction against the
    given label means little, whatever its inverse temperature.

    Args:
        real: view of the N rows.
        rows: (M,) int64 rows to measure.

    Returns:
        (M,) in [0, 1]; 1 for two classes and without neighbors.
    """
    n_classes = real.heldout.shape[1]
    if n_classes < 3 or "neighbour_other" not in real.columns:
        return np.ones(len(rows))
    neighbor_share, p = real.column("neighbour_other")[rows], take_rows(real.heldout, rows)
    p_other = given_probability(p, best_other(p, np.maximum(real.label[rows], 0)))
    out = np.ones(len(rows))
    for value, excess in ((neighbor_share, NEIGHBOR_EXCESS), (p_other, PROBABILITY_EXCESS)):
        level = min(MAX_SUPPORT_LEVEL, 1 / n_classes + excess)
        out *= np.where(np.isnan(value), 1.0, 1 / (1 + np.exp(-(value - level) / SUPPORT_WIDTH)))
    return out


def target_probability(s: np.ndarray, planted: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Calibrate p_incorrect for regression by a mixture of right rows and the kinds of planted errors.

    The scores of right rows follow a Lomax (a Laplace residual whose scale varies) or Weibull distribution; those of each kind of error follow
    the histogram of its planted rows. EM fits the mixture weights to the data, so the kind of error that the data show decides and not the one
    that was planted most; shape and scale of the tail are chosen by maximum likelihood on a grid.

    Args:
        s: (N,) suspicion score of all rows [predicted scales], NaN where not judged.
        planted: (P,) suspicion score of the planted rows.
        kinds: (P,) kind of each planted error.

    Returns:
        (N,) float64 p_incorrect, NaN where not judged.
    """
    judged = ~np.isnan(s)
    scores, sampled = s[judged], s[sample_where(judged)]
    edges = np.unique(np.concatenate([np.quantile(sampled, np.linspace(0, 1, 41)[1:-1]), np.quantile(planted, np.linspace(0, 1, 17)[1:-1])]))
    count = np.bincount(np.searchsorted(edges, scores), minlength=len(edges) + 1)
    error_densities = np.stack([histogram(planted[kinds == kind], edges) for kind in sorted(set(kinds.tolist()))])
    p = p_incorrect_in_bins(edges, count, error_densities, np.median(sampled) / np.log(2))
    center = np.concatenate([[edges[0] / 2], (edges[1:] + edges[:-1]) / 2, [edges[-1] * 1.5]])
    out = np.full(len(s), np.nan)
    out[judged] = break_ties(isotonic_curve(np.log1p(center), p, count + 1e-3, np.log1p(scores)), percentile_ranks(scores))
    return out


def p_incorrect_in_bins(edges: np.ndarray, count: np.ndarray, error_densities: np.ndarray, scale: float) -> np.ndarray:
    """Fit the mixture by maximum likelihood and return the posterior probability of an error in each bin.

    Args:
        edges: (B - 1,) bounds of the bins, ascending.
        count: (B,) rows per bin.
        error_densities: (M, B) share of each kind of error per bin.
        scale: initial guess of the scale of right rows; half to one and a half times this are tried.

    Returns:
        (B,) float64.
    """
    best, p = -np.inf, np.zeros(len(count))
    for survival in survival_functions():
        for tail_scale in scale * np.geomspace(0.5, 1.5, 21):
            beyond = np.concatenate([[1.0], survival(edges / tail_scale), [0.0]])
            densities = np.vstack([-np.diff(beyond), error_densities])
            weight = mixture_weights(densities, count)
            likelihood = float(count @ np.log(weight @ densities + 1e-300))
            if likelihood > best:
                best, p = likelihood, 1 - weight[0] * densities[0] / (weight @ densities + 1e-300)
    return p


def survival_functions() -> list[Callable[[np.ndarray], np.ndarray]]:
    """List candidate survival functions of the scores of right rows, at x >= 0 scales: Lomax (1 + x / k)^-k and Weibull exp(-x^k)."""
    lomax = [lambda x, k=k: (1 + x / k) ** -k for k in LOMAX_SHAPES]
    return [*lomax, *(lambda x, k=k: np.exp(-(x**k)) for k in WEIBULL_SHAPES)]


def histogram(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Compute the share of `x` in each bin, (len(edges) + 1,), with a fiftieth of a row added to each so that none is impossible."""
    count = np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) + 0.02
    return count / count.sum()


def mixture_weights(densities: np.ndarray, count: np.ndarray, n_steps: int = 60) -> np.ndarray:
    """Fit the weights of a mixture of known densities to binned counts by EM.

    Args:
        densities: (M, B) shares per bin.
        count: (B,) rows per bin.
        n_steps: number of EM steps.

    Returns:
        (M,) weights with sum 1.
    """
    weight = np.concatenate([[0.8], np.full(len(densities) - 1, 0.2 / max(1, len(densities) - 1))])
    for _ in range(n_steps):
        joint = weight[:, None] * densities
        weight = np.maximum((joint / (joint.sum(0) + 1e-300)) @ count, 1e-9)
        weight /= weight.sum()
    return weight


def calibration_table(p: np.ndarray, s: np.ndarray, planted: np.ndarray) -> list[dict[str, float]]:
    """Tabulate, for each cut, the planted errors found and the expected precision of the rows called incorrect.

    Args:
        p: (N,) p_incorrect, NaN where not judged.
        s: (N,) suspicion score.
        planted: (P,) suspicion score of the planted rows.
    """
    with np.errstate(invalid="ignore"):
        suspected = np.flatnonzero(p > min(CUTS))
    p, s = p[suspected], s[suspected]
    table = []
    for cut in CUTS:
        flagged = p > cut
        lowest = s[flagged].min() if flagged.any() else np.inf
        found = int((planted >= lowest).sum())
        precision = float(p[flagged].mean()) if flagged.any() else float("nan")
        recall = found / len(planted) if len(planted) else float("nan")
        table.append({"cut": cut, "planted": len(planted), "found": found, "recall": recall, "precision": precision, "flagged": int(flagged.sum())})
    return table
