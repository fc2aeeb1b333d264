"""Everything that a report holds on one row, as plain JSON values: what `explain` says, before anything is drawn.

Leaves: one dict per row. Enters: a `Report`, row numbers or ids, and where it is still as it was the input. The room is not called
`explain` because that is the name of the command's function. No torch at the top, no rich.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.dataset import Dataset
from zcurate.encoding import targets
from zcurate.errors import UsageError, ZcurateError, did_you_mean
from zcurate.judge.reasons import REASONS
from zcurate.plugins import SIGNALS
from zcurate.report import attribution, dynamics_columns, listing
from zcurate.report.explain.similar_rows import SimilarRows, similar_rows
from zcurate.report.formats.cells import cell_text
from zcurate.report.formats.json import json_value
from zcurate.report.report import Report
from zcurate.report.schema import CURVE_COLUMNS, REGRESSION_ONLY

MAX_ROWS_PER_ID = 20
"""Rows of one id that are explained together."""
MAX_COMPARED = 50_000
"""Ids among which the nearest is looked for when a row is unknown."""
TRAITS = ("given", "suggested", "p_suggested", "verdict", "p_incorrect", "p_hard", "p_outlier", "rank", "z_score", "mask_frequency", "predicted")
"""Columns that are taken over as they are."""


def rows_of(report: Report, words: list[str], by_row: bool) -> list[int]:
    """The rows that the user named, in that order, each once.

    A word is first looked for among the values of `--id`, then among the paths; else it is a row number, but not where ids are numbers
    themselves.

    Args:
        report: a scan's result.
        words: as typed.
        by_row: they are row numbers whatever the ids.

    Raises:
        UsageError: no such row; names the nearest id.
    """
    found: list[int] = []
    for word in words:
        found += [row for row in named(report, word, by_row) if row not in found]
    return found


def named(report: Report, word: str, by_row: bool) -> list[int]:
    """The rows that one word stands for.

    Raises:
        UsageError: none, or too many.
    """
    table = report.table
    number = int(word) if word.isascii() and word.isdigit() else None
    keys = [] if by_row else keys_of(table)
    rows = [row for row, key in enumerate(keys) if key == word] or ([] if by_row else paths_as(report, word))
    if len(rows) > MAX_ROWS_PER_ID:
        raise UsageError(f"{word}: {len(rows)} rows have this id — expected at most {MAX_ROWS_PER_ID} — name them by number: --by-row {rows[0]}")
    counted = "id" in table.column_names and bool(keys) and all(key.isdigit() for key in keys)
    if not rows and number is not None and number < table.num_rows and not counted:
        return [number]
    if not rows:
        raise UsageError(unknown(report, word, keys, counted))
    return rows


def keys_of(table: pa.Table) -> list[str]:
    """(N) each row's id, else its path, as `report --format ids` writes them; empty where there are neither."""
    name = next((name for name in ("id", "path") if name in table.column_names), None)
    if name is None:
        return []
    kind = table.schema.field(name).type
    return [cell_text(value, kind) for value in table.column(name).to_pylist()]


def paths_as(report: Report, word: str) -> list[int]:
    """The rows whose picture is the file that `word` names from the current folder, or stands so in the input."""
    if "path" not in report.table.column_names:
        return []
    root, paths = report.card["input"].get("root"), report.table.column("path").to_pylist()
    wanted = os.path.abspath(word)
    return [
        row
        for row, path in enumerate(paths)
        if path is not None and (path.strip() == word or (root is not None and os.path.abspath(os.path.join(root, path.strip())) == wanted))
    ]


def unknown(report: Report, word: str, keys: list[str], counted: bool) -> str:
    """The message for a row that is not there."""
    last = len(report) - 1
    if not keys:
        return f"{word}: no such row — expected a row number, 0 to {last} — `zcurate report` lists rows with their numbers"
    column = f"an id of column '{report.card['columns']['id']}'" if "id" in report.table.column_names else "a picture's path"
    hint = did_you_mean(word, [key for key in keys[:MAX_COMPARED] if key])
    also = f" — row numbers, 0 to {last}, need --by-row" if counted else f" or a row number, 0 to {last}"
    return f"{word}: no such row — expected {column}{also}{hint or ' — `zcurate report` lists them'}"


def explain_rows(report: Report, path: str, rows: list[int]) -> list[dict[str, Any]]:
    """All there is to say of each row.

    Args:
        report: a scan's result.
        path: where it was read from.
        rows: positions in the input.

    Returns:
        A dict per row; parts that the report lacks are None, `missing` names its missing columns.
    """
    try:
        data = listing.reread_input(report, "nearest rows")
        like, why_not = similar_rows(data, rows), ""
    except ZcurateError as error:
        data, like, why_not = None, None, str(error)
    return [of_row(report, path, row, data, like, why_not) for row in rows]


