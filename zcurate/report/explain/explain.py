"""Collect the facts about single rows that `zcurate explain` shows, as plain JSON values. No torch at import time, no rich.

The facts come from the report and, if the input is unchanged since the scan, from the input read again.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.dataset import Dataset
from zcurate.data.file_names import existing, printable
from zcurate.data.picture_findings import FINDINGS
from zcurate.encoding import targets
from zcurate.encoding.kept_features import features_beside
from zcurate.errors import ReportError, UsageError, ZcurateError, did_you_mean
from zcurate.judge.reasons import REASONS
from zcurate.plugins import SIGNALS
from zcurate.report import attribution, dynamics_columns, listing, locations
from zcurate.report.explain.similar_rows import SimilarRows, similar_rows, unit_features
from zcurate.report.explain.typical_rows import typical_rows
from zcurate.report.formats.cells import cell_text
from zcurate.report.formats.json import json_value
from zcurate.report.report import Report
from zcurate.report.schema import CURVE_COLUMNS, REGRESSION_ONLY

MAX_ROWS_PER_ID = 20
"""Rows with the same id that are explained at once, at most."""
MAX_COMPARED = 50_000
"""Ids that are compared with an unknown one to suggest the most similar."""
COPIED_COLUMNS = ("given", "suggested", "p_suggested", "verdict", "p_incorrect", "p_hard", "p_outlier", "rank", "z_score", "mask_frequency", "predicted")
"""Columns that are copied unchanged."""


def find_rows(report: Report, words: list[str], by_row: bool) -> list[int]:
    """Find the rows that the user named, in that order, each once.

    A word is first compared with the values of `--id`, then with the paths; otherwise it is a row number, unless all ids are numbers
    themselves.

    Args:
        report: a scan's result.
        words: as typed.
        by_row: every word is a row number.

    Raises:
        UsageError: no such row; suggests the most similar id.
    """
    found: list[int] = []
    for word in words:
        found += [row for row in rows_of_word(report, word, by_row) if row not in found]
    return found


def rows_of_word(report: Report, word: str, by_row: bool) -> list[int]:
    """Find the rows that one word names.

    Raises:
        UsageError: none, or more than `MAX_ROWS_PER_ID`.
    """
    table = report.table
    number = int(word) if word.isascii() and word.isdigit() else None
    keys = [] if by_row else row_keys(table)
    rows = [row for row, key in enumerate(keys) if key == word] or ([] if by_row else rows_of_path(report, word))
    if len(rows) > MAX_ROWS_PER_ID:
        raise UsageError(f"{word}: {len(rows)} rows have this id — expected at most {MAX_ROWS_PER_ID} — name them by number: --by-row {rows[0]}")
    ids_are_numbers = "id" in table.column_names and bool(keys) and all(key.isdigit() for key in keys)
    if not rows and number is not None and number < table.num_rows and not ids_are_numbers:
        return [number]
    if not rows:
        raise UsageError(unknown_row_message(report, word, keys, ids_are_numbers))
    return rows


def row_keys(table: pa.Table) -> list[str]:
    """Format each row's id, else its path, as `report --format ids` does; empty if there are neither."""
    name = next((name for name in ("id", "path") if name in table.column_names), None)
    if name is None:
        return []
    kind = table.schema.field(name).type
    return [cell_text(value, kind) for value in table.column(name).to_pylist()]


def rows_of_path(report: Report, word: str) -> list[int]:
    """Find the rows whose picture is the file `word`, relative to the current folder or as written in the input."""
    if "path" not in report.table.column_names:
        return []
    root, paths = locations.root_of(report.card), report.table.column("path").to_pylist()
    wanted = os.path.abspath(word)
    return [
        row
        for row, path in enumerate(paths)
        if path is not None and (path == printable(word) or (root is not None and os.path.abspath(existing(path, root)) == wanted))
    ]


