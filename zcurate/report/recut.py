"""Move the cut of a report without a scan: its verdicts follow from its probabilities. No torch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.verdicts import VERDICTS
from zcurate.judge.thresholds import Cut, cut_at, expected_precision, review_cut
from zcurate.judge.verdict_rule import decide
from zcurate.report.report import Report
from zcurate.report.select import floats, is_among

NEEDED = ("verdict", "p_incorrect", "p_hard", "p_outlier", "decision", "given", "decided")
"""Columns that `with_cut` reads, as far as a report has them."""


def cut_of(options: Any) -> Cut:
    """Return the cut that options set.

    Args:
        options: with the fields of `options.CUTS`.
    """
    return Cut(options.threshold, options.precision, options.budget)


def with_cut(report: Report, cut: Cut) -> Report:
    """Decide the verdicts again with another cut; rows with a decision keep what was decided.

    Args:
        report: a scan's result, with the columns `NEEDED`.
        cut: where the verdict incorrect begins; none set: the report as it is.
    """
    if not cut.is_set or not report.card["judged"]:
        return report
    p = floats(report.table.column("p_incorrect")).astype(np.float32)
    return with_threshold(report, cut_at(cut, open_rows(report, p), report.card["trust"]))


def with_threshold(report: Report, threshold: float) -> Report:
    """Decide the verdicts again with another threshold on p_incorrect, and describe them in the run card.

    Args:
        report: a scan's result, with the columns `NEEDED`.
        threshold: of the verdict incorrect.
    """
    card, table = report.card, report.table
    p = floats(table.column("p_incorrect")).astype(np.float32)
    review = card["thresholds"].get("review")
    review = review_cut(open_rows(report, p)) if review is None else review
    code = verdict_codes(table, (threshold, review))
    verdict = pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), pa.array(VERDICTS))
    flagged = code == VERDICTS.index("incorrect")
    expected = {**card["expected"], **expected_precision(p[flagged], card["trust"]), **recall_at(card, threshold), "hard_called": None}
    counted = count_verdicts(card, table, code)
    card = {**card, **counted, "thresholds": {**card["thresholds"], "p_incorrect": threshold, "review": review}, "expected": expected}
    return dataclasses.replace(report, table=table.set_column(table.column_names.index("verdict"), "verdict", verdict), card=card)


def open_rows(report: Report, p: np.ndarray) -> np.ndarray:
    """Return the p_incorrect of the rows that no decision has settled.

    Args:
        report: a scan's result.
        p: (N,) p_incorrect.
    """
    return p[~settled(report.table)]


def settled(table: pa.Table) -> np.ndarray:
    """Mark the rows that a decision has settled: all but `unsure`, (N,) bool."""
    if "decision" not in table.column_names:
        return np.zeros(table.num_rows, bool)
    return np.asarray(pc.is_in(table.column("decision"), value_set=pa.array(["keep", "relabel", "drop"])).to_numpy())


def verdict_codes(table: pa.Table, cuts: tuple[float, float]) -> np.ndarray:
    """Decide the verdict of each row, (N,) int8 positions in `VERDICTS`.

    Args:
        table: columns `NEEDED` of a report.
        cuts: threshold of the verdict incorrect, and the review cut.
    """
    p_incorrect, p_hard, p_outlier = (floats(table.column(name)).astype(np.float32) for name in ("p_incorrect", "p_hard", "p_outlier"))
    code = decide(p_incorrect, p_hard, p_outlier, cuts, ~is_among(table.column("verdict"), ("unlabelled",)))
    for word in ("skipped", "unjudged"):
        code[is_among(table.column("verdict"), (word,))] = VERDICTS.index(word)
    decided, kept = settled(table), is_among(table.column("verdict"), ("clean",))
    code[decided] = np.where(kept[decided], VERDICTS.index("clean"), VERDICTS.index("incorrect"))
    return code


def recall_at(card: dict[str, Any], threshold: float) -> dict[str, float | None]:
    """Look up the recall of planted errors at a threshold: between the cuts of the calibration table it is interpolated.

    Args:
        card: the run card.
        threshold: on p_incorrect.
    """
    known = [(entry["cut"], entry["recall"]) for entry in card["calibration"] if entry["recall"] is not None]
    if threshold == card["thresholds"]["p_incorrect"] or not known:
        return {}
    cuts, recalls = zip(*known, strict=True)
    recall = float(np.interp(threshold, cuts, recalls))
    return {"recall": recall, "recall_low": None, "recall_high": None}


def count_verdicts(card: dict[str, Any], table: pa.Table, code: np.ndarray) -> dict[str, Any]:
    """Count the rows called incorrect and hard of each class again.

    Args:
        card: the run card.
        table: with the column `given`, or without.
        code: (N,) positions in `VERDICTS`.
    """
    if not card["classes"] or "given" not in table.column_names:
        return {}
    counts = {}
    for word in ("incorrect", "hard"):
        found = pc.value_counts(table.column("given").filter(pa.array(code == VERDICTS.index(word))))
        counts[word] = dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))
    return {"classes": [{**entry, **{word: counts[word].get(entry["name"], 0) for word in counts}} for entry in card["classes"]]}
