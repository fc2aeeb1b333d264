"""The run card: input, settings and reliability of a scan, as plain JSON values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.arrays.sort import argsort
from zcurate.config.options import ScanOptions
from zcurate.config.verdicts import VERDICTS
from zcurate.data.dataset import Dataset, SkippedRow
from zcurate.evidence.evidence import Evidence
from zcurate.evidence.heldout import best_other, take_rows
from zcurate.judge.blocks import Judged
from zcurate.judge.judge import Verdicts
from zcurate.judge.thresholds import class_cutoffs, expected_precision
from zcurate.report.dynamics_columns import bands
from zcurate.runtime.context import RunContext
from zcurate.runtime.safe_text import redact_values
from zcurate.runtime.store import ArrayStore

if TYPE_CHECKING:
    from zcurate.config.model_config import Plan

MAX_PAIRS, MAX_SKIPPED = 20, 100
"""Pairs of classes and skipped rows listed in the card."""


def build_run_card(data: Dataset, options: ScanOptions, plan: Plan, judged: Judged, run: RunContext, cut_short: bool) -> dict[str, Any]:
    """Describe everything needed to trust or repeat the scan, as plain JSON values.

    Args:
        data: the input's rows, or of a streamed input a sample of them.
        options: every setting.
        plan: what was trained.
        judged: verdicts, and the evidence of the first block.
        run: seed, device, command.
        cut_short: the time limit cut the training short.
    """
    import platform

    import numpy
    import pyarrow
    import torch

    from zcurate import __version__
    from zcurate.report.locations import recorded_path
    from zcurate.report.schema import SCHEMA_VERSION
    from zcurate.runtime.device import describe

    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__, "pyarrow": pyarrow.__version__}
    return {
        "schema_version": SCHEMA_VERSION,
        "zcurate": __version__,
        "command": redact_values(run.command),
        "options": redact_values(dataclasses.asdict(options)),
        "seed": options.seed,
        "device": describe(run.torch_device),
        "versions": versions,
        "input": {**dataclasses.asdict(data.origin), "path": recorded_path(data.origin.path), "rows": data.n_rows, "root": redact_values(data.root)},
        **describe_data(data),
        "model": {**plan.spec.as_dict(), "n_epochs": [len(one.error) for one in judged.evidence.rounds], "why": plan.why},
        **describe_verdicts(data, judged.evidence, judged.first),
        "partial": cut_short,
        "warnings": redact_values(data.warnings),
    }


def count_all_rows(card: dict[str, Any], judged: Judged, y: np.ndarray, store: ArrayStore) -> dict[str, Any]:
    """Replace counts of the first block by counts of all rows; pairs of classes are scaled up.

    Args:
        card: of the first block.
        judged: verdicts of all rows.
        y: (N,) given labels as encoded.
        store: of the rows.
    """
    n_classes = len(card["classes"])
    n_rows, called = np.zeros(n_classes, np.int64), {word: np.zeros(n_classes, np.int64) for word in ("incorrect", "hard")}
    for begin, end in chunk_ranges(len(y), store.sizes.judge_rows):
        label, code = y[begin:end], judged.verdicts.code[begin:end]
        if card["classes"]:
            n_rows += np.bincount(label[label >= 0], minlength=n_classes)
            for word, n in called.items():
                n += np.bincount(label[(label >= 0) & (code == VERDICTS.index(word))], minlength=n_classes)
        store.release()
    classes = [{**entry, "rows": int(n_rows[at]), **{word: int(n[at]) for word, n in called.items()}} for at, entry in enumerate(card["classes"])]
    scale = len(y) / len(judged.evidence.y)
    pairs = []
    for entry in card["pairs"]:
        expected, half = entry["expected"] * scale, (entry["high"] - entry["expected"]) * sqrt(scale)
        pairs.append({**entry, "rows": round(entry["rows"] * scale), "expected": expected, "low": max(0.0, expected - half), "high": expected + half})
    verdicts = judged.verdicts
    if verdicts.why:
        return {**card, "classes": classes, "pairs": pairs, "in_pieces": True}
    expected_recall = {"recall": verdicts.recall, "recall_low": verdicts.recall_interval[0], "recall_high": verdicts.recall_interval[1]}
    rate = dict(zip(("estimate", "low", "high"), verdicts.noise_rate, strict=True))
    return {**card, "classes": classes, "pairs": pairs, "noise_rate": rate, "expected": {**card["expected"], **expected_recall}, "in_pieces": True}


def finite(value: float) -> float | None:
    """Replace NaN and infinity by None, as JSON has neither."""
    return float(value) if isfinite(value) else None


def describe_data(data: Dataset) -> dict[str, Any]:
    """Describe task, columns, skipped rows and files that were passed over."""
    roles = data.roles
    shape = None if data.pictures is None else list(data.pictures.shape[1:])
    return {
        "task": {"kind": data.task.kind, "why": data.task.why},
        "columns": {
            "label": roles.label,
            "label_type": str(data.table.schema.field(roles.label).type) if roles.label in data.table.column_names else None,
            "id": roles.id,
            "group": roles.group,
            "features": [dataclasses.asdict(column) for column in roles.features],
            "left_out": [dataclasses.asdict(column) for column in roles.left_out],
            "pictures": shape,
            "spellings": data.task.variants,
        },
        "n_skipped": len(data.skipped),
        "skipped": [describe_skipped(skip) for skip in data.skipped[:MAX_SKIPPED]],
        "passed_over": data.passed_over,
    }


def describe_skipped(skip: SkippedRow) -> dict[str, Any]:
    """Describe a row that could not be read; only that of a picture has a path."""
    entry = dataclasses.asdict(skip)
    return {name: value for name, value in entry.items() if name != "path" or value is not None}


def describe_verdicts(data: Dataset, evidence: Evidence, verdicts: Verdicts) -> dict[str, Any]:
    """Describe skill, noise rate, classes, pairs, thresholds and calibration."""
    rate, low, high = verdicts.noise_rate
    classes = class_table(data, evidence, verdicts)
    table = [{name: finite(value) for name, value in entry.items()} for entry in verdicts.calibration]
    cut = finite(verdicts.threshold)
    expected = expected_at(verdicts)
    skill = {name: finite(value) if isinstance(value, float) else value for name, value in dataclasses.asdict(verdicts.skill).items()}
    return {
        "judged": not verdicts.why,
        "why_unjudged": verdicts.why,
        "skill": {**skill, "enough": verdicts.skill.enough},
        "noise_rate": {"estimate": finite(rate), "low": finite(low), "high": finite(high)},
        "classes": classes,
        "pairs": pair_table(data, evidence, verdicts),
        "thresholds": {"p_incorrect": cut, "review": finite(verdicts.review), "class_cutoffs": cutoff_table(data, evidence)},
        "expected": expected,
        "n_copies_disagree": int((evidence.columns.get("copies_other", np.zeros(0)) > 0).sum()),
        "clues": {name: round(verdicts.weights.get(name, 0.0), 4) for name in verdicts.percentiles},
        "trust": round(verdicts.reliability, 4),
        "clue_names": list(verdicts.percentiles),
        "bands": bands(evidence.rounds, not data.task.classes),
        "calibration": table,
    }


def expected_at(verdicts: Verdicts) -> dict[str, float | None]:
    """Expected precision and recall of the verdict incorrect, and the share of synthetic hard examples that get it."""
    flagged = verdicts.has_verdict("incorrect")
    precision = expected_precision(verdicts.p_incorrect[flagged], verdicts.reliability)
    low, high = verdicts.recall_interval
    n_hard, n_flagged = verdicts.hard_examples
    recall = {"recall": finite(verdicts.recall), "recall_low": finite(low), "recall_high": finite(high)}
    return {**precision, **recall, "hard_cases": n_hard, "hard_called": n_flagged / n_hard if n_hard else None}


def class_table(data: Dataset, evidence: Evidence, verdicts: Verdicts) -> list[dict[str, Any]]:
    """Describe each class: rows, expected share of wrong labels with a 95 % interval, rows called incorrect and hard, mean mask frequency."""
    if not data.task.classes:
        return []
    table = []
    with np.errstate(invalid="ignore", divide="ignore"):
        masked = evidence.columns["n_masked"] / evidence.columns["n_seen"]
    incorrect, hard = verdicts.has_verdict("incorrect"), verdicts.has_verdict("hard")
    rows_of = np.split(argsort(evidence.y), np.cumsum(np.bincount(evidence.y + 1, minlength=len(data.task.classes) + 1)))[1:-1]
    for name, rows in zip(data.task.classes, rows_of, strict=True):
        p = verdicts.p_incorrect[rows]
        p = p[~np.isnan(p)]
        rate = float(p.mean()) if len(p) else float("nan")
        half = 1.96 * sqrt(float((p * (1 - p)).sum()) / len(p) ** 2 + rate * (1 - rate) / len(p)) if len(p) else float("nan")
        table.append(
            {
                "name": name,
                "rows": len(rows),
                "noise_rate": finite(rate),
                "low": finite(max(0.0, rate - half)),
                "high": finite(min(1.0, rate + half)),
                "incorrect": int(incorrect[rows].sum()),
                "hard": int(hard[rows].sum()),
                "mask_frequency": finite(float(np.nanmean(masked[rows]))) if len(rows) and np.isfinite(masked[rows]).any() else None,
            }
        )
    return table


def pair_table(data: Dataset, evidence: Evidence, verdicts: Verdicts) -> list[dict[str, Any]]:
    """List the (given, other) pairs of classes with the most wrong rows: rows called incorrect, expected wrong rows with a 95 % interval.

    A row's other class is the one suggested, else the most probable other class of the held-out prediction.
    """
    judged = (evidence.y >= 0) & ~np.isnan(verdicts.p_incorrect) if data.task.classes else np.zeros(0, bool)
    if not judged.any():
        return []
    names, given = data.task.classes, evidence.y[judged]
    suggested = verdicts.suggested[judged]
    other = np.where((suggested >= 0) & (suggested != given), suggested, best_other(take_rows(evidence.heldout, judged), given))
    p = verdicts.p_incorrect[judged].astype(np.float64)
    pairs, pair_of_row = np.unique(given * len(names) + other, return_inverse=True)
    expected, spread = np.bincount(pair_of_row, p), np.bincount(pair_of_row, p * (1 - p))
    called = np.bincount(pair_of_row, verdicts.has_verdict("incorrect")[judged])
    table = []
    for k in np.lexsort((-expected, -called))[:MAX_PAIRS]:
        # The pair's expected count has at least the variance of a Poisson count.
        half = 1.96 * sqrt(spread[k] + expected[k])
        entry = {"given": names[pairs[k] // len(names)], "suggested": names[pairs[k] % len(names)], "rows": int(called[k])}
        table.append({**entry, "expected": finite(float(expected[k])), "low": max(0.0, expected[k] - half), "high": expected[k] + half})
    return [entry for entry in table if entry["rows"] or entry["expected"] >= 0.5]


def cutoff_table(data: Dataset, evidence: Evidence) -> list[dict[str, Any]]:
    """The probability at which each class's two output distributions cross; empty for regression."""
    if not data.task.classes:
        return []
    return [{"name": name, "p": finite(p)} for name, p in zip(data.task.classes, class_cutoffs(evidence), strict=True)]