def unknown_row_message(report: Report, word: str, keys: list[str], ids_are_numbers: bool) -> str:
    """Write the error message for a row that does not exist."""
    last = len(report) - 1
    if not keys:
        return f"{word}: no such row — expected a row number, 0 to {last} — `zcurate report` lists rows with their numbers"
    column = f"an id of column '{report.card['columns']['id']}'" if "id" in report.table.column_names else "a picture's path"
    hint = did_you_mean(word, [key for key in keys[:MAX_COMPARED] if key])
    also = f" — row numbers, 0 to {last}, need --by-row" if ids_are_numbers else f" or a row number, 0 to {last}"
    return f"{word}: no such row — expected {column}{also}{hint or ' — `zcurate report` lists them'}"


def explain_rows(report: Report, path: str, rows: list[int], data_path: str | None = None) -> list[dict[str, Any]]:
    """Collect the facts about each row.

    Args:
        report: a scan's result.
        path: of the report's file.
        rows: positions in the input.
        data_path: `--data`: where the input lies; None for where the run card says.

    Returns:
        A dict per row; parts that the report lacks are None, `missing` names its missing columns.
    """
    features = None
    try:
        data = listing.reread_input(report, "nearest rows", data_path)
        if not data.roles.features and data.pictures is None:
            raise ReportError(f"{data.origin.path} has no columns by which rows could be compared")
        kept = features_beside(path, data)
        features = None if kept is None else unit_features(kept)
        similar, problem = similar_rows(data, rows, features), ""
    except ZcurateError as error:
        data, similar, problem = None, None, str(error)
    typical = {} if features is None else typical_rows(report, features, rows)
    return [{**explain_row(report, path, row, data, similar, problem), "typical": typical.get(row)} for row in rows]


def explain_row(report: Report, path: str, row: int, data: Dataset | None, similar: SimilarRows | None, problem: str) -> dict[str, Any]:
    """Collect the facts about one row.

    Args:
        report: a scan's result.
        path: of the report's file.
        row: position in the input.
        data: the input read again; None if it could not be.
        similar: the most similar rows; None without data.
        problem: why the input could not be read again.
    """
    table, card = report.table, report.card
    values = {name: json_value(value, table.schema.field(name).type) for name, value in table.slice(row, 1).to_pylist()[0].items()}
    regression = card["task"]["kind"] == "regression"
    wanted = [name for name in CURVE_COLUMNS if not (regression and name.startswith("top_"))]
    telling = values.get("telling") or ([] if data is None else attribute_row(data, row, values))
    # The card lists the first ones only; the report has the reasons of all skipped pictures.
    skipped = [entry["reason"] for entry in card["skipped"] if entry["row"] == row]
    skipped += values.get("reasons") or () if values.get("verdict") == "skipped" else ()
    facts: dict[str, Any] = {
        "report": path,
        "row": row,
        **{name: values[name] for name in ("id", "path") if name in values},
        **{name: values.get(name) for name in COPIED_COLUMNS},
        "ranked": table.num_rows - table.column("rank").null_count,
        "task": card["task"]["kind"],
        "label": card["columns"]["label"],
        "judged": card["judged"],
        "why_unjudged": card["why_unjudged"],
        "skipped": skipped[0] if skipped else None,
        "cut": threshold_facts(card, values.get("p_incorrect")),
        "heldout": {name: values.get(name) for name in REGRESSION_ONLY} if regression else heldout_classes(values),
        "reasons": [{"code": code, "words": REASONS.get(code) or FINDINGS.get(code, code)} for code in values.get("reasons") or ()],
        "curves": curve_facts(report, row, values, regression),
        "clues": clue_facts(card, values.get("clues")),
        "telling": telling,
        "nearest": None if data is None or similar is None else neighbor_facts(report, data, row, similar, telling),
        "nearest_missing": problem or None,
        "missing": [name for name in wanted if name not in table.column_names],
    }
    return {**facts, "meaning": meaning(facts)}


