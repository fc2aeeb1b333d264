"""A trial in numbers: how many planted errors were found, by kind and at each cut, and how well each ranking puts them first.

Leaves: plain JSON values. Enters: `Compared`, what the scan of the data as given and the scan of the copy say of each row. No torch.
A row is called suspected when the scan of the data as given already held it for wrong: nobody knows whether it is.
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
"""p_incorrect above which a row of the data as given is left out of the rankings: more likely wrong than right."""


@dataclass(frozen=True)
class ComparedScans:
    """What is known of N input rows before and after errors were planted."""

    kind: np.ndarray
    """(N,) str, how the row's label was made wrong; empty where it was left as given."""
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
    """(N,) float64 by name of the ranking, high = suspicious; NaN = cannot tell."""

    @property
    def planted(self) -> np.ndarray:
        """(N,) bool."""
        return self.kind != ""


def share(n: int, of: int) -> float | None:
    """n / of; None of nothing."""
    return n / of if of else None


def recall(found: int, planted: int) -> dict[str, Any]:
    """The share found with its 95 % interval (Wilson)."""
    low, high = wilson(found, planted)
    return {"recall": share(found, planted), "recall_low": finite(low), "recall_high": finite(high)}


def by_kind(rows: ComparedScans) -> list[dict[str, Any]]:
    """Per kind, and last for all: planted, found at the user's cut, recall, and how the missed ones were called.

    Args:
        rows: N rows.
    """
    table = []
    for kind in [*(kind for kind in CLASS_KINDS + TARGET_KINDS if (rows.kind == kind).any()), "all"]:
        mine = rows.planted if kind == "all" else rows.kind == kind
        verdict = rows.verdict_after[mine]
        n, found = int(mine.sum()), int((verdict == "incorrect").sum())
        called = {word: int((verdict == word).sum()) for word in ("hard", "clean", "outlier")}
        restored = int((mine & rows.restored & (rows.verdict_after == "incorrect")).sum())
        table.append({"kind": kind, "planted": n, "found": found, **recall(found, n), **called, "restored": restored})
    return table


def flagged(rows: ComparedScans, now: np.ndarray, earlier: np.ndarray) -> dict[str, Any]:
    """Who is among the flagged rows, and what precision that makes.

    A row that was flagged before planting may be right or wrong: `precision_low` counts all of these as right, `precision_high`
    all of them as wrong.

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
    """`flagged` at the user's cut: the rows called incorrect."""
    return flagged(rows, rows.verdict_after == "incorrect", rows.verdict_before == "incorrect")


def by_cut(rows: ComparedScans) -> list[dict[str, Any]]:
    """`flagged` at each of the judge's cuts on p_incorrect."""
    with np.errstate(invalid="ignore"):
        return [{"cut": cut, **flagged(rows, rows.after > cut, rows.before > cut)} for cut in CUTS]


def rankings(rows: ComparedScans) -> list[dict[str, Any]]:
    """How well each ranking puts planted errors above other rows, and chance.

    `average_precision` and `auroc` leave suspected rows out, `average_precision_all` counts them as right; `over_hard` is the AUROC
    of planted errors against rows that the scan of the data as given called hard, 0.5 = wrong and hard are not told apart.

    Args:
        rows: N rows; those that some ranking cannot place are left out of all.
    """
    known = ~np.isnan(np.stack([rows.after, *rows.scores.values()])).any(0)
    suspected = rows.before > SUSPECTED
    counted = known & (rows.planted | ~suspected)
    hard = known & (rows.planted | (rows.verdict_before == "hard"))
    table = []
    for name, score in rows.scores.items():
        precision, area = ranking_quality(score[counted], rows.planted[counted])
        every, _ = ranking_quality(score[known], rows.planted[known])
        over = ranking_quality(score[hard], rows.planted[hard])[1]
        table.append({"ranking": name, "average_precision": precision, "auroc": area, "average_precision_all": every, "over_hard": over})
    chance, chance_all = (share(int((rows.planted & among).sum()), int(among.sum())) for among in (counted, known))
    table.append({"ranking": "chance", "average_precision": chance, "auroc": 0.5, "average_precision_all": chance_all, "over_hard": 0.5})
    return table


def ranking_quality(score: np.ndarray, positive: np.ndarray) -> tuple[float | None, float | None]:
    """Average precision and area under the ROC curve; None where one side is empty.

    Args:
        score: (n,) float64, high = positive.
        positive: (n,) bool.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    if positive.all() or not positive.any():
        return None, None
    return float(average_precision_score(positive, score)), float(roc_auc_score(positive, score))


def hard_rows(rows: ComparedScans) -> dict[str, int]:
    """What became of the rows that the scan of the data as given called hard and that were not planted."""
    mine = (rows.verdict_before == "hard") & ~rows.planted
    words = rows.verdict_after[mine]
    return {"rows": int(mine.sum()), **{word: int((words == word).sum()) for word in ("incorrect", "hard", "clean", "outlier")}}
