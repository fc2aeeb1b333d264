"""The judge: signals in, verdicts out. Learns from planted errors how wrong labels look in this data.

Leaves: `Verdicts`. Enters: `Evidence`. No torch. Each row's suspicion is the mean rank of its signals; the suspicion becomes a
probability by the noise-adjusted posterior (classes) or by a mixture of right rows and planted errors (regression), made monotone
in the suspicion; planted errors say what share of wrong labels lies above each cut.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from math import erf, sqrt

import numpy as np

from zcurate import confusion
from zcurate.evidence import Evidence, Round, View, hard_view, known_mean, merge, views
from zcurate.registry import Registry
from zcurate.signals import CLASS_SIGNALS, TARGET_SIGNALS, heldout_margin, heldout_residual
from zcurate.spec import DEFAULT_CLUES
from zcurate.watch import Costs

LEAST_ROWS, LEAST_CLASSES, LEAST_PER_CLASS = 20, 2, 3
SKILL_P = 0.001
"""Held-out predictions must beat chance at this level, else no row is judged (DESIGN section 3)."""
HARD_MARGIN, HARD_WIDTH = 0.08, 0.05
"""A right row is hard when a model of clean labels would hardly prefer its label: true margin below .15 (DESIGN), which at the model's own
error is an estimated margin below .08; chosen on the tuning half."""
HARD_RESIDUAL = 0.97
"""Regression: the largest 3 % of residuals are hard (DESIGN)."""
CUTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
OUTLIER_FAR, OUTLIER_WIDTH = 2.5, 0.15
"""An input is an outlier when it lies so many times as far out as the 95th percentile (distances three times, as they have longer tails)."""
OTHER_CLUE = 0.5
"""Weight of a clue that the user adds."""
LEAST_GAIN = 0.002
"""An added clue must rank planted errors near the boundary, the likest to people's, better by so much (AUROC), or it does not count."""
BEYOND_CHANCE, MOST_SUPPORT, SUPPORT_WIDTH = 0.26, 0.4, 0.04
"""A prediction against the label is borne out when so much more than 1 / C of the nearest rows carry another label, or so much at most."""
LEAST_PLANTED = 20
"""Planted errors below which their density says nothing."""
DENSITY_EDGES = np.concatenate([np.linspace(0.0, 0.6, 8)[1:], np.linspace(0.6, 1.0, 40)[1:-1]])
"""Quantiles of the suspicion between which planted errors are counted; finer where rows are suspicious."""
TAIL_SHAPES = (3.0, 5.0, 8.0, 30.0)
"""Regression: how heavy the tail of right rows may be; 30 is nearly exponential."""
VERDICTS = ("clean", "hard", "incorrect", "outlier", "unlabelled", "skipped", "unjudged")


@dataclass(frozen=True)
class Cut:
    """Where `incorrect` begins; at most one of the three is set, none means `threshold` 0.5."""

    threshold: float | None = None
    """p_incorrect above which a row is called incorrect."""
    precision: float | None = None
    """Expected share of right calls among the rows called incorrect."""
    budget: int | None = None
    """Rows to call incorrect at most."""


@dataclass(frozen=True)
class Skill:
    """What held-out predictions are worth."""

    measure: str
    """`balanced accuracy` or `rank correlation`."""
    value: float
    chance: float
    p_value: float
    """Probability of as good a value without skill (one-sided normal approximation)."""

    @property
    def enough(self) -> bool:
        """Better than chance at `SKILL_P`."""
        return self.p_value < SKILL_P


@dataclass(frozen=True)
class Verdicts:
    """The judge's word on N encoded rows."""

    verdict: np.ndarray
    """(N,) str, one of `VERDICTS`."""
    p_incorrect: np.ndarray
    """(N,) float64; NaN where not judged."""
    p_hard: np.ndarray
    p_outlier: np.ndarray
    suggested: np.ndarray
    """(N,) int64 class, -1 = unsure; or float64 standardised target, NaN = unsure."""
    p_suggested: np.ndarray
    """(N,) float64; NaN = unsure or regression."""
    reasons: list[list[str]]
    """N lists of codes, strongest first."""
    skill: Skill
    threshold: float
    """Cut that was used on p_incorrect."""
    noise_rate: tuple[float, float, float]
    """Expected share of wrong labels, and its interval."""
    calibration: list[dict[str, float]] = field(default_factory=list)
    """One entry per cut: planted, found, recall (planted), precision and flagged (expected)."""
    why: str = ""
    """Why nothing was judged; empty when something was."""
    recall: float = float("nan")
    """Share of the planted errors above the cut."""
    recall_interval: tuple[float, float] = (float("nan"), float("nan"))
    """Its 95 % interval (Wilson)."""
    hard_cases: tuple[int, int] = (0, 0)
    """Hard cases with a right label that the scan made, and how many of them the cut calls incorrect."""
    places: dict[str, np.ndarray] = field(default_factory=dict)
    """Clue -> (N,) place among all rows' values in [0, 1]; NaN where it cannot tell."""
    weights: dict[str, float] = field(default_factory=dict)
    """Clue -> how much it counted; clues that planted errors did not bear out are missing."""


