"""Recompute the judgement of a report from a person's answers, without the data and without torch.

The scan's own judgement stays inside: its columns under the prefix `scan_`, its part of the run card under `scan_judgement`; `undo` restores it. An update
starts from it, whatever updates were before, so the same decisions give the same report.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.sort import percentile_ranks
from zcurate.config.verdicts import VERDICTS
from zcurate.errors import ReportError
from zcurate.judge.teaching import CONTRADICTION, Answers, Taught, teach
from zcurate.judge.thresholds import Cut, cut_at, review_cut
from zcurate.report.decisions import Decision, FoundDecisions, Keys, find_rows
from zcurate.report.recut import open_rows, settled, with_threshold
from zcurate.report.report import Report
from zcurate.report.schema import SCHEMA_VERSION
from zcurate.report.select import floats, is_among
from zcurate.report.suggestions import floats_column, put, suggestions
from zcurate.runtime.safe_text import visible

TAUGHT_CLUES = ("training_margin", "neighbour_labels", "heldout_residual", "training_residual")
"""Clues that answers choose among, beside the z-score and p_hard (tests/bench/README.md)."""
KEPT = ("verdict", "p_incorrect", "p_hard", "p_outlier", "suggested", "p_suggested", "rank", "decision", "decided")
"""Columns that an update changes; the scan's own are kept as `scan_...`."""
KEPT_CARD = ("thresholds", "noise_rate", "expected", "classes", "calibration", "schema_version")
"""What an update changes in the run card."""
ENOUGH = 5
"""Answers from which on it is said that they contradict the scan."""


@dataclass(frozen=True)
class Updated:
    """A report after an update."""

    report: Report
    """With the new judgement."""
    found: FoundDecisions
    """The decisions and their rows."""
    taught: Taught | None
    """What the answers changed; None where no answer tells anything."""
    warnings: tuple[str, ...] = ()
    """What the person should know."""


def update(report: Report, decisions: Sequence[Decision], location: str = "update") -> Updated:
    """Recompute the judgement from people's decisions.

    Args:
        report: with all its columns.
        decisions: about its rows; `unsure` tells nothing.
        location: the file of decisions, for messages.

    Raises:
        ReportError: no row of the report is judged.
        UsageError: as for `find_rows`.
    """
    before = report if report.card.get("scan_judgement") else None
    report = report if before is None else undo(report)
    if not report.card["judged"]:
        raise ReportError(f"update: no row of the report is judged ({report.card['why_unjudged']}) — expected a judged report, which answers can correct")
    found = find_rows(decisions, Keys.of(report), location)
    forgotten = forgotten_decisions(before, found, location)
    if not len(found.row):
        return Updated(report, found, None, (*found.warnings(location), *forgotten))
    taught = taught_by(report, found)
    p = scattered(report, taught)
    changed = with_judgement(with_kept(report), found, p)
    changed = dataclasses.replace(changed, card={**changed.card, **described(report, found, taught)})
    warnings = [*found.warnings(location), *forgotten, *contradictions(report, found, taught)]
    return Updated(with_cuts(changed), found, taught, tuple(warnings))


def forgotten_decisions(before: Report | None, found: FoundDecisions, location: str) -> list[str]:
    """Say how many decisions of the update before are not among the new ones.

    Args:
        before: the report as it was updated before; None where it was not.
        found: the new decisions.
        location: their file, for the message.
    """
    if before is None:
        return []
    own = before.table.column("decision").is_valid().to_numpy()
    if "scan_decision" in before.table.column_names:
        own &= before.table.column("scan_decision").is_null().to_numpy()
    n = len(set(np.flatnonzero(own).tolist()) - set(found.row.tolist()))
    advice = "expected one file with all decisions: zcurate review appends to it"
    return [f"{location}: {n} decisions of the update before are not in it and no longer count — {advice}"] if n else []


def settle(report: Report, found: FoundDecisions) -> Report:
    """Let the decisions that a scan was given stand in its report.

    Args:
        report: as judged, with the decided labels in place of the given ones.
        found: the decisions and their rows.
    """
    card = {**report.card, "decided": {"rows": len(found.row), "lost": len(found.lost)}}
    report = dataclasses.replace(report, card=card)
    if not card["judged"]:
        return dataclasses.replace(report, table=with_decisions(report.table, found))
    p = floats(report.table.column("p_incorrect")).astype(np.float32)
    return with_cuts(with_judgement(report, found, p))