def threshold_facts(card: dict[str, Any], p: float | None) -> dict[str, Any] | None:
    """Compare p_incorrect with the threshold and the calibration table.

    Args:
        card: the run card.
        p: the row's p_incorrect.

    Returns:
        The threshold, the rates expected at it, and at `at_row` the calibration entry of the highest cut below p; None where nothing was judged.
    """
    threshold = card["thresholds"]["p_incorrect"]
    if p is None or threshold is None:
        return None
    below = [entry for entry in card["calibration"] if p > entry["cut"]]
    planted = int(card["calibration"][0]["planted"]) if card["calibration"] else 0
    return {"threshold": threshold, "above": p > threshold, "planted": planted, **card["expected"], "at_row": below[-1] if below else None}


def heldout_classes(values: dict[str, Any]) -> list[dict[str, Any]] | None:
    """List the most probable held-out classes, and the given one if it is not among them; None where they are unknown."""
    if not values.get("top_classes"):
        return None
    found = [{"class": name, "p": p} for name, p in zip(values["top_classes"], values["top_probabilities"], strict=True)]
    if values["given"] is not None and values["given"] not in values["top_classes"] and values.get("p_given") is not None:
        found.append({"class": values["given"], "p": values["p_given"]})
    return found


def curve_facts(report: Report, row: int, values: dict[str, Any], regression: bool) -> dict[str, Any] | None:
    """Collect the row's curves and the bands of its class (regression: of all rows) and of the planted errors.

    Args:
        report: a scan's result.
        row: position in the input.
        values: of the row's columns.
        regression: there are no classes.

    Returns:
        None where the row has no curves.
    """
    if values.get("loss_curve") is None:
        return None
    table = report.table
    same_class = table if regression else table.filter(pc.equal(table.column("given"), values["given"]))
    planted = report.card.get("bands") or {}
    out: dict[str, Any] = {
        "rows": same_class.num_rows - same_class.column("loss_curve").null_count,
        "planted": planted.get("planted", 0),
        "later_round": not report.card["partial"] and len(values["loss_curve"]) < max(report.card["model"]["n_epochs"][:1], default=0),
    }
    for name in dynamics_columns.CURVES:
        own = values[f"{name}_curve"]
        out[name] = {"row": own, "class": dynamics_columns.band(to_matrix(same_class.column(f"{name}_curve")).T), "planted": planted.get(name)}
    return out


def to_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """Convert a list column to (N, L) float64, NaN where a list is shorter, null or holds null.

    Args:
        column: (N) list<float32>.
    """
    array = column.combine_chunks()
    length = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    out = np.full((len(array), int(length.max(initial=0))), np.nan)
    flat = array.flatten().to_numpy(zero_copy_only=False)
    out[np.arange(out.shape[1])[None] < length[:, None]] = flat
    return out


def clue_facts(card: dict[str, Any], percentiles: list[float | None] | None) -> list[dict[str, Any]] | None:
    """List each clue's percentile rank, weight and meaning, by weight times rank; None where nothing was judged."""
    names, weights = card.get("clue_names"), card["clues"]
    if percentiles is None or not names:
        return None
    found = []
    for name, rank in zip(names, percentiles, strict=True):
        code = SIGNALS[name].reason if name in SIGNALS else None
        weight = weights.get(name, 0.0)
        words = REASONS[code] if code else name.replace("_", " ")
        found.append({"clue": name, "place": rank, "weight": weight, "counts": weight * rank if rank is not None else 0.0, "words": words})
    return sorted(found, key=lambda entry: -entry["counts"])


def attribute_row(data: Dataset, row: int, values: dict[str, Any]) -> list[str]:
    """List `column=value` of the columns that speak most against the label, for a row for which the report has none."""
    if values["verdict"] == "skipped":
        return []
    other = np.full(data.n_rows, -1)
    if data.task.classes:
        rival = next((name for name in values.get("top_classes") or () if name != values["given"]), values.get("predicted"))
        other[row] = data.task.classes.index(rival) if rival in data.task.classes else -1
    return attribution.attribute(data, np.array([row]), targets.class_codes(data), other).to_pylist()[0]


