"""Suggest labels again from changed probabilities, as the scan does. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.report.report import Report
from zcurate.report.schema import COLUMN_DOCS
from zcurate.report.select import floats


def suggestions(report: Report, before: np.ndarray, p: np.ndarray) -> tuple[Any, Any]:
    """Suggest labels again, as the scan does: the given one where it is more likely right, else the best other class where its probability exceeds one half.

    Args:
        report: as scanned.
        before: (N,) p_incorrect of the scan.
        p: (N,) the new one.
    """
    table = report.table
    kind = table.schema.field("given").type
    with np.errstate(invalid="ignore"):
        wrong, right = p > 0.5, p < 0.5
    if pa.types.is_floating(kind):
        return pa.array(np.where(wrong, floats(table.column("predicted")), np.nan), from_pandas=True), table.column("p_suggested")
    rows = np.flatnonzero(wrong)
    names, shares = other_class(table, before, rows)
    sure = p[rows] * shares > 0.5
    chance = np.where(right, 1 - p, np.nan)
    chance[rows[sure]] = (p[rows] * shares)[sure]
    chance[np.isnan(p)] = floats(table.column("p_suggested"))[np.isnan(p)]
    # Position of each row's suggestion among: the given labels, the scan's suggestions, the other classes, null.
    n = len(p)
    source = np.where(np.isnan(p), n + np.arange(n), np.where(right, np.arange(n), -1))
    source[rows[sure]] = 2 * n + np.flatnonzero(sure)
    labels = pa.chunked_array([*table.column("given").chunks, *table.column("suggested").chunks, pa.array(names, kind)])
    return labels.take(pa.array(source, mask=source < 0)), floats_column(chance)


def other_class(table: pa.Table, before: np.ndarray, rows: np.ndarray) -> tuple[list[str | None], np.ndarray]:
    """Find the best other class of some rows, and its share of the probability that the label is wrong.

    Args:
        table: of the report.
        before: (N,) p_incorrect of the scan.
        rows: (M,) int64.

    Returns:
        (M) names, None where there is none; and (M,) shares.
    """
    wanted = [name for name in ("given", "suggested", "predicted", "p_suggested", "top_classes", "top_probabilities") if name in table.column_names]
    names, shares = list[str | None](), np.zeros(len(rows))
    for at, (row, cells) in enumerate(zip(rows.tolist(), table.select(wanted).take(pa.array(rows)).to_pylist(), strict=True)):
        own, best = cells["given"], cells["suggested"]
        if best is None or best == own:
            chances = dict(zip(cells.get("top_classes") or [cells["predicted"]], cells.get("top_probabilities") or [1.0], strict=True))
            rest = {name: chance for name, chance in chances.items() if name not in (own, None)}
            best = max(rest, key=lambda name: rest[name], default=None)
            shares[at] = min(1.0, rest.get(best, 0.0) / max(1 - chances.get(own, 0.0), 1e-9))
        else:
            shares[at] = min(1.0, (cells["p_suggested"] or 0.0) / before[row]) if before[row] > 0 else 1.0
        names.append(best)
    return names, shares


def put(table: pa.Table, name: str, values: Any) -> pa.Table:
    """Set a column, in its place of the schema where it is new."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    order = list(COLUMN_DOCS)
    at = sum(order.index(one) < order.index(name) for one in table.column_names if one in COLUMN_DOCS)
    return table.add_column(at, name, values)


def floats_column(values: np.ndarray) -> pa.Array:
    """Return (N,) float32 with NaN as null."""
    return pa.array(values.astype(np.float32), from_pandas=True)
