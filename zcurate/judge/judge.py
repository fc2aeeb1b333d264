"""The judge: evidence in, calibrated probabilities and verdicts out. Imports no torch.

Planted errors show what wrong labels look like in this data. Each row's suspicion score aggregates its signals (`rank_aggregation`) and is
calibrated to a probability (`calibration`): for classes by the posterior under the label noise of confident rows and by the density of
planted errors, for regression by a mixture of right rows and planted errors. Planted errors also give the recall at each cut.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.arrays.sample import sample, sample_where
from zcurate.arrays.sort import argsort
from zcurate.config.verdicts import VERDICTS
from zcurate.evidence import noise_model
from zcurate.evidence.evidence import Evidence, LabelView, Round, given_view, hard_view, label_views, mean_of_known, merge
from zcurate.evidence.heldout import margins, tempered_columns
from zcurate.evidence.signals import residuals
from zcurate.evidence.signals.margins import heldout_margins
from zcurate.judge.calibration import calibration_table, class_probability, target_probability
from zcurate.judge.intervals import noise_interval, wilson
from zcurate.judge.rank_aggregation import geometric_mean, human_like, signal_percentiles, signal_weights, suspicion_score
from zcurate.judge.reasons import reasons_for
from zcurate.judge.skill import Skill, measure_skill, no_skill_reason, too_few_reason
from zcurate.judge.thresholds import Cut, cut_at, review_cut
from zcurate.judge.verdict_rule import decide
from zcurate.plugins import default_signals, signals_for
from zcurate.runtime.progress import Timings

HARD_MARGIN, HARD_WIDTH, TRAINING_SHARE = 0.12, 0.2, 0.3
"""A row with a right label is hard when a model of clean labels would hardly prefer the label: true margin below .15 (DESIGN). At the models' own
error that is a margin below .12, with a logistic step of width .2. The margin is the held-out one, mixed with `TRAINING_SHARE` of that of the members
that train on the row in the later half of the epochs. Chosen on the tuning half and on simulated sets."""
HARD_RESIDUAL = 0.97
"""Regression: quantile of the residuals from which a row is hard (DESIGN)."""
OUTLIER_FACTOR, OUTLIER_WIDTH = 2.5, 0.15
"""Multiple of the 95th percentile, measured from the median, beyond which an input is an outlier, and the width of the logistic step."""
OUTLIER_SCALES = (("distance", 0.7), ("isolation", 1.0))
"""Columns that measure outliers and their scale: distances have longer tails, so they count less."""


@dataclass(frozen=True)
class Verdicts:
    """Verdicts, probabilities and reasons for N encoded rows."""

    code: np.ndarray
    """(N,) int8, position in `VERDICTS`."""
    p_incorrect: np.ndarray
    """(N,) float32 probability that the label is wrong; NaN where not judged."""
    p_hard: np.ndarray
    """(N,) float32 probability that the label is right but the row is hard; NaN where not judged."""
    p_outlier: np.ndarray
    """(N,) float32 probability that the input belongs to no class; NaN where not judged."""
    suggested: np.ndarray
    """(N,) int64 class, -1 = unsure; or float64 standardised target, NaN = unsure."""
    p_suggested: np.ndarray
    """(N,) float32 probability of the suggestion; NaN = unsure or regression."""
    reasons: np.ndarray
    """(N, 3) int8, positions in `reasons.CODES`, strongest first; -1 = none."""
    skill: Skill
    """Skill of the held-out predictions."""
    threshold: float
    """Threshold on p_incorrect that was applied."""
    review: float
    """Cut of greatest expected F1, above which a row that is not `incorrect` may be `suspect`."""
    noise_rate: tuple[float, float, float]
    """Expected share of wrong labels, and the bounds of its interval."""
    calibration: list[dict[str, float]] = field(default_factory=list)
    """One entry per cut: planted, found, recall (planted), precision and flagged (expected)."""
    why: str = ""
    """Why no row was judged; empty otherwise."""
    recall: float = float("nan")
    """Share of the planted errors above the threshold."""
    recall_interval: tuple[float, float] = (float("nan"), float("nan"))
    """95 % Wilson interval of the recall."""
    hard_examples: tuple[int, int] = (0, 0)
    """Number of synthetic hard examples with a right label, and how many of them the threshold calls incorrect."""
    percentiles: dict[str, np.ndarray] = field(default_factory=dict)
    """Clue -> (N,) percentile rank in [0, 1] among all rows; NaN where the signal has no value."""
    weights: dict[str, float] = field(default_factory=dict)
    """Clue -> weight in the suspicion score; clues that planted errors did not support are missing."""
    reliability: float = 1.0
    """How far confident rows explain the label noise, in [0, 1]; 1 for regression."""

    @property
    def verdict(self) -> np.ndarray:
        """(N,) str, one of `VERDICTS`."""
        return np.array(VERDICTS)[self.code]

    def has_verdict(self, verdict: str) -> np.ndarray:
        """Select the rows with a verdict: (N,) bool."""
        return self.code == VERDICTS.index(verdict)


@dataclass(frozen=True)
class Suspicion:
    """Suspicion scores of all rows and of the planted ones, calibrated."""

    rows: np.ndarray
    """(N,) float64 suspicion score; NaN where not judged."""
    planted: np.ndarray
    """(P,) float64 suspicion score of the planted rows."""
    p_wrong: np.ndarray
    """(N,) float64 probability that the label is wrong, given that the input is no outlier; NaN where not judged."""
    noise_bounds: tuple[float, float]
    """Lower and upper bound of the share of wrong labels."""
    percentiles: dict[str, np.ndarray]
    """Clue -> (N,) percentile rank among all rows."""
    hard_percentiles: dict[str, np.ndarray]
    """Clue -> (H,) percentile rank of the hard examples; empty when there are none."""
    weights: dict[str, float]
    """Clue -> weight."""


def judge(
    evidence: Evidence, cut: Cut, clues: tuple[str, ...] = (), forbidden: str = "", timings: Timings | None = None, review: float | None = None
) -> Verdicts:
    """Judge N encoded rows.

    Args:
        evidence: the evidence about all rows.
        cut: where `incorrect` begins.
        clues: signals to use; those of the other task are ignored; the default ones when none is left.
        forbidden: why no row may be judged whatever the evidence; empty when rows may be judged.
        timings: receives the seconds of each clue.
        review: the review cut; None for that of greatest expected F1 of these rows.
    """
    skill = measure_skill(evidence)
    why = forbidden or too_few_reason(evidence) or ("" if skill.enough else no_skill_reason(skill))
    if why:
        return unjudged(evidence, skill, why)
    real, planted_views = label_views(evidence)
    suspicion = measure_suspicion(evidence, real, planted_views, clues, timings or Timings())
    reliability = 1.0 if evidence.y.dtype.kind == "f" else real.noise_model.reliability
    judged = ~np.isnan(suspicion.rows)
    p_incorrect, p_hard, p_outlier = verdict_probabilities(real, suspicion.p_wrong, judged)
    threshold = cut_at(cut, p_incorrect, reliability)
    review = review_cut(p_incorrect) if review is None else review
    code = decide(p_incorrect, p_hard, p_outlier, (threshold, review), real.labelled)
    suggested, p_suggested = suggestions(real, p_incorrect)
    verdict_rows = {verdict: code == VERDICTS.index(verdict) for verdict in ("incorrect", "suspect", "hard", "outlier")}
    n_found, n_planted = count_found(suspicion, verdict_rows["incorrect"]), len(suspicion.planted)
    return Verdicts(
        code,
        p_incorrect,
        p_hard,
        p_outlier,
        suggested,
        p_suggested,
        reasons_for(real, suspicion.percentiles, p_outlier, verdict_rows),
        skill,
        threshold,
        review,
        noise_interval(p_incorrect[judged].astype(np.float64), n_planted if evidence.is_trained else None, *suspicion.noise_bounds),
        calibration_table(p_incorrect, suspicion.rows, suspicion.planted),
        recall=n_found / n_planted if n_planted else float("nan"),
        recall_interval=wilson(n_found, n_planted),
        hard_examples=count_flagged_hard(evidence, suspicion, threshold),
        percentiles=suspicion.percentiles,
        weights=suspicion.weights,
        reliability=reliability,
    )


def measure_suspicion(evidence: Evidence, real: LabelView, planted_views: list[LabelView], clues: tuple[str, ...], timings: Timings) -> Suspicion:
    """Aggregate the signals to suspicion scores and calibrate them.

    Args:
        evidence: the evidence about all rows.
        real: view of the N rows.
        planted_views: views of each round's planted rows.
        clues: signals to use; those of the other task are ignored, the default ones are used when none is left.
        timings: receives the seconds of each clue.
    """
    regression = evidence.y.dtype.kind == "f"
    names = signals_for(regression, clues) or signals_for(regression, default_signals())
    kinds = np.concatenate([one.planted.kind for one in evidence.rounds])
    percentiles, planted_percentiles, hard = signal_percentiles(real, planted_views, hard_view(evidence, real), names, timings)
    if regression:
        weights = dict.fromkeys(names, 1.0)
        s, planted = geometric_mean(real, names), np.concatenate([geometric_mean(view, names) for view in planted_views])
        p_wrong, low, high = target_probability(s, planted, kinds), 1.0, 0.0
    else:
        weights = signal_weights(real.noise_model.reliability, names, percentiles, planted_percentiles, kinds)
        s, planted = suspicion_score(percentiles, weights), suspicion_score(planted_percentiles, weights)
        p_wrong, low, high = class_probability(evidence, real, s, planted)
    return Suspicion(s, planted, p_wrong, (low, high), percentiles, hard, weights)


def verdict_probabilities(real: LabelView, p_wrong: np.ndarray, judged: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute p_incorrect, p_hard and p_outlier, which sum to less than 1.

    Args:
        real: view of the N rows.
        p_wrong: (N,) probability that the label is wrong, given that the input is no outlier.
        judged: (N,) bool.

    Returns:
        (N,) float32 each; NaN where not judged.
    """
    p_outlier = np.where(judged, p_outlier_of(real) * (1 - 1e-6), np.nan).astype(np.float32)
    p_incorrect = (p_wrong * (1 - p_outlier)).astype(np.float32)
    p_right = np.nan_to_num(1 - p_incorrect - p_outlier)
    p_hard = np.where(judged, p_right * p_hard_of(real, p_right) * (1 - 1e-6), np.nan).astype(np.float32)
    return p_incorrect, p_hard, p_outlier