def of_row(report: Report, path: str, row: int, data: Dataset | None, like: SimilarRows | None, why_not: str) -> dict[str, Any]:
    """One row's dict; arguments as for `compose`, and the data as read again with the nearest rows, or why they could not be."""
    table, card = report.table, report.card
    values = {name: json_value(value, table.schema.field(name).type) for name, value in table.slice(row, 1).to_pylist()[0].items()}
    regression = card["task"]["kind"] == "regression"
    wanted = [name for name in CURVE_COLUMNS if not (regression and name.startswith("top_"))]
    ranked = table.num_rows - table.column("rank").null_count
    told = values.get("telling") or ([] if data is None else telling_of(data, row, values))
    skipped = [entry["reason"] for entry in card["skipped"] if entry["row"] == row]
    facts: dict[str, Any] = {
        "report": path,
        "row": row,
        **{name: values[name] for name in ("id", "path") if name in values},
        **{name: values.get(name) for name in TRAITS},
        "ranked": ranked,
        "task": card["task"]["kind"],
        "label": card["columns"]["label"],
        "judged": card["judged"],
        "why_unjudged": card["why_unjudged"],
        "skipped": skipped[0] if skipped else None,
        "cut": cut_of(card, values.get("p_incorrect")),
        "heldout": {name: values.get(name) for name in REGRESSION_ONLY} if regression else classes_of(values),
        "reasons": [{"code": code, "words": REASONS.get(code, code)} for code in values.get("reasons") or ()],
        "curves": curves_of(report, row, values, regression),
        "clues": clues_of(card, values.get("clues")),
        "telling": told,
        "nearest": None if data is None or like is None else neighbours_of(report, data, row, like, told),
        "nearest_missing": why_not or None,
        "missing": [name for name in wanted if name not in table.column_names],
    }
    return {**facts, "meaning": meaning(facts)}


def cut_of(card: dict[str, Any], p: float | None) -> dict[str, Any] | None:
    """Where `incorrect` begins, what is expected there, and the calibration table's entry at the highest cut below the row; None where nothing was judged."""
    threshold = card["thresholds"]["p_incorrect"]
    if p is None or threshold is None:
        return None
    below = [entry for entry in card["calibration"] if p > entry["cut"]]
    planted = int(card["calibration"][0]["planted"]) if card["calibration"] else 0
    return {"threshold": threshold, "above": p > threshold, "planted": planted, **card["expected"], "at_row": below[-1] if below else None}