REASONS = {
    "other_class": "models that never saw the row prefer another class",
    "confused_pair": "the given label is often put where another belongs",
    "resists_training": "models that train on the row do not learn its label",
    "often_masked": "left out of the gradient more often than 95 % of the rows",
    "never_learned": "its label was never predicted twice running",
    "far_from_prediction": "the target is far from what models that never saw it predict",
    "neighbours_disagree": "the rows most like it carry another label",
    "nearer_other_class": "it lies nearer to the middle of another class",
    "copies_disagree": "exact or near copies of the row carry another label",
    "learned_badly": "its label was learned late, badly or not for long",
    "near_boundary": "two classes fit about equally well",
    "unsure": "models that never saw the row are sure of nothing",
    "learned_late": "its label was learned late",
    "forgotten": "its label was learned and lost again",
    "noisy_region": "targets scatter widely where this row lies",
    "sparse_region": "few rows lie near this one",
    "far_from_data": "the input is unlike the rest of the data",
}
"""Stable codes and their meaning in words."""

REASON_OF = {
    "posterior": "confused_pair",
    "counted_posterior": "confused_pair",
    "heldout_margin": "other_class",
    "training_margin": "resists_training",
    "training_posterior": "resists_training",
    "neighbour_labels": "neighbours_disagree",
    "class_centre": "nearer_other_class",
    "heldout_residual": "far_from_prediction",
    "training_residual": "resists_training",
    "conformal": "far_from_prediction",
    "neighbour_targets": "neighbours_disagree",
    "class_z": "learned_badly",
    "class_z_robust": "learned_badly",
    "confidence": "learned_badly",
    "correctness": "learned_badly",
    "learned_epoch": "learned_badly",
    "mastered_epoch": "learned_badly",
    "loss_cluster": "learned_badly",
    "ema_label": "learned_badly",
    "sieve": "learned_badly",
    "discrim_stage": "learned_badly",
    "discrim_weight": "learned_badly",
    "exponentiated": "learned_badly",
    "random_label": "learned_badly",
    "second_split": "learned_badly",
}
"""Which reason a clue speaks for."""
HARD_REASONS = ("near_boundary", "unsure", "learned_late", "forgotten", "noisy_region", "sparse_region")
"""Reasons why a right row is hard."""


def skill_of(evidence: Evidence) -> Skill:
    """Whether held-out predictions beat chance.

    Classes: the mean share of each class predicted right, against predicting by the overall shares; its variance under no skill is
    the sum of q_k (1 - q_k) / n_k over C^2. Targets: Spearman's rank correlation with its large-sample normal approximation.
    """
    y = evidence.y
    if y.dtype.kind == "f":
        known = ~np.isnan(y)
        a, b = ranks(evidence.heldout[known, 0].astype(np.float64)), ranks(y[known])
        flat = a.std() == 0 or b.std() == 0
        rho = 0.0 if flat else float(np.corrcoef(a, b)[0, 1])
        return Skill("rank correlation", rho, 0.0, upper_tail(rho * sqrt(max(1, known.sum() - 1))))
    known = y >= 0
    predicted, y = evidence.heldout[known].argmax(1), y[known]
    n_classes = evidence.heldout.shape[1]
    n = np.bincount(y, minlength=n_classes)
    there = n > 0
    q = np.bincount(predicted, minlength=n_classes) / len(y)
    right = np.bincount(y[predicted == y], minlength=n_classes)
    recall = right[there] / n[there]
    chance = q[there].mean()
    deviation = sqrt(float((q * (1 - q))[there] @ (1 / n[there]))) / there.sum()
    value = float(recall.mean())
    return Skill("balanced accuracy", value, float(chance), upper_tail((value - chance) / max(deviation, 1e-12)))


def upper_tail(z: float) -> float:
    """P(Z > z) of a standard normal."""
    return 0.5 * (1 - erf(z / sqrt(2)))


def ranks(x: np.ndarray) -> np.ndarray:
    """(N,) float64 ranks in (0, 1], ties share the mean."""
    order = np.sort(x)
    return (np.searchsorted(order, x, "left") + np.searchsorted(order, x, "right") + 1) / 2 / len(x)


