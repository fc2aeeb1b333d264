"""Compute a trial's metrics: recall of planted errors by kind, precision and recall at each cut, and the quality of each ranking.

All are plain JSON values, computed from the verdicts of the scan of the data as given and of the scan of the copy. No torch. A row is
suspected if the scan of the data as given already gave it p_incorrect above one half: whether its label is wrong is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zcurate.evidence.planted import CLASS_KINDS, TARGET_KINDS
from zcurate.judge.calibration import CUTS
from zcurate.judge.intervals import wilson
from zcurate.report.run_card import finite

SUSPECTED = 0.5
"""p_incorrect in the data as given above which a row is suspected, and left out of the rankings."""


@dataclass(frozen=True)
class ComparedScans:
    """Verdicts and scores of N input rows before and after errors were planted."""

    kind: np.ndarray
    """(N,) str, kind of the planted error; empty where there is none."""
    before: np.ndarray
    """(N,) float64 p_incorrect in the data as given; NaN = not judged."""
    verdict_before: np.ndarray
    """(N,) str, verdict on the data as given."""
    after: np.ndarray
    """(N,) float64 p_incorrect in the copy; NaN = not judged."""
    verdict_after: np.ndarray
    """(N,) str, verdict on the copy."""
    restored: np.ndarray
    """(N,) bool, the label suggested in the copy is the one given."""
    scores: dict[str, np.ndarray]
    """Ranking -> (N,) float64 score, high = suspicious; NaN = unknown."""

    @property
    def planted(self) -> np.ndarray:
        """Mark the rows with a planted error, (N,) bool."""
        return self.kind != ""


def share(n: int, total: int) -> float | None:
    """Divide n by total; None if total is 0."""
    return n / total if total else None


def recall(found: int, planted: int) -> dict[str, Any]:
    """Compute recall and its 95 % interval (Wilson)."""
    low, high = wilson(found, planted)
    return {"recall": share(found, planted), "recall_low": finite(low), "recall_high": finite(high)}


def by_kind(rows: ComparedScans) -> list[dict[str, Any]]:
    """Count per kind, and last for all kinds: planted, found at the user's threshold, recall, and verdicts of the missed errors.

    Args:
        rows: N rows.
    """
    table = []
    for kind in [*(kind for kind in CLASS_KINDS + TARGET_KINDS if (rows.kind == kind).any()), "all"]:
        selected = rows.planted if kind == "all" else rows.kind == kind
        verdict = rows.verdict_after[selected]
        n, found = int(selected.sum()), int((verdict == "incorrect").sum())
        called = {word: int((verdict == word).sum()) for word in ("suspect", "hard", "clean", "outlier")}
        restored = int((selected & rows.restored & (rows.verdict_after == "incorrect")).sum())
        table.append({"kind": kind, "planted": n, "found": found, **recall(found, n), **called, "restored": restored})
    return table


def flagged(rows: ComparedScans, now: np.ndarray, earlier: np.ndarray) -> dict[str, Any]:
    """Count planted and other rows among the flagged ones, and compute precision and recall.

    The label of a row that was flagged before planting may be right or wrong: `precision_low` counts all of these as right,
    `precision_high` all of them as wrong.

    Args:
        rows: N rows.
        now: (N,) bool, flagged in the copy.
        earlier: (N,) bool, flagged in the data as given, at the same cut.
    """
    n, found = int(now.sum()), int((now & rows.planted).sum())
    before = int((now & ~rows.planted & earlier).sum())
    precision = {"precision_low": share(found, n), "precision_high": share(found + before, n)}
    return {"flagged": n, "planted": found, "before": before, "other": n - found - before, **recall(found, int(rows.planted.sum())), **precision}


def at_cut(rows: ComparedScans) -> dict[str, Any]:
    """Apply `flagged` at the user's threshold: to the rows called incorrect."""
    return flagged(rows, rows.verdict_after == "incorrect", rows.verdict_before == "incorrect")


def by_cut(rows: ComparedScans) -> list[dict[str, Any]]:
    """Apply `flagged` at each of the judge's cuts on p_incorrect."""
    with np.errstate(invalid="ignore"):
        return [{"cut": cut, **flagged(rows, rows.after > cut, rows.before > cut)} for cut in CUTS]


def rankings(rows: ComparedScans) -> list[dict[str, Any]]:
    """Measure how well each ranking, and chance, puts planted errors above other rows.

    `average_precision` and `auroc` leave suspected rows out, `average_precision_all` counts them as right; `over_hard` is the AUROC
    of planted errors against rows that the scan of the data as given called hard, where 0.5 means that wrong and hard are not separated.

    Args:
        rows: N rows; those without a score in some ranking are left out of all.
    """
    known = ~np.isnan(np.stack([rows.after, *rows.scores.values()])).any(0)
    suspected = rows.before > SUSPECTED
    counted = known & (rows.planted | ~suspected)
    hard = known & (rows.planted | (rows.verdict_before == "hard"))
    table = []
    for name, score in rows.scores.items():
        precision, auroc = ranking_quality(score[counted], rows.planted[counted])
        precision_all, _ = ranking_quality(score[known], rows.planted[known])
        over_hard = ranking_quality(score[hard], rows.planted[hard])[1]
        table.append({"ranking": name, "average_precision": precision, "auroc": auroc, "average_precision_all": precision_all, "over_hard": over_hard})
    chance, chance_all = (share(int((rows.planted & subset).sum()), int(subset.sum())) for subset in (counted, known))
    table.append({"ranking": "chance", "average_precision": chance, "auroc": 0.5, "average_precision_all": chance_all, "over_hard": 0.5})
    return table


def ranking_quality(score: np.ndarray, positive: np.ndarray) -> tuple[float | None, float | None]:
    """Compute average precision and area under the ROC curve; None if there are only positives or only negatives.

    Args:
        score: (n,) float64, high = positive.
        positive: (n,) bool.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    if positive.all() or not positive.any():
        return None, None
    return float(average_precision_score(positive, score)), float(roc_auc_score(positive, score))


def hard_rows(rows: ComparedScans) -> dict[str, int]:
    """Count the verdicts after planting of the rows that were called hard as given and not planted."""
    selected = (rows.verdict_before == "hard") & ~rows.planted
    words = rows.verdict_after[selected]
    return {"rows": int(selected.sum()), **{word: int((words == word).sum()) for word in ("incorrect", "suspect", "hard", "clean", "outlier")}}
