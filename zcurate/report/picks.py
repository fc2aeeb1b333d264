"""Pick the rows of a report to ask a person about. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.errors import ReportError
from zcurate.judge.teaching import draw_rows
from zcurate.report.decisions import FoundDecisions
from zcurate.report.report import Report
from zcurate.report.select import floats, is_among

LIST_COLUMNS = ("row", "id", "path", "fingerprint", "given", "suggested", "p_incorrect")
"""Columns of a list of picked rows, as far as the report has them; `draw_probability`, `decision` and `label` follow."""


@dataclass(frozen=True)
class Picks:
    """Rows to ask about."""

    row: np.ndarray
    """(n,) int64 in the order in which they are asked about."""
    draw_probability: np.ndarray
    """(n,) probability with which each was picked; 1 where the pick follows from the report alone."""


def pick_rows(report: Report, how: str, n: int, seed: int, decided: np.ndarray) -> Picks:
    """Pick rows that have no decision yet.

    Args:
        report: a scan's result.
        how: `teach` draws along p_incorrect (see `judge.teaching`), `top` takes the most suspicious rows, `hard` the hardest, `random` any judged ones.
        n: rows to pick, at most.
        seed: of what is drawn.
        decided: (D,) int64 rows with a decision.

    Raises:
        ReportError: no row can be picked like that.
    """
    table = report.table
    is_open = np.ones(len(report), bool)
    is_open[decided] = False
    if "decision" in table.column_names:
        is_open &= pc.is_null(table.column("decision")).to_numpy()
    p = floats(table.column("p_incorrect"))
    generator = np.random.default_rng(seed)
    candidates = np.flatnonzero(is_open & ~np.isnan(p))
    if how == "top":
        rank = floats(table.column("rank"))
        ranked = np.flatnonzero(is_open & ~np.isnan(rank))
        return certain(ranked[np.argsort(rank[ranked], kind="stable")][:n], report, how)
    if how == "hard":
        hard = np.flatnonzero(is_open & is_among(table.column("verdict"), ("hard",)))
        return certain(hard[np.argsort(-floats(table.column("p_hard"))[hard], kind="stable")][:n], report, how)
    if not len(candidates):
        raise ReportError(nothing_left(report, how))
    if how == "random":
        n = min(n, len(candidates))
        return Picks(generator.choice(candidates, n, replace=False), np.full(n, n / len(candidates)))
    drawn, probability = draw_rows(p[candidates], n, generator)
    order = generator.permutation(len(drawn))
    return Picks(candidates[drawn[order]], probability[order])


def certain(rows: np.ndarray, report: Report, how: str) -> Picks:
    """Return rows whose pick follows from the report alone.

    Raises:
        ReportError: there is none.
    """
    if not len(rows):
        raise ReportError(nothing_left(report, how))
    return Picks(rows, np.ones(len(rows)))


def nothing_left(report: Report, how: str) -> str:
    """Write the message for a report without rows to pick."""
    if not report.card["judged"]:
        return f"review: no row of the report is judged ({report.card['why_unjudged']}) — expected a judged report — try --pick top, which goes by the z-score"
    return f"review: no row is left to ask about with --pick {how} — expected one without a decision — try --pick top or random"


def list_table(report: Report, picks: Picks) -> pa.Table:
    """Return the picked rows as a decisions file to fill in.

    Args:
        report: a scan's result.
        picks: of its rows.
    """
    names = [name for name in LIST_COLUMNS if name in report.table.column_names]
    table = report.table.select(names).take(pa.array(picks.row))
    table = table.append_column("draw_probability", pa.array(picks.draw_probability))
    for name in ("decision", "label"):
        table = table.append_column(name, pa.nulls(len(picks.row), pa.string()))
    return table


def rows_of(found: FoundDecisions | None) -> np.ndarray:
    """Return the rows of decisions, (D,) int64; none for None."""
    return np.zeros(0, np.int64) if found is None else found.row