def suspicion(places: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """(N,) float64 in [0, 1]: weighted mean place of each clue; NaN where no clue can tell.

    Args:
        places: clue -> (N,) place among all rows' values, NaN = cannot tell.
        weights: clue -> weight.
    """
    stacked = np.stack([places[name] for name in weights])
    weight = np.array(list(weights.values()))[:, None] * ~np.isnan(stacked)
    total = weight.sum(0)
    return np.where(total > 0, np.nansum(weight * np.nan_to_num(stacked), 0) / np.maximum(total, 1e-12), np.nan)


def place(value: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(N,) float64 in [0, 1]: position among known values; NaN stays.

    Args:
        value: (N,).
        reference: sorted values of all rows, without NaN.
    """
    at = (np.searchsorted(reference, value, "left") + np.searchsorted(reference, value, "right")) / 2 / max(1, len(reference))
    return np.where(np.isnan(value), np.nan, at)


def clue_places(real: View, planted: list[View], names: list[str], shelf: Registry, costs: Costs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Each clue's places of all rows and of the planted rows, among all rows' values.

    Args:
        real: N rows.
        planted: P rows in all.
        names: clues.
        shelf: where they are.
        costs: takes their seconds.
    """
    rows, errors = {}, {}
    for name in names:
        with costs(name):
            score = shelf.load(name)
            value = score(real).astype(np.float64)
            reference = np.sort(value[~np.isnan(value)])
            rows[name] = place(value, reference)
            errors[name] = np.concatenate([place(score(view).astype(np.float64), reference) for view in planted]) if planted else np.zeros(0)
    return rows, errors


def clue_weights(trust: float, names: list[str], rows: dict[str, np.ndarray], errors: dict[str, np.ndarray], kinds: np.ndarray) -> dict[str, float]:
    """How much each clue counts: the core ones by how far the posterior is to be trusted, others if planted errors bear them out.

    Chosen on the tuning half of the bench and on simulated sets (tests/bench/README.md).

    Args:
        trust: `Confusion.trust`.
        names: clues asked for.
        rows: clue -> (N,) places of all rows.
        errors: clue -> (P,) places of the planted rows.
        kinds: (P,) kind of each.
    """
    core = {
        "posterior": trust,
        "counted_posterior": (1 - trust) / 2,
        "heldout_margin": 1.5 - trust,
        "training_margin": (1 - trust) / 2,
        "training_posterior": trust / 2,
    }
    weights = {name: core[name] for name in core if name in names}
    if sum(weights.values()) <= 0:
        return dict.fromkeys(names, 1.0)
    before = planted_auroc(rows, errors, kinds, weights)
    for name in names:
        if name in core or np.isnan(rows[name]).all():
            continue
        after = planted_auroc(rows, errors, kinds, {**weights, name: OTHER_CLUE})
        if after[-1] - before[-1] > LEAST_GAIN:
            weights[name] = OTHER_CLUE
            before = after
    return weights


def planted_auroc(rows: dict[str, np.ndarray], errors: dict[str, np.ndarray], kinds: np.ndarray, weights: dict[str, float]) -> np.ndarray:
    """(M,) float64: for each planted kind the chance that a planted row is more suspicious than any row; `boundary`, the nearest to people's, last.

    Args:
        rows: clue -> (N,) places of all rows.
        errors: clue -> (P,) places of the planted rows.
        kinds: (P,) kind of each.
        weights: clue -> weight.
    """
    every = suspicion(rows, weights)
    at = place(suspicion(errors, weights), np.sort(every[~np.isnan(every)]))
    order = sorted(set(kinds.tolist()), key=lambda kind: (kind == "boundary", kind))
    return np.array([np.nanmean(at[kinds == kind]) for kind in order]) if len(at) else np.zeros(1)


def rising(x: np.ndarray, y: np.ndarray, weight: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Isotonic regression of y on x, evaluated at `at` along straight lines between the middles of its steps.

    Args:
        x: (n,) float64.
        y: (n,) float64.
        weight: (n,) float64 > 0.
        at: (m,) float64.

    Returns:
        (m,) float64, non-decreasing in `at`.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(x, kind="stable")
    fit = isotonic_regression(y[order], weights=weight[order])
    starts = fit.blocks[:-1]
    total = np.add.reduceat(weight[order], starts)
    middle = np.add.reduceat(weight[order] * x[order], starts) / total
    return np.interp(at, middle, fit.x[starts])


def strictly(p: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Probabilities with their ties broken by the suspicion, moved by at most 0.001."""
    return np.clip(p, 0, 1) * 0.998 + 0.002 * s


def class_probability(evidence: Evidence, real: View, s: np.ndarray, planted: np.ndarray) -> tuple[np.ndarray, float, float]:
    """(N,) p_incorrect, monotone in the suspicion; and the two shares of wrong labels between which it lies.

    The mean of `confusion.probability` at each suspicion says how many labels are wrong and roughly which; as far as the posterior is to be
    trusted, half of it is replaced by how dense planted errors lie there, weighted to be confused as the data are, which knows all clues.

    Args:
        evidence: the planted rows and their own labels.
        real: N rows.
        s: (N,) suspicion.
        planted: (P,) suspicion of the planted rows.
    """
    judged = ~np.isnan(s)
    wrong, low, high = confusion.probability(real.heldout, real.label, real.confusion, support(real))
    p = np.full(len(s), np.nan)
    p[judged] = rising(s[judged], wrong[judged], np.ones(judged.sum()), s[judged])
    weight = planted_weights(evidence, real, wrong)
    known = ~np.isnan(planted) & (weight > 0)
    share = real.confusion.trust / 2
    if share > 0 and known.sum() >= LEAST_PLANTED:
        p[judged] += share * (planted_density(s[judged], planted[known], weight[known], float(p[judged].mean())) - p[judged])
    p[judged] = strictly(p[judged], s[judged])
    return p, low, high


def planted_weights(evidence: Evidence, real: View, wrong: np.ndarray) -> np.ndarray:
    """(P,) weights under which planted errors are confused as confident rows say the data are; 0 where the row's own label is suspect.

    Args:
        evidence: the rounds.
        real: N rows, for the noise.
        wrong: (N,) probability that the own label is wrong.
    """
    row, shown = (np.concatenate([getattr(one.planted, name) for one in evidence.rounds]).astype(np.int64) for name in ("row", "shown"))
    own, n_classes = evidence.y[row], real.heldout.shape[1]
    planted = np.zeros((n_classes, n_classes))
    np.add.at(planted, (own, shown), 1)
    size = np.bincount(evidence.y[evidence.y >= 0], minlength=n_classes)
    return np.where(wrong[row] < 0.5, real.confusion.noise[own, shown] * size[own] / np.maximum(planted[own, shown], 1), 0.0)


def planted_density(s: np.ndarray, planted: np.ndarray, weight: np.ndarray, rate: float) -> np.ndarray:
    """(N,) probability of being wrong at each suspicion: rate x density of the planted errors over density of all rows, isotonic, mean `rate`.

    Args:
        s: (N,) suspicion of all rows.
        planted: (P,) suspicion of the planted rows.
        weight: (P,) their weights.
        rate: share of wrong rows.
    """
    edges = np.unique(np.quantile(s, DENSITY_EDGES))
    place = np.searchsorted(edges, s)
    count = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    effective = weight.sum() ** 2 / (weight**2).sum()
    found = np.bincount(np.searchsorted(edges, planted), weights=weight, minlength=len(count)) / weight.sum()
    found = (found * effective + 0.5 / len(found)) / (effective + 0.5)
    there = count > 0
    middle = np.bincount(place, weights=s, minlength=len(count))[there] / count[there]
    p = np.clip(rate * found[there] * len(s) / count[there], 0, 1)
    out = rising(middle, p, count[there], s)
    for _ in range(20):
        out = np.clip(out * rate / max(out.mean(), 1e-9), 0, 0.999)
    return out


def support(real: View) -> np.ndarray:
    """(N,) in [0, 1]: whether enough of the nearest rows carry one other label; 1 for two classes and where there are no neighbours.

    Where the labels around are of every class (inputs that say nothing), a prediction against the given label means little.
    """
    share, n_classes = real.column("neighbour_other"), real.heldout.shape[1]
    if n_classes < 3:
        return np.ones(len(share))
    least = min(MOST_SUPPORT, 1 / n_classes + BEYOND_CHANCE)
    return np.where(np.isnan(share), 1.0, 1 / (1 + np.exp(-(share - least) / SUPPORT_WIDTH)))


def together(view: View, names: list[str]) -> np.ndarray:
    """(N,) float64 geometric mean of the clues' odds; for the held-out and the training spread these are the spreads [predicted scales].

    Args:
        view: rows of a regression.
        names: clues; one that cannot tell of a row is passed over, NaN where none can.
    """
    odds = []
    for name in names:
        value = np.clip(TARGET_SIGNALS.load(name)(view).astype(np.float64), 1e-6, 1 - 1e-6)
        odds.append(np.log(value / (1 - value)))
    return np.where(np.isnan(view.label), np.nan, np.exp(known_mean(np.stack(odds))))


def target_probability(u: np.ndarray, planted: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """(N,) p_incorrect from a mixture: right rows, and each planted kind as it looks in this data.

    Right rows follow a Lomax tail in the spread (a Laplace residual whose scale varies), the kinds their own histograms. The
    weights come from the data by EM, the tail's shape and scale by likelihood over a grid, so the kind of error that the data
    shows decides, not the one that was planted most.

    Args:
        u: (N,) spread of all rows, NaN where not judged.
        planted: (P,) spread of the planted rows.
        kinds: (P,) kind of each.
    """
    known = u[~np.isnan(u)]
    edges = np.unique(np.concatenate([np.quantile(known, np.linspace(0, 1, 41)[1:-1]), np.quantile(planted, np.linspace(0, 1, 17)[1:-1])]))
    count = np.bincount(np.searchsorted(edges, known), minlength=len(edges) + 1)
    wrong = np.stack([histogram(planted[kinds == kind], edges) for kind in sorted(set(kinds.tolist()))])
    best, p = -np.inf, np.zeros(len(count))
    for shape in TAIL_SHAPES:
        for scale in np.median(known) / np.log(2) * np.geomspace(0.5, 1.5, 21):
            above = np.concatenate([[1.0], (1 + edges / (shape * scale)) ** -shape, [0.0]])
            parts = np.vstack([-np.diff(above), wrong])
            weight = mixture_weights(parts, count)
            likelihood = float(count @ np.log(weight @ parts + 1e-300))
            if likelihood > best:
                best, p = likelihood, 1 - weight[0] * parts[0] / (weight @ parts + 1e-300)
    middle = np.concatenate([[edges[0] / 2], (edges[1:] + edges[:-1]) / 2, [edges[-1] * 1.5]])
    out = np.full(len(u), np.nan)
    judged = ~np.isnan(u)
    out[judged] = strictly(rising(np.log1p(middle), p, count + 1e-3, np.log1p(known)), ranks(known))
    return out


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


def noise_interval(p: np.ndarray, n_planted: int, low: float = 1.0, high: float = 0.0) -> tuple[float, float, float]:
    """Expected share of wrong labels with an interval: binomial spread of the rows and of what was planted to learn from.

    Args:
        p: (N,) p_incorrect of the judged rows.
        n_planted: planted errors.
        low: a share that cannot be ruled out either: the interval reaches down to it.
        high: the same, upwards.
    """
    rate = float(p.mean())
    own = float((p * (1 - p)).sum()) / len(p) ** 2
    learned = rate * (1 - rate) / max(1, n_planted)
    half = 1.96 * sqrt(own + learned)
    return rate, max(0.0, min(low, rate - half)), min(1.0, max(high, rate + half))


def cut_at(cut: Cut, p: np.ndarray) -> float:
    """The threshold on p_incorrect that the user's cut comes to.

    `precision`: the lowest threshold above which the mean p_incorrect is still that high; 1 when none is.

    Args:
        cut: what was asked for.
        p: (N,) p_incorrect, NaN where not judged.
    """
    if cut.precision is None and cut.budget is None:
        return 0.5 if cut.threshold is None else cut.threshold
    falling = -np.sort(-p[~np.isnan(p)])
    if cut.budget is not None:
        return float(falling[cut.budget]) if cut.budget < len(falling) else 0.0
    mean = np.cumsum(falling) / np.arange(1, len(falling) + 1)
    n = int(np.searchsorted(-mean, -float(cut.precision or 0.0), "right"))
    return 1.0 if n == 0 else float(falling[n]) if n < len(falling) else 0.0


def calibration_table(p: np.ndarray, s: np.ndarray, planted: np.ndarray) -> list[dict[str, float]]:
    """At each cut: how many planted errors lie above it, and what is expected of the rows called incorrect.

    Args:
        p: (N,) p_incorrect, NaN where not judged.
        s: (N,) suspicion.
        planted: (P,) suspicion of the planted rows.
    """
    judged = ~np.isnan(p)
    table = []
    for cut in CUTS:
        flagged = judged & (p > cut)
        edge = s[flagged].min() if flagged.any() else np.inf
        found = int((planted >= edge).sum())
        expected = float(p[flagged].mean()) if flagged.any() else float("nan")
        recall = found / len(planted) if len(planted) else float("nan")
        table.append({"cut": cut, "planted": len(planted), "found": found, "recall": recall, "precision": expected, "flagged": int(flagged.sum())})
    return table


def wilson(found: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if n == 0:
        return float("nan"), float("nan")
    z, share = 1.96, found / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def crossing(wrong: np.ndarray, right: np.ndarray) -> float:
    """Where the normal densities of two groups of outputs cross, weighted by their sizes (METHODS 1.4).

    With a = 1/2s1^2 - 1/2s0^2, b = m0/s0^2 - m1/s1^2, c = m1^2/2s1^2 - m0^2/2s0^2 - ln(s0 n1 / s1 n0): the root of
    a x^2 + b x + c between the means; halfway between them where there is none.

    Args:
        wrong: (n0,) float64 outputs of rows of other classes.
        right: (n1,) float64 outputs of rows of the class.
    """
    if len(wrong) < 2 or len(right) < 2:
        return 0.0
    m0, m1, s0, s1 = wrong.mean(), right.mean(), wrong.std() + 1e-6, right.std() + 1e-6
    if m1 <= m0:
        return float((m0 + m1) / 2)
    a = 1 / (2 * s1**2) - 1 / (2 * s0**2)
    b = m0 / s0**2 - m1 / s1**2
    c = m1**2 / (2 * s1**2) - m0**2 / (2 * s0**2) - np.log(s0 * len(right) / (s1 * len(wrong)))
    roots = np.roots([a, b, c]) if abs(a) > 1e-12 else np.array([-c / b])
    between = [float(root.real) for root in roots if abs(root.imag) < 1e-9 and m0 < root.real < m1]
    return between[0] if between else float((m0 + m1) / 2)


def class_logits(evidence: Evidence) -> np.ndarray:
    """(N, C) float64 held-out log-odds of each class."""
    p = np.clip(evidence.heldout.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def class_cutoffs(evidence: Evidence) -> np.ndarray:
    """(C,) probability of each class at which its two output distributions cross, each within 2 deviations of its mean."""
    out = []
    for code, logit in enumerate(class_logits(evidence).T):
        right, wrong = logit[evidence.y == code], logit[(evidence.y >= 0) & (evidence.y != code)]
        out.append(crossing(inliers(wrong), inliers(right)))
    return 1 / (1 + np.exp(-np.array(out)))


def inliers(x: np.ndarray) -> np.ndarray:
    """The values within 2 standard deviations of the mean."""
    return x[np.abs(x - x.mean()) <= 2 * x.std()] if len(x) else x


def decided(evidence: Evidence, decision: str) -> np.ndarray:
    """(N,) predicted class, or standardised target.

    Args:
        evidence: held-out predictions.
        decision: `argmax` of the probabilities, or `crossing`: the class whose log-odds lie highest above its cut-off.
    """
    if evidence.y.dtype.kind == "f":
        return evidence.heldout[:, 0].astype(np.float64)
    if decision == "argmax":
        return evidence.heldout.argmax(1)
    cut = np.clip(class_cutoffs(evidence), 1e-6, 1 - 1e-6)
    return (class_logits(evidence) - np.log(cut / (1 - cut))).argmax(1)


def too_few(evidence: Evidence) -> str:
    """Why there is too little to judge; empty when there is enough."""
    y = evidence.y
    if y.dtype.kind == "f":
        n = int((~np.isnan(y)).sum())
        return f"{n} labelled rows, {LEAST_ROWS} needed" if n < LEAST_ROWS else ""
    counts = np.bincount(y[y >= 0])
    if counts.sum() < LEAST_ROWS:
        return f"{counts.sum()} labelled rows, {LEAST_ROWS} needed"
    if (counts >= LEAST_PER_CLASS).sum() < LEAST_CLASSES:
        return f"fewer than {LEAST_CLASSES} classes have {LEAST_PER_CLASS} rows"
    return ""


def hardness(real: View, p_right: np.ndarray) -> np.ndarray:
    """(N,) probability that a model would miss the row or hardly prefer its label, the label being right."""
    if real.label.dtype.kind == "f":
        far = heldout_residual.spread(real) * np.exp(real.heldout[:, 1].astype(np.float64))
        known = ~np.isnan(far)
        place = np.full(len(far), np.nan)
        weight = p_right[known]
        order = np.argsort(far[known])
        place[np.flatnonzero(known)[order]] = np.cumsum(weight[order]) / max(1e-12, weight.sum())
        return np.where(known, (place > HARD_RESIDUAL).astype(float), 0.0)
    clean = confusion.sharpened(real.heldout, real.confusion.sharpness)
    margin = heldout_margin.margin(dataclasses.replace(real, heldout=clean))
    return 1 / (1 + np.exp(np.clip((margin - HARD_MARGIN) / HARD_WIDTH, -80, 80)))


def outlyingness(real: View) -> np.ndarray:
    """(N,) probability that the input belongs to no class: far from the bulk column by column, or far from its nearest rows.

    Looks at inputs alone. Zero where neither was measured.
    """
    n = len(real.label)
    far = np.full(n, -np.inf)
    with np.errstate(divide="ignore"):
        measures = ((0.7, np.log(real.column("distance"))), (1.0, real.column("isolation")))
    for share, value in measures:
        if np.isfinite(value).any():
            middle, edge = np.nanquantile(value, [0.5, 0.95])
            if edge - middle > 1e-6:
                far = np.fmax(far, np.nan_to_num(share * (value - middle) / (edge - middle), nan=-np.inf))
    return np.where(np.isfinite(far), 1 / (1 + np.exp(-np.clip((far - OUTLIER_FAR) / OUTLIER_WIDTH, -80, 80))), 0.0)


def suggestions(real: View, p_incorrect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label that the evidence prefers and its probability; unsure below one half.

    Classes: the given one keeps 1 - p_incorrect, the rest is shared by the posterior. Targets: the held-out prediction where the
    given target is more likely wrong than right.
    """
    if real.label.dtype.kind == "f":
        wrong = np.isnan(real.label) | (p_incorrect > 0.5)
        return np.where(wrong, real.heldout[:, 0].astype(np.float64), np.nan), np.full(len(wrong), np.nan)
    n = np.arange(len(real.label))
    own = np.maximum(real.label, 0)
    r = confusion.sharpened(real.heldout, confusion.POWER)
    r = np.where((real.label >= 0)[:, None], r * real.confusion.counted[:, own].T, r)
    r /= r.sum(1, keepdims=True)
    labelled = (real.label >= 0) & ~np.isnan(p_incorrect)
    rest = r.copy()
    rest[n, own] = 0
    rest *= (np.nan_to_num(p_incorrect) / np.maximum(rest.sum(1), 1e-12))[:, None]
    rest[n, own] = 1 - np.nan_to_num(p_incorrect)
    r = np.where(labelled[:, None], rest, r)
    best = r.argmax(1)
    p = r[n, best]
    sure = p > 0.5
    return np.where(sure, best, -1), np.where(sure, p, np.nan)


def reasons_for(real: View, s_parts: dict[str, np.ndarray], verdict: np.ndarray) -> list[list[str]]:
    """Codes of the clues that stand out, strongest first, for every row that is not clean.

    Args:
        real: N rows.
        s_parts: code -> (N,) strength in [0, 1].
        verdict: (N,) str.
    """
    hard_codes = [code for code in s_parts if code in HARD_REASONS]
    wrong_codes = [code for code in s_parts if code not in HARD_REASONS and code != "far_from_data"]
    by_verdict = {"incorrect": wrong_codes, "hard": hard_codes, "outlier": [code for code in s_parts if code == "far_from_data"]}
    out: list[list[str]] = [[] for _ in verdict]
    for word, codes in by_verdict.items():
        if not codes:
            continue
        strength = np.stack([np.nan_to_num(s_parts[code]) for code in codes])
        for row in np.flatnonzero(verdict == word):
            order = np.argsort(-strength[:, row], kind="stable")
            strong = [codes[k] for k in order if strength[k, row] >= 0.8]
            out[row] = strong[:3] or [codes[order[0]]]
    return out


def clue_strengths(real: View, places: dict[str, np.ndarray], p_outlier: np.ndarray) -> dict[str, np.ndarray]:
    """Each reason's strength per row in [0, 1]: ranks for what grows with suspicion, closeness for what marks a hard row."""
    columns = real.columns
    parts: dict[str, np.ndarray] = {}
    for name, at in places.items():
        if name in REASON_OF:
            code = REASON_OF[name]
            parts[code] = np.fmax(parts[code], at) if code in parts else at
    with np.errstate(invalid="ignore", divide="ignore"):
        masked = rank_known(columns["n_masked"] / columns["n_seen"])
    parts["often_masked"] = np.where(masked > 0.95, masked, 0.0)
    last = np.nanmax(columns["learned_epoch"]) if np.isfinite(columns["learned_epoch"]).any() else 1.0
    parts["never_learned"] = np.where(columns["learned_epoch"] >= max(last, 1.0), 0.9, 0.0)
    parts["copies_disagree"] = np.nan_to_num(real.column("copies_other"))
    if real.label.dtype.kind == "f":
        parts["noisy_region"] = rank_known(real.heldout[:, 1].astype(np.float64))
        parts["sparse_region"] = rank_known(real.column("isolation"))
    else:
        margin = heldout_margin.margin(real)
        parts["near_boundary"] = 1 - np.minimum(1, np.abs(margin))
        parts["unsure"] = 1 - real.heldout.max(1)
        parts["learned_late"] = rank_known(columns["learned_epoch"]) * (columns["learned_epoch"] < last)
        parts["forgotten"] = rank_known(columns["n_forgotten"])
    parts["far_from_data"] = p_outlier
    return parts


def rank_known(x: np.ndarray) -> np.ndarray:
    """Ranks in (0, 1] of the values that are there; NaN for the rest."""
    out = np.full(len(x), np.nan)
    known = ~np.isnan(x)
    if known.any():
        out[known] = ranks(x[known])
    return out


def no_skill(skill: Skill) -> str:
    """What is said when held-out predictions are not surely better than chance."""
    return f"held-out {skill.measure} {skill.value:.3f} is no better than chance {skill.chance:.3f} (p = {skill.p_value:.2g}, below {SKILL_P:g} needed)"


def unjudged(evidence: Evidence, skill: Skill, why: str) -> Verdicts:
    """No row is judged: all probabilities empty."""
    n = len(evidence.y)
    empty = np.full(n, np.nan)
    regression = evidence.y.dtype.kind == "f"
    labelled = ~np.isnan(evidence.y) if regression else evidence.y >= 0
    verdict = np.where(labelled, "unjudged", "unlabelled").astype("U10")
    suggested = empty if regression else np.full(n, -1)
    nowhere = float("nan")
    return Verdicts(verdict, empty, empty, empty, suggested, empty, [[] for _ in range(n)], skill, nowhere, (nowhere,) * 3, [], why)


def trusted(evidence: Evidence) -> Evidence:
    """The evidence with or without the rounds that left out the surest wrong rows, as planted errors are ranked better.

    Such rounds make some data clearer and have others confirm their own mistakes; what decides is the held-out margin of planted errors
    near the boundary among all rows'.
    """
    plain = tuple(one for one in evidence.rounds if not one.left_out)
    if len(plain) == len(evidence.rounds) or evidence.y.dtype.kind == "f":
        return evidence
    fewer = merge(plain, evidence.y)
    fewer = dataclasses.replace(fewer, columns={**evidence.columns, **fewer.columns})
    return evidence if boundary_auroc(evidence, evidence.rounds) >= boundary_auroc(fewer, evidence.rounds) else fewer


def boundary_auroc(evidence: Evidence, rounds: tuple[Round, ...]) -> float:
    """Chance that a planted row has a smaller held-out margin than any row; of the kind `boundary` where there is one.

    Args:
        evidence: whose held-out predictions are asked.
        rounds: whose planted rows.
    """
    real, _ = views(evidence)
    row, shown, kind = (np.concatenate([getattr(one.planted, name) for one in rounds]) for name in ("row", "shown", "kind"))
    near = kind == "boundary" if (kind == "boundary").any() else np.ones(len(row), bool)
    planted = dataclasses.replace(real, label=shown[near].astype(np.int64), heldout=evidence.heldout[row[near]])
    reference = np.sort(heldout_margin.margin(real)[real.label >= 0])
    return float(1 - np.mean(np.searchsorted(reference, heldout_margin.margin(planted)) / max(1, len(reference))))


def judge(evidence: Evidence, cut: Cut, clues: tuple[str, ...] = DEFAULT_CLUES, forbidden: str = "", costs: Costs | None = None) -> Verdicts:
    """Verdicts for N encoded rows.

    Args:
        evidence: all that was seen.
        cut: where `incorrect` begins.
        clues: what to go by; those of the other task are passed over.
        forbidden: why nothing may be judged whatever the evidence; empty when it may.
        costs: takes the seconds of each clue.
    """
    skill = skill_of(evidence)
    why = forbidden or too_few(evidence) or ("" if skill.enough else no_skill(skill))
    if why:
        return unjudged(evidence, skill, why)
    evidence = trusted(evidence)
    real, planted_views = views(evidence)
    regression = evidence.y.dtype.kind == "f"
    shelf = TARGET_SIGNALS if regression else CLASS_SIGNALS
    names = [name for name in clues if name in shelf.names()] or [name for name in DEFAULT_CLUES if name in shelf.names()]
    kinds = np.concatenate([one.planted.kind for one in evidence.rounds])
    places, errors = clue_places(real, planted_views, names, shelf, costs or Costs())
    if regression:
        weights = dict.fromkeys(names, 1.0)
        s, planted = together(real, names), np.concatenate([together(view, names) for view in planted_views])
        wrong, low, high = target_probability(s, planted, kinds), 1.0, 0.0
    else:
        weights = clue_weights(real.confusion.trust, names, places, errors, kinds)
        s, planted = suspicion(places, weights), suspicion(errors, weights)
        wrong, low, high = class_probability(evidence, real, s, planted)
    p_outlier = np.where(np.isnan(s), np.nan, outlyingness(real) * (1 - 1e-6)).astype(np.float32)
    p_incorrect = (wrong * (1 - p_outlier)).astype(np.float32)
    p_right = np.nan_to_num(1 - p_incorrect - p_outlier)
    p_hard = np.where(np.isnan(s), np.nan, p_right * hardness(real, p_right) * (1 - 1e-6)).astype(np.float32)
    threshold = cut_at(cut, p_incorrect)
    verdict = decide(p_incorrect, p_hard, p_outlier, threshold)
    suggested, p_suggested = suggestions(real, p_incorrect)
    reasons = reasons_for(real, clue_strengths(real, places, p_outlier), verdict)
    judged = ~np.isnan(s)
    flagged = verdict == "incorrect"
    found = int((planted >= s[flagged].min()).sum()) if flagged.any() else 0
    return Verdicts(
        verdict,
        p_incorrect,
        p_hard,
        p_outlier,
        suggested,
        p_suggested,
        reasons,
        skill,
        threshold,
        noise_interval(p_incorrect[judged].astype(np.float64), len(planted), low, high),
        calibration_table(p_incorrect, s, planted),
        recall=found / max(1, len(planted)),
        recall_interval=wilson(found, len(planted)),
        hard_cases=hard_called(evidence, real, s, wrong, weights, shelf, threshold),
        places=places,
        weights=weights,
    )


def hard_called(
    evidence: Evidence, real: View, s: np.ndarray, wrong: np.ndarray, weights: dict[str, float], shelf: Registry, threshold: float
) -> tuple[int, int]:
    """How many hard cases were made of rows with a trusted label, and how many of them the cut calls incorrect.

    Args:
        evidence: the hard cases.
        real: N rows.
        s: (N,) suspicion.
        wrong: (N,) p_incorrect.
        weights: clue -> weight.
        shelf: where the clues are.
        threshold: the cut.
    """
    hard = hard_view(evidence, real)
    if hard is None:
        return 0, 0
    _, places = clue_places(real, [hard], list(weights), shelf, Costs())
    judged = np.flatnonzero(~np.isnan(s))
    order = judged[np.argsort(s[judged], kind="stable")]
    at = np.interp(suspicion(places, weights), s[order], wrong[order])
    trusted_label = np.nan_to_num(wrong[evidence.rounds[-1].hard_row], nan=1.0) < 0.5
    return int(trusted_label.sum()), int((at[trusted_label] > threshold).sum())


def decide(p_incorrect: np.ndarray, p_hard: np.ndarray, p_outlier: np.ndarray, threshold: float) -> np.ndarray:
    """(N,) verdicts from probabilities (DESIGN section 3); NaN probabilities are `unlabelled`."""
    with np.errstate(invalid="ignore"):
        p_clean = 1 - p_incorrect - p_hard - p_outlier
        conditions = [np.isnan(p_incorrect), p_incorrect > threshold, p_outlier > 0.5, p_hard > p_clean]
    return np.select(conditions, ["unlabelled", "incorrect", "outlier", "hard"], "clean").astype("U10")