def undo(report: Report) -> Report:
    """Restore the scan's own judgement.

    Raises:
        ReportError: the report was not updated.
    """
    kept = report.card.get("scan_judgement")
    if kept is None:
        raise ReportError("update --undo: the report was never updated — expected one that `zcurate update` changed")
    table = report.table
    for name in KEPT:
        at = table.column_names.index(name) if name in table.column_names else None
        if f"scan_{name}" in table.column_names:
            table = table.set_column(table.column_names.index(name), name, table.column(f"scan_{name}")).drop_columns([f"scan_{name}"])
        elif at is not None:
            table = table.remove_column(at)
    return dataclasses.replace(report, table=table, card={**report.card, **kept, "scan_judgement": None, "answers": None})


def taught_by(report: Report, found: FoundDecisions) -> Taught | None:
    """Fit the judgement to the answers; None where all are unsure, or about rows that are not judged."""
    p = floats(report.table.column("p_incorrect"))
    judged = judged_rows(report)
    position = np.full(len(p), -1)
    position[judged] = np.arange(len(judged))
    wrong = answers_of(report, found)
    used = ~np.isnan(wrong) & (position[found.row] >= 0)
    if not used.any():
        return None
    drawn = np.array([np.nan if one.draw_probability is None else one.draw_probability for one in found.decisions])
    clues = {name: values[judged] for name, values in clue_ranks(report).items()}
    return teach(p[judged], clues, Answers(position[found.row[used]], wrong[used] == 1, drawn[used]))


def wrong_labels(report: Report, found: FoundDecisions) -> np.ndarray:
    """Return whether each decision says that the given label is wrong, (D,) 1 or 0; NaN for unsure."""
    given = report.table.column("given").take(pa.array(found.row)).to_pylist()
    answers = []
    for one, label in zip(found.decisions, given, strict=True):
        same = one.label is not None and (str(label) == one.label or (isinstance(label, float) and float(one.label) == label))
        answers.append({"keep": 0.0, "drop": 1.0, "unsure": np.nan, "relabel": 0.0 if same else 1.0}[one.decision])
    return np.array(answers, np.float64)


def answers_of(report: Report, found: FoundDecisions) -> np.ndarray:
    """Return what each decision answers: the given label is wrong, (D,) 1 or 0; NaN for unsure and drop, which say nothing of the label."""
    is_drop = np.array([one.decision == "drop" for one in found.decisions], bool)
    return np.where(is_drop, np.nan, wrong_labels(report, found))


def clue_ranks(report: Report) -> dict[str, np.ndarray]:
    """Return what answers choose among: name -> (N,) percentile rank, NaN = cannot tell."""
    table, ranks = report.table, {}
    if "clues" in table.column_names:
        width = len(report.card["clue_names"])
        lists = table.column("clues").combine_chunks()
        lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
        values = np.full((len(report), width), np.nan)
        valid = lists.is_valid().to_numpy(zero_copy_only=False)
        flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        values[valid] = flat.reshape(-1, width)
        ranks = {name: values[:, at] for at, name in enumerate(report.card["clue_names"]) if name in TAUGHT_CLUES}
    ranks["z_score"] = known_ranks(floats(table.column("z_score")))
    p_incorrect, p_hard, p_outlier = (floats(table.column(name)) for name in ("p_incorrect", "p_hard", "p_outlier"))
    return {**ranks, "hard": known_ranks(p_hard / np.maximum(1 - p_incorrect - p_outlier, 1e-3))}


def known_ranks(values: np.ndarray) -> np.ndarray:
    """Return percentile ranks in (0, 1) among the values that are known, (N,), NaN elsewhere."""
    known = ~np.isnan(values)
    out = np.full(len(values), np.nan)
    if known.any():
        out[known] = percentile_ranks(values[known])
    return out


def scattered(report: Report, taught: Taught | None) -> np.ndarray:
    """Return p_incorrect of all rows after the answers, (N,) float32, NaN where not judged; the scan's own where nothing was learned."""
    p = floats(report.table.column("p_incorrect")).astype(np.float32)
    if taught is not None:
        p[judged_rows(report)] = taught.p
    return p


def judged_rows(report: Report) -> np.ndarray:
    """Return the rows that the scan judged and that no decision had settled then, (n,) int64."""
    return np.flatnonzero(~np.isnan(floats(report.table.column("p_incorrect"))) & ~settled(report.table))


def with_kept(report: Report) -> Report:
    """Keep the scan's own judgement inside the report."""
    table = report.table
    for name in KEPT:
        if name in table.column_names:
            table = table.append_column(f"scan_{name}", table.column(name))
    return dataclasses.replace(report, table=table, card={**report.card, "scan_judgement": {name: report.card[name] for name in KEPT_CARD}})