def classes_of(values: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The most probable held-out classes, and the given one where it is not among them; None where they are not known."""
    if not values.get("top_classes"):
        return None
    found = [{"class": name, "p": p} for name, p in zip(values["top_classes"], values["top_probabilities"], strict=True)]
    if values["given"] is not None and values["given"] not in values["top_classes"] and values.get("p_given") is not None:
        found.append({"class": values["given"], "p": values["p_given"]})
    return found


def curves_of(report: Report, row: int, values: dict[str, Any], regression: bool) -> dict[str, Any] | None:
    """The row's curves, and the bands of its class (regression: of all rows) and of the planted errors; None where there are none."""
    if values.get("loss_curve") is None:
        return None
    table = report.table
    mates = table if regression else table.filter(pc.equal(table.column("given"), values["given"]))
    planted = report.card.get("bands") or {}
    out: dict[str, Any] = {
        "rows": mates.num_rows - mates.column("loss_curve").null_count,
        "planted": planted.get("planted", 0),
        "later_round": not report.card["partial"] and len(values["loss_curve"]) < report.card["model"]["n_epochs"][0],
    }
    for name in dynamics_columns.CURVES:
        own = values[f"{name}_curve"]
        out[name] = {"row": own, "class": dynamics_columns.band(matrix(mates.column(f"{name}_curve")).T), "planted": planted.get(name)}
    return out


def matrix(column: pa.ChunkedArray) -> np.ndarray:
    """(N, L) float64 of a list column, NaN where a list is shorter, null or holds null.

    Args:
        column: (N) list<float32>.
    """
    array = column.combine_chunks()
    length = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    out = np.full((len(array), int(length.max(initial=0))), np.nan)
    flat = array.flatten().to_numpy(zero_copy_only=False)
    out[np.arange(out.shape[1])[None] < length[:, None]] = flat
    return out


def clues_of(card: dict[str, Any], percentiles: list[float | None] | None) -> list[dict[str, Any]] | None:
    """Each clue's place, weight and meaning, what counted most first; None where nothing was judged."""
    names, weights = card.get("clue_names"), card["clues"]
    if percentiles is None or not names:
        return None
    found = []
    for name, at in zip(names, percentiles, strict=True):
        code = SIGNALS[name].reason if name in SIGNALS else None
        weight = weights.get(name, 0.0)
        words = REASONS[code] if code else name.replace("_", " ")
        found.append({"clue": name, "place": at, "weight": weight, "counts": weight * at if at is not None else 0.0, "words": words})
    return sorted(found, key=lambda entry: -entry["counts"])


def telling_of(data: Dataset, row: int, values: dict[str, Any]) -> list[str]:
    """`column=value` of the columns that speak most against the label, for a row of which the report names none."""
    if values["verdict"] == "skipped":
        return []
    other = np.full(data.n_rows, -1)
    if data.task.classes:
        rival = next((name for name in values.get("top_classes") or () if name != values["given"]), values.get("predicted"))
        other[row] = data.task.classes.index(rival) if rival in data.task.classes else -1
    return attribution.attribute(data, np.array([row]), targets.class_codes(data), other).to_pylist()[0]


def neighbours_of(report: Report, data: Dataset, row: int, like: SimilarRows, told: list[str]) -> dict[str, Any] | None:
    """The nearest rows with labels, verdicts and distances, and the values of the telling columns, first of the row itself; None where there are none."""
    if row not in like.of:
        return None
    wanted = [row, *(near for near, _ in like.of[row])]
    columns = [max(fits, key=lambda column: len(column.name)) for word in told if (fits := [c for c in data.roles.features if word.startswith(f"{c.name}=")])]
    shown = [attribution.shown_values(data, column, pa.array(wanted)).to_pylist() for column in columns]
    names = [name for name in ("id", "path", "given", "verdict") if name in report.table.column_names]
    chosen = report.table.select(names).take(pa.array(wanted))
    entries = []
    for at, near in enumerate(wanted):
        entry = {name: json_value(chosen.column(name)[at].as_py(), chosen.schema.field(name).type) for name in names}
        distance = like.of[row][at - 1][1] if at else 0.0
        entries.append({"row": near, **entry, "distance": round(distance, 4), "values": {c.name: shown[k][at] for k, c in enumerate(columns)}})
    return {"measure": like.measure, "itself": entries[0], "rows": entries[1:]}


def label_text(value: Any) -> str:
    """A label as a person reads it."""
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def meaning(facts: dict[str, Any]) -> str:
    """What it comes to for the user, in one sentence."""
    verdict, p = facts["verdict"], facts["p_incorrect"]
    if verdict == "skipped":
        return f"The row could not be read ({facts['skipped'] or 'see `zcurate info`'}), so nothing is known of it."
    if verdict == "unlabelled":
        return f"The row has no label; models that never saw it would call it {label_text(facts['predicted'])}."
    if verdict == "unjudged":
        return f"No row of this scan is judged ({facts['why_unjudged']}): only what training saw of the row is shown."
    against = preference(facts)
    if verdict == "outlier":
        return f"The input is unlike the rest of the data, so hardly any label fits: check the row itself before its label ({against})."
    if verdict == "hard":
        return f"The label is probably right but the row is difficult, so keep it: {against}."
    if verdict == "incorrect" and p <= 0.5:
        return f"Your cut is below one half: the label is still more likely right than wrong, but worth a look: {against}."
    if verdict == "incorrect":
        return f"The label is more likely wrong than right: {against}; check it first."
    if p > 0.5:
        return f"The label is more likely wrong than right, but your cut lies higher: {against}."
    return f"The label is more likely right than wrong, nothing to do: {against}."


def preference(facts: dict[str, Any]) -> str:
    """What models that never saw the row make of its label."""
    heldout, given = facts["heldout"], label_text(facts["given"])
    if facts["task"] == "regression":
        inside = heldout["interval_low"] <= facts["given"] <= heldout["interval_high"]
        span = f"{label_text(heldout['interval_low'])} to {label_text(heldout['interval_high'])}"
        return f"models that never saw the row expect {span}, and {given} lies {'within' if inside else 'outside'}"
    if heldout is None:
        return f"models that never saw the row predict {label_text(facts['predicted'])}, and {given} is given"
    best, rest = heldout[0], heldout[1:]
    own = next((entry["p"] for entry in heldout if entry["class"] == facts["given"]), None)
    if best["class"] == facts["given"]:
        against = f" against {rest[0]['p']:.2f} of {rest[0]['class']}" if rest else ""
        return f"models that never saw the row prefer {given} too (p {best['p']:.2f}{against})"
    return f"models that never saw the row prefer {best['class']} (p {best['p']:.2f}) to {given}" + (f" (p {own:.2f})" if own is not None else "")