def pool_cards(cards: list[dict[str, Any]], n_rows: list[int]) -> dict[str, Any]:
    """Merge the run cards of processes that judged different rows: counts are summed, rates averaged by rows, the rest is that of rank 0.

    Args:
        cards: in order of rank.
        n_rows: rows that each process judged.
    """
    first = cards[0]
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in (entry for card in cards for entry in card["pairs"]):
        pairs.setdefault((entry["given"], entry["suggested"]), []).append(entry)
    classes = zip(*(card["classes"] for card in cards), strict=True)
    table = zip(*(card["calibration"] for card in cards), strict=True)
    return {
        **first,
        "classes": [sum_entries(entries, ("rows", "incorrect", "hard"), [entry["rows"] for entry in entries]) for entries in classes],
        "pairs": sorted(map(sum_pair, pairs.values()), key=lambda entry: (-entry["rows"], -entry["expected"]))[:MAX_PAIRS],
        "noise_rate": sum_entries([card["noise_rate"] for card in cards], (), n_rows),
        "expected": sum_entries([card["expected"] for card in cards], ("hard_cases",), n_rows),
        "calibration": [sum_entries(entries, ("planted", "flagged"), n_rows) for entries in table],
        "n_copies_disagree": sum(card["n_copies_disagree"] for card in cards),
        "partial": any(card["partial"] for card in cards),
    }


def sum_entries(entries: Sequence[dict[str, Any]], counts: tuple[str, ...], weight: Sequence[float]) -> dict[str, Any]:
    """Merge entries of one kind: counts are summed, other numbers averaged, the rest is that of the first.

    Args:
        entries: with the same names.
        counts: which names are counts.
        weight: of each entry in an average.
    """
    out = dict(entries[0])
    for name in out:
        known = [(entry[name], share) for entry, share in zip(entries, weight, strict=True) if isinstance(entry[name], (int, float)) and share]
        if name in counts:
            out[name] = sum(value for value, _ in known)
        elif known:
            out[name] = sum(value * share for value, share in known) / sum(share for _, share in known)
    return out


def sum_pair(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge one pair of classes over processes; the half-widths of its intervals add in quadrature."""
    expected, half = sum(entry["expected"] for entry in entries), sqrt(sum((entry["high"] - entry["expected"]) ** 2 for entry in entries))
    rows = sum(entry["rows"] for entry in entries)
    return {**entries[0], "rows": rows, "expected": expected, "low": max(0.0, expected - half), "high": expected + half}
