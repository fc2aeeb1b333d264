"""The judge: signals in, verdicts out. Learns from planted errors how wrong labels look in this data.

Leaves: `Verdicts`. Enters: `Evidence`. No torch. Each row's suspicion is the weighted mean rank of its clues (`ranking`);
it becomes a probability by the posterior under the noise that confident rows show and by the density of planted errors (classes), or by a
mixture of right rows and planted errors (regression) (`calibrate`); planted errors say what share of wrong labels lies above each cut.
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
from zcurate.evidence.evidence import Evidence, LabelView, Round, given_view, hard_view, known_mean, label_views, merge
from zcurate.evidence.signals import margins, residuals
from zcurate.judge.calibration import calibration_table, class_probability, target_probability
from zcurate.judge.intervals import noise_interval, wilson
from zcurate.judge.rank_aggregation import geometric_mean, human_like, signal_percentiles, signal_weights, suspicion_score
from zcurate.judge.reasons import reasons_for
from zcurate.judge.skill import Skill, measure_skill, no_skill_reason, too_few_reason
from zcurate.judge.thresholds import Cut, cut_at
from zcurate.plugins import default_signals, signals_for
from zcurate.runtime.progress import Timings

HARD_MARGIN, HARD_WIDTH, SEEN_SHARE = 0.12, 0.2, 0.3
"""A right row is hard when a model of clean labels would hardly prefer its label: true margin below .15 (DESIGN), which at the models' own
error is a margin below .12, give or take .2: the held-out one, .3 of it that of the members that train on the row, in the later half of the
epochs; chosen on the tuning half and on simulated sets."""
HARD_RESIDUAL = 0.97
"""Regression: the largest 3 % of residuals are hard (DESIGN)."""
OUTLIER_FAR, OUTLIER_WIDTH = 2.5, 0.15
"""An input is an outlier when it lies so many times as far out as the 95th percentile (distances three times, as they have longer tails)."""


@dataclass(frozen=True)
class Verdicts:
    """The judge's word on N encoded rows."""

    code: np.ndarray
    """(N,) int8, position in `VERDICTS`."""
    p_incorrect: np.ndarray
    """(N,) float32; NaN where not judged."""
    p_hard: np.ndarray
    p_outlier: np.ndarray
    suggested: np.ndarray
    """(N,) int64 class, -1 = unsure; or float64 standardised target, NaN = unsure."""
    p_suggested: np.ndarray
    """(N,) float32; NaN = unsure or regression."""
    reasons: np.ndarray
    """(N, 3) int8, positions in `reasons.CODES`, strongest first; -1 = none."""
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
    percentiles: dict[str, np.ndarray] = field(default_factory=dict)
    """Clue -> (N,) place among all rows' values in [0, 1]; NaN where it cannot tell."""
    weights: dict[str, float] = field(default_factory=dict)
    """Clue -> how much it counted; clues that planted errors did not bear out are missing."""
    reliability: float = 1.0
    """How far confident rows tell of the noise, in [0, 1]; 1 for regression."""

    @property
    def verdict(self) -> np.ndarray:
        """(N,) str, one of `VERDICTS`."""
        return np.array(VERDICTS)[self.code]

    def called(self, word: str) -> np.ndarray:
        """(N,) bool: the rows with this verdict."""
        return self.code == VERDICTS.index(word)


