"""Check that a file's columns are those of a report, before anything is computed or shown of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.errors import ReportError
from zcurate.report.card_schema import refusal
from zcurate.report.schema import ANNOTATION_COLUMNS, CURVE_COLUMNS, PICTURES_ONLY, REGRESSION_ONLY, SCAN_PREFIX, VERDICT_ORDER
from zcurate.report.select import is_among

Test = Callable[[pa.DataType], bool]


def is_number(kind: pa.DataType) -> bool:
    """Return whether a type is an integer or a float of 32 or 64 bits."""
    return bool(pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64()))


def is_label(kind: pa.DataType) -> bool:
    """Return whether a type is that of labels: text, or float64 of a regression."""
    return kind in (pa.string(), pa.float64())


def is_verdict(kind: pa.DataType) -> bool:
    """Return whether a type is that of verdicts."""
    return bool(kind == pa.dictionary(pa.int32(), pa.string()))


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is text."""
    return bool(kind == pa.string())


def is_texts(kind: pa.DataType) -> bool:
    """Return whether a type is a list of text."""
    return bool(pa.types.is_list(kind) and is_text(kind.value_type))


def is_numbers(kind: pa.DataType) -> bool:
    """Return whether a type is a list of 32-bit floats."""
    return bool(pa.types.is_list(kind) and kind.value_type == pa.float32())


REQUIRED: dict[str, Test] = {
    "row": lambda kind: bool(kind == pa.int64()),
    **dict.fromkeys(("given", "suggested", "predicted"), is_label),
    "verdict": is_verdict,
    "rank": lambda kind: bool(kind == pa.int64()),
    "reasons": is_texts,
    **dict.fromkeys(("p_suggested", "p_incorrect", "p_hard", "p_outlier", "z_score", "z_max", "z_last", "mask_frequency", "n_seen", "n_masked"), is_number),
    **dict.fromkeys(("loss_mean", "confidence_mean", "confidence_std", "margin_mean", "learned_epoch", "n_forgotten"), is_number),
    **dict.fromkeys(("p_given", "margin_heldout", "entropy_heldout"), is_number),
}
"""Columns of every report, and the types that each may have."""
OPTIONAL: dict[str, Test] = {
    **dict.fromkeys(("path", "fingerprint", "split"), is_text),
    "telling": is_texts,
    "decision": is_text,
    "decided": is_label,
    **dict.fromkeys(("scan_p_incorrect", "scan_p_hard", "scan_p_outlier", "scan_p_suggested", "scan_rank"), is_number),
    **dict.fromkeys(("scan_suggested", "scan_decided"), is_label),
    "scan_verdict": is_verdict,
    "scan_decision": is_text,
    **dict.fromkeys(("copies_other", "forgotten_epoch", *ANNOTATION_COLUMNS), is_number),
    **dict.fromkeys(CURVE_COLUMNS, is_numbers),
    "top_classes": is_texts,
    **dict.fromkeys((*REGRESSION_ONLY, *PICTURES_ONLY), is_number),
}
"""Columns of some reports."""
SCANNED = {f"{SCAN_PREFIX}{name}" for name in ("verdict", "p_incorrect", "p_hard", "p_outlier", "suggested", "p_suggested", "rank")}
"""Columns of the scan's own judgement in an updated report."""
DECIDED_WORDS = ("keep", "relabel", "drop", "unsure")
"""Values of the column `decision`."""
TOGETHER = ({"top_classes", "top_probabilities"}, {"loss_curve", "margin_curve", "z_curve"}, {"decision", "decided"}, SCANNED)
"""Optional columns that are written together."""
JUDGED = ("incorrect", "suspect", "hard", "outlier", "clean")
"""Verdicts of rows that have probabilities."""


def check_schema(schema: pa.Schema, card: dict[str, Any], path: str) -> None:
    """Refuse a file whose columns are not those of a report.

    Args:
        schema: of the file.
        card: its run card.
        path: of the report.

    Raises:
        ReportError: a missing, repeated or mistyped column; names the first.
    """
    names = schema.names
    regression = card["task"]["kind"] == "regression"
    repeated = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if repeated is not None:
        raise ReportError(refusal(path, f"two columns '{repeated}'", "each column once"))
    for name in (*REQUIRED, *(REGRESSION_ONLY if regression else ())):
        if name not in names:
            raise ReportError(refusal(path, f"no column '{name}'", "every column of a report"))
    for together in TOGETHER:
        if 0 < len(together & set(names)) < len(together):
            missing = min(together - set(names))
            raise ReportError(refusal(path, f"no column '{missing}' beside '{min(together & set(names))}'", "all of them or none"))
    for name, test in {**REQUIRED, **OPTIONAL}.items():
        if name in names and not test(schema.field(name).type):
            raise ReportError(refusal(path, f"column '{name}' is {str(schema.field(name).type)[:60]}", "the type that `zcurate scan` writes"))
    for name in ("given", "suggested", "predicted", *({"decided", "scan_suggested", "scan_decided"} & set(names))):
        if pa.types.is_floating(schema.field(name).type) != regression:
            raise ReportError(refusal(path, f"column '{name}' is {schema.field(name).type} though the task is {card['task']['kind']}", "one and the same task"))


