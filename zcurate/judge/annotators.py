"""Judge a consensus by the models and by each annotator's reliability together. Imports no torch.

A vote counts by its annotator's confusion of the classes, and the models' held-out probabilities count as one more annotator, to a power that makes the votes
likeliest. The verdicts on the label that was scanned learn from the votes by Bayes' rule, and keep the number of wrong labels that the judge found.
Sources: Dawid and Skene 1979; a model as an annotator as in arXiv:2210.06812 (CROWDLAB), but with likelihoods in place of its weights.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from zcurate.config.verdicts import VERDICTS
from zcurate.data.votes import fit_votes, normalized
from zcurate.evidence.heldout import Heldout
from zcurate.judge.intervals import wilson
from zcurate.judge.judge import Verdicts
from zcurate.judge.reasons import CODES
from zcurate.judge.thresholds import Cut, cut_at, review_cut
from zcurate.judge.verdict_rule import decide

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Candidate powers of the models' probabilities."""
VOTES_REASON = "annotators_disagree"
SMALLEST_P = 1e-4
"""Lower limit of the models' probabilities."""


@dataclass(frozen=True)
class Consensus:
    """What votes and models agree on."""

    posterior: np.ndarray
    """(N, C) probability of each class."""
    vote_ratio: np.ndarray
    """(N,) log odds by which the votes speak against the label that was scanned, beyond the models; 0 without votes."""
    reliability: np.ndarray
    """(A,) mean probability that an annotator's labels are right, by all votes and the models."""
    n_votes: np.ndarray
    """(A,) labels of each annotator."""
    power: float
    """Of the models' probabilities; 0: they say nothing that the votes do not."""


def find_consensus(heldout: Heldout, votes: np.ndarray, label: np.ndarray) -> Consensus:
    """Fit the annotators' confusions and the models' weight by EM.

    Args:
        heldout: (N, C) probabilities.
        votes: (N, A) classes, -1 for none.
        label: (N,) class that was scanned, -1 for none.
    """
    p = np.asarray(heldout)
    log_p = np.log(np.maximum(p.astype(np.float64), SMALLEST_P))
    power, found = max(((power, fit_votes(power * log_p, votes)) for power in POWERS), key=lambda one: one[1].likelihood)
    posterior, evidence = found.posterior, found.evidence
    own = np.maximum(label, 0)[:, None]
    # The prior on the other classes is the models' alone.
    rivals = normalized(np.where(np.arange(p.shape[1])[None] == own, -np.inf, log_p))
    with np.errstate(divide="ignore"):
        other = np.log(np.maximum((rivals * np.exp(evidence - evidence.max(1, keepdims=True))).sum(1), 1e-300)) + evidence.max(1)
    ratio = np.where((label >= 0) & (votes >= 0).any(1), other - np.take_along_axis(evidence, own, 1)[:, 0], 0.0)
    reliability, n_votes = np.full(votes.shape[1], np.nan), (votes >= 0).sum(0)
    for at in range(votes.shape[1]):
        rows = np.flatnonzero(votes[:, at] >= 0)
        if len(rows):
            reliability[at] = float(posterior[rows, votes[rows, at]].mean())
    return Consensus(posterior, ratio, reliability, n_votes, power)