def count_found(suspicion: Suspicion, flagged: np.ndarray) -> int:
    """Count the planted errors that are at least as suspicious as the least suspicious flagged row.

    Args:
        suspicion: suspicion scores.
        flagged: (N,) bool, rows called incorrect.
    """
    return int((suspicion.planted >= suspicion.rows[flagged].min()).sum()) if flagged.any() else 0


def select_rounds(evidence: Evidence) -> Evidence:
    """Keep or drop the rounds that excluded the most suspect rows, whichever ranks planted errors better.

    Excluding rows makes some data clearer, but lets other rounds confirm their own mistakes. The criterion is the held-out margin of planted
    errors near the class boundary relative to that of all rows. Call this before auxiliary models are blended in, as it compares the members'
    own rounds.
    """
    plain = tuple(one for one in evidence.rounds if not one.n_excluded)
    if len(plain) == len(evidence.rounds) or evidence.y.dtype.kind == "f":
        return evidence
    fewer = merge(plain, evidence.y)
    fewer = dataclasses.replace(fewer, columns={**evidence.columns, **fewer.columns})
    return evidence if boundary_auroc(evidence, evidence.rounds) >= boundary_auroc(fewer, evidence.rounds) else fewer


def boundary_auroc(evidence: Evidence, rounds: tuple[Round, ...]) -> float:
    """Compute the probability that a human-like planted error has a smaller held-out margin than a random row.

    Args:
        evidence: source of the held-out predictions.
        rounds: source of the planted errors.
    """
    real = given_view(evidence)
    row, label, kind = (np.concatenate([getattr(one.planted, name) for one in rounds]) for name in ("row", "label", "kind"))
    near = human_like(kind)
    planted = dataclasses.replace(real, label=label[near].astype(np.int64), heldout=evidence.heldout[row[near]])
    reference = np.sort(heldout_margins(real)[real.labelled])
    return float(1 - np.mean(np.searchsorted(reference, heldout_margins(planted)) / max(1, len(reference))))