def judge(evidence: Evidence, cut: Cut, clues: tuple[str, ...] = (), forbidden: str = "", timings: Timings | None = None) -> Verdicts:
    """Verdicts for N encoded rows.

    Args:
        evidence: all that was seen.
        cut: where `incorrect` begins.
        clues: signals to combine; those of the other task are ignored; the default ones if none is left.
        forbidden: why nothing may be judged whatever the evidence; empty when it may.
        timings: takes the seconds of each clue.
    """
    skill = measure_skill(evidence)
    why = forbidden or too_few_reason(evidence) or ("" if skill.enough else no_skill_reason(skill))
    if why:
        return unjudged(evidence, skill, why)
    real, planted_views = label_views(evidence)
    regression = evidence.y.dtype.kind == "f"
    names = signals_for(regression, clues) or signals_for(regression, default_signals())
    kinds = np.concatenate([one.planted.kind for one in evidence.rounds])
    percentiles, errors, cases = signal_percentiles(real, planted_views, hard_view(evidence, real), names, timings or Timings())
    if regression:
        weights = dict.fromkeys(names, 1.0)
        s, planted = geometric_mean(real, names), np.concatenate([geometric_mean(view, names) for view in planted_views])
        wrong, low, high = target_probability(s, planted, kinds), 1.0, 0.0
    else:
        weights = signal_weights(real.noise_model.reliability, names, percentiles, errors, kinds, alone=len(evidence.rounds) == 1)
        s, planted = suspicion_score(percentiles, weights), suspicion_score(errors, weights)
        wrong, low, high = class_probability(evidence, real, s, planted)
    judged = ~np.isnan(s)
    p_outlier = np.where(judged, p_outlier_of(real) * (1 - 1e-6), np.nan).astype(np.float32)
    p_incorrect = (wrong * (1 - p_outlier)).astype(np.float32)
    p_right = np.nan_to_num(1 - p_incorrect - p_outlier)
    p_hard = np.where(judged, p_right * p_hard_of(real, p_right) * (1 - 1e-6), np.nan).astype(np.float32)
    threshold = cut_at(cut, p_incorrect, 1.0 if regression else real.noise_model.reliability)
    code = decide(p_incorrect, p_hard, p_outlier, threshold, real.labelled)
    suggested, p_suggested = suggestions(real, p_incorrect)
    reasons = reasons_for(real, percentiles, p_outlier, {word: code == VERDICTS.index(word) for word in ("incorrect", "hard", "outlier")})
    flagged = code == VERDICTS.index("incorrect")
    found = int((planted >= s[flagged].min()).sum()) if flagged.any() else 0
    return Verdicts(
        code,
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
        hard_cases=count_flagged_hard(evidence, cases, s, wrong, weights, threshold),
        percentiles=percentiles,
        weights=weights,
        reliability=1.0 if regression else real.noise_model.reliability,
    )


def select_rounds(evidence: Evidence) -> Evidence:
    """The evidence with or without the rounds that left out the surest wrong rows, as planted errors are ranked better.

    Such rounds make some data clearer and have others confirm their own mistakes; what decides is the held-out margin of planted errors
    near the boundary among all rows'. To be asked before other kinds of models join the members, whose rounds are compared.
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
    real = given_view(evidence)
    row, shown, kind = (np.concatenate([getattr(one.planted, name) for one in rounds]) for name in ("row", "shown", "kind"))
    near = human_like(kind)
    planted = dataclasses.replace(real, label=shown[near].astype(np.int64), heldout=evidence.heldout[row[near]])
    reference = np.sort(margins.margins_of(real)[real.labelled])
    return float(1 - np.mean(np.searchsorted(reference, margins.margins_of(planted)) / max(1, len(reference))))


def count_flagged_hard(
    evidence: Evidence, cases: dict[str, np.ndarray], s: np.ndarray, wrong: np.ndarray, weights: dict[str, float], threshold: float
) -> tuple[int, int]:
    """How many hard cases were made of rows with a trusted label, and how many of them the cut calls incorrect.

    Args:
        evidence: the hard cases.
        cases: clue -> (H,) places of the hard cases among all rows' values; empty where there are none.
        s: (N,) suspicion.
        wrong: (N,) p_incorrect.
        weights: clue -> weight.
        threshold: the cut.
    """
    if not cases:
        return 0, 0
    judged = sample_where(~np.isnan(s))
    order = judged[argsort(s[judged])]
    at = np.interp(suspicion_score(cases, weights), s[order], wrong[order])
    trusted_label = np.nan_to_num(wrong[evidence.rounds[-1].hard_row], nan=1.0) < 0.5
    return int(trusted_label.sum()), int((at[trusted_label] > threshold).sum())


def p_hard_of(real: LabelView, p_right: np.ndarray) -> np.ndarray:
    """(N,) probability that a model would miss the row or hardly prefer its label, the label being right."""
    if real.label.dtype.kind == "f":
        far = residuals.residual_scale(real) * np.exp(real.heldout[:, 1].astype(np.float64))
        known = ~np.isnan(far)
        place = np.full(len(far), np.nan)
        weight = p_right[known]
        order = argsort(far[known])
        place[np.flatnonzero(known)[order]] = np.cumsum(weight[order]) / max(1e-12, weight.sum())
        return np.where(known, (place > HARD_RESIDUAL).astype(float), 0.0)
    margin = noise_model.margins(real.heldout, real.label, real.noise_model.sharpness)
    logits = real.curves["margin"]
    seen = known_mean(np.tanh(logits[len(logits) // 2 :] / 2))
    margin = np.where(np.isnan(seen), margin, (1 - SEEN_SHARE) * margin + SEEN_SHARE * seen)
    return 1 / (1 + np.exp(np.clip((margin - HARD_MARGIN) / HARD_WIDTH, -80, 80)))


def p_outlier_of(real: LabelView) -> np.ndarray:
    """(N,) probability that the input belongs to no class: far from the bulk column by column, or far from its nearest rows.

    Looks at inputs alone. Zero where neither was measured.
    """
    far = np.full(len(real.label), -np.inf)
    some = sample(len(far))
    for share, name in ((0.7, "distance"), (1.0, "isolation")):
        value = real.column(name)
        if name == "distance":
            with np.errstate(divide="ignore"):
                value = np.log(value)
        if np.isfinite(value[some]).any():
            middle, edge = np.nanquantile(value[some], [0.5, 0.95])
            if edge - middle > 1e-6:
                far = np.fmax(far, np.nan_to_num(share * (value - middle) / (edge - middle), nan=-np.inf))
    return np.where(np.isfinite(far), 1 / (1 + np.exp(-np.clip((far - OUTLIER_FAR) / OUTLIER_WIDTH, -80, 80))), 0.0)


def suggestions(real: LabelView, p_incorrect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label that the evidence prefers and its probability; unsure below one half.

    Classes: the given one keeps 1 - p_incorrect, the rest is shared by the posterior. Targets: the held-out prediction where the
    given target is more likely wrong than right.
    """
    if real.label.dtype.kind == "f":
        wrong = np.isnan(real.label) | (p_incorrect > 0.5)
        return np.where(wrong, real.heldout[:, 0].astype(np.float64), np.nan), np.full(len(wrong), np.nan)
    # Where the given label is more likely right than wrong it is what the evidence prefers; only the other rows need a posterior.
    best, p = real.label.copy(), (1 - p_incorrect).astype(np.float64)
    with np.errstate(invalid="ignore"):
        others = np.flatnonzero(~((real.label >= 0) & (p_incorrect < 0.5)))
    for part in chunk_slices(len(others), real.heldout.shape[1]):
        rows = others[part]
        best[rows], p[rows] = preferred_class(real, rows, p_incorrect[rows])
    sure = p > 0.5
    return np.where(sure, best, -1), np.where(sure, p, np.nan).astype(np.float32)


