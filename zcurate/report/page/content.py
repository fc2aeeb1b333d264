"""What the page of a report shows, as plain values: bounded in size whatever the report's. No torch, no HTML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.data.file_names import existing
from zcurate.data.picture_findings import FINDINGS
from zcurate.data.thumbnails import data_uri
from zcurate.errors import ZcurateError
from zcurate.judge.reasons import REASONS
from zcurate.report import listing, locations
from zcurate.report.formats.cells import column_texts
from zcurate.report.report import Report
from zcurate.report.select import floats, is_among

MAX_ROWS = {"suspicious": 400, "suspect": 150, "hard": 150}
"""Rows in the table: the most suspicious of any verdict, and the first of others."""
MAX_TEXT, MAX_CELLS = 160, 12
"""Characters of a value that are shown, and columns of the input."""
MAX_CLASSES = 12
"""Classes in the matrix of given and suggested labels."""
BAND_ROWS = 2000
"""Rows that a class's band of loss curves is taken from, at most."""
THUMB_SIDE, THUMB_BYTES = 112, 2_600_000
"""Longest side of a thumbnail [pixels], and bytes that all of them may take as text."""
ROW_BYTES = 1_200_000
"""Bytes that the rows may take as text."""
COLUMNS = (
    "row", "id", "path", "fingerprint", "given", "suggested", "p_suggested", "p_incorrect", "p_hard", "p_outlier", "verdict", "rank", "reasons", "telling",
    "z_score", "mask_frequency", "loss_curve", "decision", "decided",
)  # fmt: skip
"""Columns of the report that the page needs."""


def content_of(report: Report, data: str | None = None) -> dict[str, Any]:
    """Gather what the page shows.

    Args:
        report: with `COLUMNS`, as far as it has them.
        data: `--data`.
    """
    rows = picked_rows(report)
    classes = [entry["name"] for entry in report.card["classes"]]
    cells, problem = input_cells(report, rows, data)
    entries = list(bounded(row_entries(report, rows, cells, classes)))
    add_thumbnails(report, entries, data)
    return {
        "rows": entries,
        "classes": classes,
        "bands": class_bands(report, rows),
        "label": report.card["columns"]["label"],
        "digest": report.card["input"]["digest"],
        "matrix": matrix(report),
        "problem": problem,
        "n_rows": len(report),
    }


def picked_rows(report: Report) -> list[int]:
    """Choose the rows of the table, in the order of their rank."""
    rank = np.nan_to_num(floats(report.table.column("rank")), nan=np.inf)
    order = np.argsort(rank, kind="stable")
    order = order[np.isfinite(rank[order])]
    picked = order[: MAX_ROWS["suspicious"]].tolist()
    for word in ("suspect", "hard"):
        of_word = is_among(report.table.column("verdict"), (word,))
        more = order[of_word[order]]
        if word == "hard" and "p_hard" in report.table.column_names:
            more = more[np.argsort(-floats(report.table.column("p_hard"))[more], kind="stable")]
        picked += [row for row in more[: MAX_ROWS[word]].tolist() if row not in set(picked)]
    return sorted(picked, key=lambda row: rank[row])


def input_cells(report: Report, rows: list[int], data: str | None) -> tuple[dict[str, list[str]], str]:
    """Read the input's columns of some rows as text; none, and why, where it cannot be read."""
    if report.card["columns"]["pictures"]:
        return {}, ""
    try:
        found = listing.reread_input(report, "html", data, verbatim=True)
    except ZcurateError as error:
        if data is not None:
            raise
        return {}, str(error)
    taken = found.table.take(pa.array(rows, pa.int64()))
    names = [name for name in taken.column_names if name != found.roles.label][:MAX_CELLS]
    return {name: [text[:MAX_TEXT] for text in column_texts(taken.column(name))] for name in names}, ""