def count_flagged_hard(evidence: Evidence, suspicion: Suspicion, threshold: float) -> tuple[int, int]:
    """Count the hard examples of rows whose label is probably right, and how many of them are called incorrect.

    Args:
        evidence: the rounds, with the source rows of the hard examples.
        suspicion: suspicion scores.
        threshold: on p_incorrect.
    """
    if not suspicion.hard_percentiles:
        return 0, 0
    judged = sample_where(~np.isnan(suspicion.rows))
    order = judged[argsort(suspicion.rows[judged])]
    p_wrong = np.interp(suspicion_score(suspicion.hard_percentiles, suspicion.weights), suspicion.rows[order], suspicion.p_wrong[order])
    probably_right = np.nan_to_num(suspicion.p_wrong[evidence.rounds[-1].hard_row], nan=1.0) < 0.5
    return int(probably_right.sum()), int((p_wrong[probably_right] > threshold).sum())


def p_hard_of(real: LabelView, p_right: np.ndarray) -> np.ndarray:
    """Compute the probability that a model would misclassify the row or hardly prefer its label, given that the label is right.

    Args:
        real: view of the N rows.
        p_right: (N,) probability that the label is right.

    Returns:
        (N,) float64.
    """
    if real.label.dtype.kind == "f":
        residual = residuals.residual_scale(real) * np.exp(real.heldout[:, 1].astype(np.float64))
        known = ~np.isnan(residual)
        percentile = np.full(len(residual), np.nan)
        weight = p_right[known]
        order = argsort(residual[known])
        percentile[np.flatnonzero(known)[order]] = np.cumsum(weight[order]) / max(1e-12, weight.sum())
        return np.where(known, (percentile > HARD_RESIDUAL).astype(float), 0.0)
    margin = margins(real.heldout, real.label, real.noise_model.inverse_temperature)
    logits = real.curves["margin"]
    training_margin = mean_of_known(np.tanh(logits[len(logits) // 2 :] / 2))
    margin = np.where(np.isnan(training_margin), margin, (1 - TRAINING_SHARE) * margin + TRAINING_SHARE * training_margin)
    return 1 / (1 + np.exp(np.clip((margin - HARD_MARGIN) / HARD_WIDTH, -80, 80)))


def p_outlier_of(real: LabelView) -> np.ndarray:
    """Compute the probability that the input belongs to no class: far from the data column by column, or far from its nearest rows.

    What is far is measured by all rows, or by those of an earlier scan.

    Returns:
        (N,) float64, independent of the labels; 0 where neither was measured.
    """
    score = np.full(len(real.label), -np.inf)
    sampled = sample(real.n_earlier or len(score))
    for name, scale in OUTLIER_SCALES:
        value = real.column(name)
        if name == "distance":
            with np.errstate(divide="ignore"):
                value = np.log(value)
        if np.isfinite(value[sampled]).any():
            median, upper = np.nanquantile(value[sampled], [0.5, 0.95])
            if upper - median > 1e-6:
                score = np.fmax(score, np.nan_to_num(scale * (value - median) / (upper - median), nan=-np.inf))
    known = np.isfinite(score)
    # Copies of other rows have a distance of 0, whose logarithm became the lowest float.
    bounded = np.clip(score, OUTLIER_FACTOR - 80 * OUTLIER_WIDTH, OUTLIER_FACTOR + 80 * OUTLIER_WIDTH)
    return np.where(known, 1 / (1 + np.exp(-(bounded - OUTLIER_FACTOR) / OUTLIER_WIDTH)), 0.0)


def suggestions(real: LabelView, p_incorrect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Suggest the label that the evidence prefers, where its probability exceeds one half.

    Classes: the given class has probability 1 - p_incorrect, the posterior distributes the rest. Regression: the held-out prediction, where the given
    target is more likely wrong than right.

    Args:
        real: view of the N rows.
        p_incorrect: (N,), NaN where not judged.

    Returns:
        (N,) suggested class, -1 = unsure, or target, NaN = none; and (N,) its probability, NaN = unsure or regression.
    """
    if real.label.dtype.kind == "f":
        wrong = np.isnan(real.label) | (p_incorrect > 0.5)
        return np.where(wrong, real.heldout[:, 0].astype(np.float64), np.nan), np.full(len(wrong), np.nan)
    # A given label that is more likely right than wrong is the preferred one; only the other rows need a posterior.
    best, p = real.label.copy(), (1 - p_incorrect).astype(np.float64)
    with np.errstate(invalid="ignore"):
        others = np.flatnonzero(~((real.label >= 0) & (p_incorrect < 0.5)))
    for part in chunk_slices(len(others), real.heldout.shape[1]):
        rows = others[part]
        best[rows], p[rows] = preferred_class(real, rows, p_incorrect[rows])
    sure = p > 0.5
    return np.where(sure, best, -1), np.where(sure, p, np.nan).astype(np.float32)


def preferred_class(real: LabelView, rows: np.ndarray, p_incorrect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the most probable class of some rows: (M,) int64, and its probability, (M,) float64.

    Args:
        real: view of the N rows.
        rows: (M,) int64.
        p_incorrect: (M,), NaN where not judged.
    """
    label, position = real.label[rows], np.arange(len(rows))
    own = np.maximum(label, 0)
    posterior = tempered_columns(real.heldout[rows], noise_model.CONFUSION_INVERSE_TEMPERATURE)
    posterior = np.where(label >= 0, posterior * real.noise_model.confusion[:, own], posterior)
    posterior /= posterior.sum(0)
    calibrated = posterior.copy()
    calibrated[own, position] = 0
    calibrated *= np.nan_to_num(p_incorrect) / np.maximum(calibrated.sum(0), 1e-12)
    calibrated[own, position] = 1 - np.nan_to_num(p_incorrect)
    posterior = np.where((label >= 0) & ~np.isnan(p_incorrect), calibrated, posterior)
    best = posterior.argmax(0)
    return best, posterior[best, position]


def unjudged(evidence: Evidence, skill: Skill, why: str) -> Verdicts:
    """Return verdicts in which no row is judged and all probabilities are NaN.

    Args:
        evidence: the evidence about all rows.
        skill: skill of the held-out predictions.
        why: the reason.
    """
    n = len(evidence.y)
    empty = np.full(n, np.nan)
    regression = evidence.y.dtype.kind == "f"
    code = np.where(given_view(evidence).labelled, np.int8(VERDICTS.index("unjudged")), np.int8(VERDICTS.index("unlabelled")))
    suggested = empty if regression else np.full(n, -1)
    unknown = float("nan")
    return Verdicts(code, empty, empty, empty, suggested, empty, np.full((n, 1), -1, np.int8), skill, unknown, unknown, (unknown,) * 3, [], why)