def preferred_class(real: LabelView, rows: np.ndarray, p_incorrect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) int64 most probable class of some rows, and (M,) float64 its probability.

    Args:
        real: N rows.
        rows: (M,) int64.
        p_incorrect: (M,), NaN where not judged.
    """
    label, n = real.label[rows], np.arange(len(rows))
    own = np.maximum(label, 0)
    r = noise_model.tempered_columns(real.heldout[rows], noise_model.POWER)
    r = np.where(label >= 0, r * real.noise_model.counted[:, own], r)
    r /= r.sum(0)
    rest = r.copy()
    rest[own, n] = 0
    rest *= np.nan_to_num(p_incorrect) / np.maximum(rest.sum(0), 1e-12)
    rest[own, n] = 1 - np.nan_to_num(p_incorrect)
    r = np.where((label >= 0) & ~np.isnan(p_incorrect), rest, r)
    best = r.argmax(0)
    return best, r[best, n]


def decide(p_incorrect: np.ndarray, p_hard: np.ndarray, p_outlier: np.ndarray, threshold: float, labels: np.ndarray) -> np.ndarray:
    """(N,) int8 verdicts from probabilities, positions in `VERDICTS` (DESIGN section 3); a labelled row that no clue could tell anything of is `unjudged`.

    Args:
        p_incorrect: (N,), NaN where not judged.
        p_hard: (N,).
        p_outlier: (N,).
        threshold: on `p_incorrect`.
        labels: (N,) bool, the row has one.
    """
    with np.errstate(invalid="ignore"):
        p_clean = 1 - p_incorrect - p_hard - p_outlier
        conditions = [~labels, np.isnan(p_incorrect), p_incorrect > threshold, p_outlier > 0.5, p_hard > p_clean]
    words = ("unlabelled", "unjudged", "incorrect", "outlier", "hard")
    return np.select(conditions, [np.int8(VERDICTS.index(word)) for word in words], np.int8(VERDICTS.index("clean")))


def unjudged(evidence: Evidence, skill: Skill, why: str) -> Verdicts:
    """No row is judged: all probabilities empty."""
    n = len(evidence.y)
    empty = np.full(n, np.nan)
    regression = evidence.y.dtype.kind == "f"
    code = np.where(given_view(evidence).labelled, np.int8(VERDICTS.index("unjudged")), np.int8(VERDICTS.index("unlabelled")))
    suggested = empty if regression else np.full(n, -1)
    nowhere = float("nan")
    return Verdicts(code, empty, empty, empty, suggested, empty, np.full((n, 1), -1, np.int8), skill, nowhere, (nowhere,) * 3, [], why)