def check_values(table: pa.Table, card: dict[str, Any], path: str) -> None:
    """Refuse values that contradict each other, among the columns that were read.

    Args:
        table: some or all columns of the report, as `check_schema` passed them.
        card: its run card.
        path: of the report.

    Raises:
        ReportError: text that is not UTF-8, rows out of order, an unknown verdict, a judged row without probabilities, or lists of other lengths.
    """
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ReportError(refusal(path, f"its columns cannot be read ({str(error).splitlines()[0][:100]})", "a whole file")) from error
    names = table.column_names
    if "row" in names and table.num_rows:
        check_rows(table.column("row"), card["input"]["rows"], path)
    if "rank" in names:
        least, most = pc.min_max(table.column("rank")).as_py().values()
        if least is not None and not 1 <= least <= most <= card["input"]["rows"]:
            raise ReportError(refusal(path, f"ranks from {least} to {most}", f"1 to {card['input']['rows']}"))
    if "verdict" in names:
        check_verdicts(table, path)
    if "decision" in names and not set(pc.unique(table.column("decision")).to_pylist()) <= {None, *DECIDED_WORDS}:
        raise ReportError(refusal(path, "an unknown decision", f"one of {', '.join(DECIDED_WORDS)}"))
    if "clues" in names:
        check_lengths(table.column("clues"), len(card["clue_names"]), "clues", path)
    for name, other in (("top_classes", "top_probabilities"), ("loss_curve", "margin_curve"), ("loss_curve", "z_curve")):
        if {name, other} <= set(names) and not pc.all(pc.equal(lengths(table.column(name)), lengths(table.column(other))), min_count=0).as_py():
            raise ReportError(refusal(path, f"columns '{name}' and '{other}' have lists of other lengths", "lists of one length in each row"))


def check_rows(row: pa.ChunkedArray, n_rows: int, path: str) -> None:
    """Refuse row numbers that are not those of successive rows of the input.

    Args:
        row: (N,) int64, N above 0.
        n_rows: rows of the input.
        path: of the report.

    Raises:
        ReportError: a null, a gap, or a row that the input does not have.
    """
    first = row[0].as_py()
    in_order = row.null_count == 0 and all(step == 1 for step in pc.unique(pc.subtract(row.slice(1), row.slice(0, len(row) - 1))).to_pylist())
    if not in_order or not 0 <= first <= n_rows - len(row):
        raise ReportError(refusal(path, "its rows are not successive rows of the input", f"row numbers from 0 to {n_rows - 1}"))


def check_verdicts(table: pa.Table, path: str) -> None:
    """Refuse unknown verdicts, and judged rows without probabilities or rank.

    Raises:
        ReportError: names what was found.
    """
    verdict = table.column("verdict")
    words = {word for chunk in verdict.chunks for word in chunk.dictionary.to_pylist()}
    if verdict.null_count or not words <= set(VERDICT_ORDER):
        found = next((repr(word) for word in words if word not in VERDICT_ORDER), "no verdict")
        raise ReportError(refusal(path, f"{found[:60]} as a verdict", f"one of {', '.join(VERDICT_ORDER)}"))
    judged = is_among(verdict, JUDGED)
    needed = [name for name in ("p_incorrect", "p_hard", "p_outlier", "rank", "given", *REGRESSION_ONLY) if name in table.column_names]
    for name in needed:
        if (judged & pc.is_null(table.column(name), nan_is_null=True).to_numpy()).any():
            raise ReportError(refusal(path, f"judged rows without {name}", "a value in each"))


def lengths(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the length of each list, (N,) int32, 0 for null."""
    return pc.fill_null(pc.list_value_length(column), 0)


def check_lengths(column: pa.ChunkedArray, expected: int, name: str, path: str) -> None:
    """Refuse lists that do not have the expected length; null is allowed.

    Raises:
        ReportError: names the column.
    """
    found = set(pc.unique(pc.list_value_length(column)).to_pylist()) - {None, expected}
    if found:
        raise ReportError(refusal(path, f"column '{name}' has lists of {found.pop()} values", f"{expected} values"))