def row_entries(report: Report, rows: list[int], cells: dict[str, list[str]], classes: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the facts of each row that the page lists; classes by their number."""
    number = {name: at for at, name in enumerate(classes)}
    table = report.table.select([name for name in COLUMNS if name in report.table.column_names]).take(pa.array(rows, pa.int64()))
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    keys = {name: column_texts(table.column(name)) for name in ("id", "path") if name in columns}

    def label(value: Any) -> Any:
        return number.get(value) if classes else value

    for at, row in enumerate(rows):
        values = {name: column[at] for name, column in columns.items()}
        entry = {
            "row": row,
            "key": next((texts[at] for texts in keys.values() if texts[at]), ""),
            "keys": {name: texts[at] for name, texts in keys.items() if texts[at]},
            "print": values.get("fingerprint"),
            "given": label(values["given"]),
            "suggested": label(values["suggested"]) if values["suggested"] != values["given"] else None,
            "verdict": values["verdict"],
            "rank": values["rank"],
            "p": [rounded(values[name], 4) for name in ("p_incorrect", "p_hard", "p_outlier")],
            "z": rounded(values["z_score"], 3),
            "masked": rounded(values["mask_frequency"], 3),
            "why": [str(REASONS.get(code) or FINDINGS.get(code, code))[:MAX_TEXT] for code in values["reasons"] or ()],
            "telling": [str(word)[:MAX_TEXT] for word in values.get("telling") or ()],
            "loss": [rounded(value, 3) for value in values.get("loss_curve") or ()],
            "cells": {name: texts[at] for name, texts in cells.items()},
        }
        if values.get("decision"):
            entry |= {"decision": values["decision"], "decided": label(values["decided"])}
        yield entry


def rounded(value: float | None, digits: int) -> float | None:
    """Round a number; None for null and what is no number."""
    return None if value is None or not np.isfinite(value) else round(float(value), digits)


def bounded(entries: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield entries until they take too many bytes as text; the values of the input's columns go first."""
    size = 0
    for entry in entries:
        if size > ROW_BYTES / 2:
            entry["cells"] = {}
        size += len(repr(entry).encode("utf-8", "replace"))
        if size > ROW_BYTES:
            return
        yield entry


def add_thumbnails(report: Report, entries: list[dict[str, Any]], data: str | None) -> None:
    """Add thumbnails to the entries whose picture is a file that may be opened, as far as there is room."""
    root = locations.root_of(report.card)
    if root is None or not (data is not None or locations.may_open(root, report)):
        return
    room = THUMB_BYTES
    for entry in entries:
        path = entry["keys"].get("path")
        uri = "" if path is None else data_uri(existing(path, root), THUMB_SIDE)
        room -= len(uri)
        if room < 0:
            return
        if uri:
            entry["picture"] = uri


def class_bands(report: Report, rows: list[int]) -> dict[str, list[list[float]]]:
    """Return the middle 80 % and the median of the loss at each epoch, by the number of the class, or `all` for regression."""
    table = report.table
    if "loss_curve" not in table.column_names:
        return {}
    classes = [entry["name"] for entry in report.card["classes"]]
    given = table.column("given")
    wanted = set(given.take(pa.array(rows, pa.int64())).to_pylist()) if classes else {None}
    bands = {}
    for name in sorted(wanted, key=str):
        if classes and name not in classes:
            continue
        members = np.flatnonzero(np.asarray(pa.compute.fill_null(pa.compute.equal(given, name), False))) if classes else np.arange(len(report))
        members = members[:: max(1, len(members) // BAND_ROWS)]
        curves = [curve for curve in table.column("loss_curve").take(pa.array(members)).to_pylist() if curve]
        length = max(map(len, curves), default=0)
        curves = [curve for curve in curves if len(curve) == length]
        if len(curves) >= 5:
            quantiles = np.quantile(np.array(curves, float), [0.1, 0.5, 0.9], axis=0)
            bands[str(classes.index(name)) if classes else "all"] = np.round(quantiles, 3).tolist()
    return bands


def matrix(report: Report) -> dict[str, Any] | None:
    """Count given against suggested labels of the rows called incorrect, of the classes with the most; None for regression, or if there are none."""
    if report.card["task"]["kind"] == "regression":
        return None
    wrong = report.table.select(["given", "suggested"]).filter(pa.array(is_among(report.table.column("verdict"), ("incorrect",))))
    plain = pa.table({name: wrong.column(name).cast(pa.string()) for name in wrong.column_names}).drop_null()
    if not plain.num_rows:
        return None
    counted = plain.group_by(plain.column_names).aggregate([([], "count_all")]).to_pydict()
    count = dict(zip(zip(counted["given"], counted["suggested"], strict=True), counted["count_all"], strict=True))
    weight: dict[str, int] = {}
    for pair, rows in count.items():
        for name in pair:
            weight[name] = weight.get(name, 0) + rows
    names = sorted(sorted(weight, key=lambda name: (-weight[name], name))[:MAX_CLASSES])
    cells = [[count.get((given, suggested), 0) for suggested in names] for given in names]
    return {"names": [name[:MAX_TEXT] for name in names], "cells": cells, "most": max(max(row) for row in cells), "classes": len(weight)}
