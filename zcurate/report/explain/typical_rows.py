"""Find the pictures that are most typical of a row's two classes, by the features that the scan kept. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from zcurate.report.report import Report

N_TYPICAL = 3
"""Typical pictures of a class."""


def typical_rows(report: Report, features: np.ndarray, rows: list[int]) -> dict[int, dict[str, list[dict[str, Any]]]]:
    """Find the typical pictures of the given and of the suggested (else the predicted) class of some rows.

    Typical of a class are the pictures with its label and the verdict clean whose features are nearest in direction to the mean of all those.

    Args:
        report: a scan's result.
        features: (N, V) float32 `similar_rows.unit_features` of its pictures.
        rows: positions in the input.

    Returns:
        Row -> `given` and `suggested` -> entries with `row`, `path` and `label`, most typical first; a class without clean pictures is missing.
    """
    table = report.table
    found: dict[str, list[dict[str, Any]]] = {}
    paths = table.column("path") if "path" in table.column_names else None

    def typical(label: str) -> list[dict[str, Any]]:
        if label not in found:
            of_class = pc.and_(pc.equal(table.column("given"), label), pc.equal(table.column("verdict").cast("string"), "clean"))
            members = np.flatnonzero(pc.fill_null(of_class, False).to_numpy())
            nearest = members[np.argsort(-(features[members] @ features[members].mean(0)), kind="stable")[:N_TYPICAL]] if len(members) else members
            found[label] = [{"row": int(row), "path": None if paths is None else paths[int(row)].as_py(), "label": label} for row in nearest]
        return found[label]

    out = {}
    for row in rows:
        given, other = (table.column(name)[row].as_py() for name in ("given", "suggested"))
        other = other if other not in (None, given) else table.column("predicted")[row].as_py()
        classes = {"given": given, "suggested": other if other != given else None}
        out[row] = {role: entries for role, label in classes.items() if label is not None and (entries := typical(label))}
    return out