def with_judgement(report: Report, found: FoundDecisions, p: np.ndarray) -> Report:
    """Put new probabilities, suggestions, ranks and decisions into a report; verdicts of decided rows are set, the others are not decided again yet.

    Args:
        report: with the scan's judgement.
        found: decisions and their rows.
        p: (N,) float32 new p_incorrect.
    """
    table = report.table
    before, p_hard, p_outlier = (floats(table.column(name)).astype(np.float32) for name in ("p_incorrect", "p_hard", "p_outlier"))
    wrong = wrong_labels(report, found)
    decided, wrong = found.row[~np.isnan(wrong)], wrong[~np.isnan(wrong)]
    changed = p != before
    p = np.where(changed, np.minimum(p, 1 - p_outlier), p).astype(np.float32)
    room = np.maximum(1 - before - p_outlier, 1e-6)
    hard = np.where(changed, p_hard * np.maximum(1 - p - p_outlier, 0) / room * (1 - 1e-6), p_hard).astype(np.float32)
    # A row that a scan was told to drop was trained on without a label.
    known = ~(pc.is_null(table.column("given")).to_numpy() | is_among(table.column("verdict"), ("skipped", "unjudged")))[decided]
    decided, wrong = decided[known], wrong[known]
    p[decided], hard[decided], p_outlier[decided] = wrong, 0.0, 0.0
    suggested, p_suggested = suggestions(report, before, p)
    for name, values in (("p_incorrect", p), ("p_hard", hard), ("p_outlier", p_outlier)):
        table = put(table, name, floats_column(values))
    table = with_decisions(put(put(table, "suggested", suggested), "p_suggested", p_suggested), found)
    verdict = np.array(table.column("verdict").to_pylist(), object)
    verdict[decided] = np.where(wrong == 1, "incorrect", "clean")
    codes = pa.array([VERDICTS.index(word) for word in verdict], pa.int32())
    table = put(table, "verdict", pa.DictionaryArray.from_arrays(codes, pa.array(VERDICTS)))
    return dataclasses.replace(report, table=put(table, "rank", new_ranks(table, p + p_outlier)))


def with_decisions(table: pa.Table, found: FoundDecisions) -> pa.Table:
    """Set the columns `decision` and `decided`, the label that was decided for a row; a decided label is what is suggested, for a dropped row nothing."""
    kind, n = table.schema.field("given").type, table.num_rows
    known: dict[str, list[Any]] = {name: table.column(name).to_pylist() if name in table.column_names else [None] * n for name in ("decision", "decided")}
    suggested, p_suggested = table.column("suggested"), table.column("p_suggested")
    given = table.column("given").take(pa.array(found.row)).to_pylist()
    for row, one, label in zip(found.row.tolist(), found.decisions, given, strict=True):
        known["decision"][row] = one.decision
        known["decided"][row] = decided_label(one, label, kind)
    settled = [row for row, one in zip(found.row.tolist(), found.decisions, strict=True) if one.decision in ("keep", "relabel")]
    if settled:
        mask = np.zeros(n, bool)
        mask[settled] = True
        suggested = pc.replace_with_mask(suggested, pa.array(mask), pa.array([known["decided"][row] for row in settled], kind))
        if not pa.types.is_floating(kind):
            p_suggested = pc.replace_with_mask(p_suggested, pa.array(mask), pa.array(np.ones(len(settled), np.float32)))
    dropped = np.zeros(n, bool)
    dropped[[row for row, one in zip(found.row.tolist(), found.decisions, strict=True) if one.decision == "drop"]] = True
    suggested, p_suggested = (pc.if_else(pa.array(dropped), pa.scalar(None, values.type), values) for values in (suggested, p_suggested))
    table = put(put(table, "suggested", suggested), "p_suggested", p_suggested)
    return put(put(table, "decision", pa.array(known["decision"], pa.string())), "decided", pa.array(known["decided"], kind))


def decided_label(one: Decision, given: Any, kind: pa.DataType) -> Any:
    """Return the label that a decision settles on, in the type of the report's labels; None where it settles none."""
    if one.decision == "keep":
        return given
    return None if one.label is None else float(one.label) if pa.types.is_floating(kind) else one.label


def new_ranks(table: pa.Table, score: np.ndarray) -> pa.Array:
    """Rank the rows that were ranked by p_incorrect + p_outlier, then by z_score; those that were not judged keep their order.

    Args:
        table: of the report.
        score: (N,) p_incorrect + p_outlier.
    """
    ranked = np.flatnonzero(table.column("rank").is_valid().to_numpy() | ~np.isnan(score))
    score, z = np.nan_to_num(score[ranked], nan=-1.0), np.nan_to_num(floats(table.column("z_score"))[ranked], nan=-np.inf)
    out = np.zeros(table.num_rows, np.int64)
    out[ranked[np.lexsort((ranked, -z, -score))]] = np.arange(1, len(ranked) + 1)
    return pa.array(out, mask=out == 0)