def neighbor_facts(report: Report, data: Dataset, row: int, similar: SimilarRows, telling: list[str]) -> dict[str, Any] | None:
    """Collect labels, verdicts, distances and attributed values of a row and of the rows most similar to it.

    Args:
        report: a scan's result.
        data: the input read again.
        row: position in the input.
        similar: the most similar rows.
        telling: `column=value` of the row's attributed columns.

    Returns:
        None if the row has no similar rows.
    """
    if row not in similar.of:
        return None
    rows = [row, *(near for near, _ in similar.of[row])]
    columns = [
        max(matching, key=lambda column: len(column.name))
        for word in telling
        if (matching := [column for column in data.roles.features if word.startswith(f"{column.name}=")])
    ]
    texts = [attribution.format_values(data, column, pa.array(rows)).to_pylist() for column in columns]
    names = [name for name in ("id", "path", "given", "verdict") if name in report.table.column_names]
    table = report.table.select(names).take(pa.array(rows))
    entries = []
    for at, near in enumerate(rows):
        entry = {name: json_value(table.column(name)[at].as_py(), table.schema.field(name).type) for name in names}
        distance = similar.of[row][at - 1][1] if at else 0.0
        entries.append({"row": near, **entry, "distance": round(distance, 4), "values": {column.name: texts[k][at] for k, column in enumerate(columns)}})
    return {"measure": similar.measure, "itself": entries[0], "rows": entries[1:]}


def format_label(value: Any) -> str:
    """Format a label for people."""
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def meaning(facts: dict[str, Any]) -> str:
    """Sum up the facts for the user in one sentence."""
    verdict, p = facts["verdict"], facts["p_incorrect"]
    if verdict == "skipped":
        return f"The row could not be read ({facts['skipped'] or 'see `zcurate info`'}), so nothing is known about it."
    if verdict == "unlabelled":
        return f"The row has no label; models that never saw it predict {format_label(facts['predicted'])}."
    if verdict == "unjudged":
        return f"No row of this scan is judged ({facts['why_unjudged']}): only the training of the row is shown."
    against = heldout_preference(facts)
    if verdict == "outlier":
        return f"The input is unlike the rest of the data, so hardly any label fits: check the row itself before its label ({against})."
    if verdict == "hard":
        return f"The label is probably right but the row is difficult, so keep it: {against}."
    if verdict == "suspect":
        likely = "The label is more likely wrong than right, but your threshold is higher" if p > 0.5 else "The label may well be wrong, so it is worth a look"
        return f"{likely}: {against}."
    if verdict == "incorrect" and p <= 0.5:
        return f"Your threshold is below one half: the label is still more likely right than wrong, but worth a check: {against}."
    if verdict == "incorrect":
        return f"The label is more likely wrong than right: {against}; check it first."
    if p > 0.5:
        return f"The label is more likely wrong than right, but your threshold is higher: {against}."
    return f"The label is more likely right than wrong, nothing to do: {against}."


def heldout_preference(facts: dict[str, Any]) -> str:
    """Compare the held-out prediction with the given label, in words."""
    heldout, given = facts["heldout"], format_label(facts["given"])
    if facts["task"] == "regression":
        inside = heldout["interval_low"] <= facts["given"] <= heldout["interval_high"]
        interval = f"{format_label(heldout['interval_low'])} to {format_label(heldout['interval_high'])}"
        return f"models that never saw the row expect {interval}, and {given} lies {'within' if inside else 'outside'}"
    if heldout is None:
        return f"models that never saw the row predict {format_label(facts['predicted'])}, and {given} is given"
    best, rest = heldout[0], heldout[1:]
    own = next((entry["p"] for entry in heldout if entry["class"] == facts["given"]), None)
    if best["class"] == facts["given"]:
        against = f" against {rest[0]['p']:.2f} of {rest[0]['class']}" if rest else ""
        return f"models that never saw the row prefer {given} too (p {best['p']:.2f}{against})"
    return f"models that never saw the row prefer {best['class']} (p {best['p']:.2f}) to {given}" + (f" (p {own:.2f})" if own is not None else "")