def with_votes(verdicts: Verdicts, consensus: Consensus, label: np.ndarray, cut: Cut) -> Verdicts:
    """Let verdicts learn from the votes: their odds are multiplied by the votes' likelihood ratio, and by one factor that keeps the mean.

    Args:
        verdicts: of the label that was scanned, by the models.
        consensus: of votes and models.
        label: (N,) class that was scanned, -1 for none.
        cut: where `incorrect` begins.
    """
    p = verdicts.p_incorrect.astype(np.float64)
    judged = np.flatnonzero(~np.isnan(p))
    if verdicts.why or not len(judged):
        return verdicts
    odds = np.log(np.clip(p[judged], 1e-6, 1 - 1e-6) / (1 - np.clip(p[judged], 1e-6, 1 - 1e-6))) + consensus.vote_ratio[judged]
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-np.clip(odds + middle, -80, 80)))).mean() < p[judged].mean() else (low, middle)
    new = p.copy()
    new[judged] = 1 / (1 + np.exp(-np.clip(odds + middle, -80, 80)))
    rest = (1 - new) / np.maximum(1 - p, 1e-9)
    p_hard, p_outlier = (np.minimum(one * rest, 1 - new).astype(np.float32) for one in (verdicts.p_hard, verdicts.p_outlier))
    p_incorrect = new.astype(np.float32)
    threshold, review = cut_at(cut, p_incorrect, verdicts.reliability), review_cut(p_incorrect)
    code = decide(p_incorrect, p_hard, p_outlier, (threshold, review), label >= 0)
    reasons = verdicts.reasons.copy()
    reasons[code == VERDICTS.index("clean")] = -1
    suspected = np.isin(code, [VERDICTS.index(word) for word in ("incorrect", "suspect")]) & (consensus.vote_ratio > 0)
    reasons[suspected] = np.concatenate([np.full((suspected.sum(), 1), CODES.index(VOTES_REASON), np.int8), reasons[suspected, :-1]], 1)
    best = consensus.posterior.argmax(1)
    # Where the label is more likely wrong than right, the best other class is suggested.
    others = consensus.posterior.copy()
    others[np.arange(len(label)), np.maximum(label, 0)] = 0.0
    wrong = np.nan_to_num(p_incorrect) > 0.5
    best = np.where(wrong, others.argmax(1), np.where(label >= 0, label, best))
    share = others.max(1) / np.maximum(others.sum(1), 1e-12)
    p_best = np.where(wrong, new * share, np.where(label >= 0, 1 - new, consensus.posterior.max(1)))
    sure = p_best > 0.5
    return dataclasses.replace(
        verdicts, code=code, threshold=threshold, review=review, reasons=reasons, p_incorrect=p_incorrect, p_hard=p_hard,
        p_outlier=p_outlier, suggested=np.where(sure, best, -1),
        p_suggested=np.where(sure, p_best, np.nan).astype(np.float32),
    )  # fmt: skip


def columns_of(consensus: Consensus, votes: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """Columns (N,) of the report: number of labels, share that agrees with the one scanned, its probability by votes and models, and whether one more
    label, by an annotator of mean reliability that disagrees, would change the most probable class."""
    n = (votes >= 0).sum(1)
    ordered = np.sort(consensus.posterior, 1)
    typical = float(np.clip(np.average(np.nan_to_num(consensus.reliability), weights=consensus.n_votes), 0.05, 0.99))
    vote = np.log(typical * max(1, consensus.posterior.shape[1] - 1) / (1 - typical))
    wants = np.log(np.maximum(ordered[:, -1], 1e-300)) - np.log(np.maximum(ordered[:, -2], 1e-300)) < vote
    with np.errstate(invalid="ignore", divide="ignore"):
        agreement = ((votes == label[:, None]) & (votes >= 0)).sum(1) / n
    return {
        "n_annotations": n.astype(np.float32), "agreement": agreement.astype(np.float32),
        "p_consensus": np.where(label >= 0, np.take_along_axis(consensus.posterior, np.maximum(label, 0)[:, None], 1)[:, 0], np.nan).astype(np.float32),
        "wants_label": wants.astype(np.float32),
    }  # fmt: skip


def annotator_table(names: tuple[str, ...], consensus: Consensus) -> list[dict[str, Any]]:
    """Describe each annotator, the least reliable first: name, number of labels, reliability with a 95 % interval."""
    out = []
    for name, n, share in zip(names, consensus.n_votes.tolist(), consensus.reliability.tolist(), strict=True):
        low, high = wilson(round(share * n), n) if n else (None, None)
        out.append({"name": name, "labels": n, "reliability": share if n else None, "low": low, "high": high})
    return sorted(out, key=lambda entry: 2.0 if entry["reliability"] is None else entry["reliability"])