def with_cuts(report: Report) -> Report:
    """Decide the verdicts again: with the cut that the scan was asked for, and with the new review cut."""
    options = report.card["options"]
    open_p = open_rows(report, floats(report.table.column("p_incorrect")).astype(np.float32))
    report = dataclasses.replace(report, card={**report.card, "calibration": recalibrated(report.card["calibration"], open_p)})
    cut = Cut(options.get("threshold"), options.get("precision"), options.get("budget"))
    threshold = cut_at(cut, open_p, report.card["trust"])
    thresholds = {**report.card["thresholds"], "review": review_cut(open_p) if len(open_p) else threshold}
    return with_threshold(dataclasses.replace(report, card={**report.card, "thresholds": thresholds}), threshold)


def recalibrated(table: list[dict[str, Any]], p: np.ndarray) -> list[dict[str, Any]]:
    """Tabulate flagged rows and expected precision at each cut again; the planted errors are those found among as many flagged rows before.

    Args:
        table: of the scan.
        p: (n,) the new p_incorrect of rows without a decision.
    """
    flagged = [entry.get("flagged", 0) for entry in table]
    found = [entry["found"] for entry in table]
    out = []
    for entry in table:
        with np.errstate(invalid="ignore"):
            above = p[p > entry["cut"]]
        n_found = float(np.interp(len(above), flagged[::-1], found[::-1]))
        precision = float(above.mean()) if len(above) else None
        recall = n_found / entry["planted"] if entry["planted"] else None
        out.append({**entry, "found": n_found, "recall": recall, "precision": precision, "flagged": len(above)})
    return out


def described(report: Report, found: FoundDecisions, taught: Taught | None) -> dict[str, Any]:
    """Describe the answers and what they changed, for the run card."""
    wrong = answers_of(report, found)
    answers: dict[str, Any] = {"decisions": len(found.row), "used": int((~np.isnan(wrong)).sum()), "wrong": int(np.nansum(wrong)), "lost": len(found.lost)}
    if taught is None:
        return {"answers": answers, "schema_version": SCHEMA_VERSION}
    weights = {name: round(weight, 3) for name, weight in taught.weights.items()}
    answers |= {"level": round(taught.level, 4), "slope": round(taught.slope, 4), "clues": weights, "surprise": round(taught.surprise, 2)}
    p = floats(report.table.column("p_incorrect"))
    n, n_open, n_wrong = (~np.isnan(p)).sum(), len(judged_rows(report)), int((p[settled(report.table)] == 1).sum())
    rate = {name: float((share * n_open + n_wrong) / n) for name, share in zip(("estimate", "low", "high"), taught.rate, strict=True)}
    return {"answers": answers, "noise_rate": rate, "schema_version": SCHEMA_VERSION}


def contradictions(report: Report, found: FoundDecisions, taught: Taught | None) -> list[str]:
    """Say where the answers contradict the scan."""
    if taught is None:
        return [
            "update: no answer tells anything new (all are unsure or drop, about rows without a judgement, or decided in the scan) — the probabilities stay"
        ]
    wrong = answers_of(report, found)
    n = int((~np.isnan(wrong)).sum())
    if n < ENOUGH or abs(taught.surprise) < CONTRADICTION:
        return []
    p = floats(report.table.column("p_incorrect"))[found.row][~np.isnan(wrong)]
    more = "fewer" if taught.surprise < 0 else "more"
    return [
        f"the answers contradict the scan: {int(np.nansum(wrong))} of {n} rows are wrong where {np.nansum(p):.1f} were expected, {more} than chance explains"
        " — the probabilities follow the answers as far as so few can move them; answer more rows (zcurate review)"
    ]


def describe_update(updated: Updated) -> list[str]:
    """Say in words what an update changed."""
    card = updated.report.card
    answers, rate = card.get("answers"), card["noise_rate"]
    if answers is None:
        return ["no decisions: the judgement is the scan's own"]
    n = card["input"]["rows"]
    lines = [f"{counted(answers['decisions'], 'decision')}: {answers['wrong']} of {counted(answers['used'], 'label')} wrong"]
    if updated.taught is not None:
        before = card["scan_judgement"]["noise_rate"]["estimate"] or 0.0
        known = "" if rate["low"] is None else f", {rate['low'] * n:.0f} to {rate['high'] * n:.0f}"
        lines.append(f"wrong labels: about {rate['estimate'] * n:.0f}{known} (the scan said {before * n:.0f})")
    counts = updated.report.counts()
    lines.append(visible(", ".join(f"{word} {number}" for word, number in counts.items())))
    return lines


def counted(n: int, word: str) -> str:
    """Write a number of things."""
    return f"{n} {word}{'' if n == 1 else 's'}"
