"""Measure how many errors a scan finds on the user's own data: plant known errors in a copy of the labels and scan the copy.

The data are scanned twice: as given, which yields the confusions for `confused` and `boundary` errors and the rows suspected already,
and with the planted errors, under another seed. The copy is in memory; nothing is written.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zcurate.config.options import TrialOptions
from zcurate.config.units import check_choice, parse_duration, parse_share
from zcurate.data.table import ResidentTable
from zcurate.errors import UsageError
from zcurate.evidence.planted import CLASS_KINDS, TARGET_KINDS, Planted
from zcurate.pipeline.opening import open_dataset
from zcurate.pipeline.scan import examine
from zcurate.runtime.progress import Timings
from zcurate.training.planting import plant_classes, plant_targets

if TYPE_CHECKING:
    from zcurate.data.dataset import Dataset
    from zcurate.pipeline.trial.metrics import ComparedScans
    from zcurate.report.report import Report
    from zcurate.report.writer import ScanResult
    from zcurate.runtime.context import RunContext


PLANTING = 1_000_003
"""Second seed of the trial's draws, so that they are independent of the training's, which have the same first seed."""


@dataclass(frozen=True)
class Trial:
    """A trial's result."""

    reports: tuple[Report, ...]
    """Of the data as given, and unless the trial ended before, of the copy with planted errors."""
    facts: dict[str, Any]
    """Everything that is printed, as plain JSON values; `judged` says whether there are metrics."""


def run_trial(data: Any, options: TrialOptions, run: RunContext) -> Trial:
    """Scan, plant, scan again, compare.

    Args:
        data: as for `zcurate.scan`.
        options: of `zcurate trial`; `output` is ignored.
        run: progress, and what the process may do.

    Raises:
        UsageError: an option or a column cannot be used.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    options = dataclasses.replace(options, output=None, time_limit=half_limit(options.time_limit))
    for word in parse_kinds(options.kinds):
        check_choice(word, CLASS_KINDS + TARGET_KINDS, "--kinds")
    data = open_dataset(data, options, run)
    kinds = kinds_for(data, options)
    run.progress.note("scan 1 of 2: the data as given")
    first = scan_copy(data, options, run)
    if not first.card["judged"]:
        return unjudged((first.report,), first.card["why_unjudged"])
    planted = plant(data, first, kinds, parse_share(options.share, "--share"), options.seed)
    if len(planted.row) < len(kinds):
        why = f"--share {options.share} comes to {len(planted.row)} planted errors, {len(kinds)} needed, one of each kind — try a larger share"
        return unjudged((first.report,), why)
    run.progress.note(f"scan 2 of 2: a copy with {len(planted.row)} planted errors")
    again = dataclasses.replace(options, seed=options.seed + 1)
    second = scan_copy(with_planted(data, planted), again, dataclasses.replace(run, stopwatch=None))
    reports = (first.report, second.report)
    if not second.card["judged"]:
        return unjudged(reports, f"with {len(planted.row)} errors planted: {second.card['why_unjudged']}")
    rows = compare(first, second, planted)
    budget, trained = None, None
    if options.prioritise:
        from zcurate.runtime.device import pick

        budget = prioritized(first, second, rows.planted)
        trained = trained_by_rules(data, planted, second, dataclasses.replace(run, device=pick(options.device)))
    found = {**count(rows, *reports), "prioritise": budget, "prioritise_trained": trained}
    return Trial(reports, {**describe(reports, ""), **found, "rows": list_planted(data, rows, planted)})


def scan_copy(data: Dataset, options: TrialOptions, run: RunContext) -> ScanResult:
    """Scan a data set in memory.

    Args:
        data: N rows.
        options: every setting.
        run: progress, and what the process may do.
    """
    run = dataclasses.replace(run, seed=options.seed, time_limit=parse_duration(options.time_limit), timings=Timings())
    return examine(ResidentTable(data), options, run)[0]


def half_limit(time_limit: str | None) -> str | None:
    """Divide the user's time limit between the two scans."""
    limit = parse_duration(time_limit)
    return None if limit is None else f"{max(limit / 2, 0.001):.6f}s"


def parse_kinds(kinds: str | None) -> tuple[str, ...]:
    """Parse `--kinds` to a tuple without repeats; empty if not given."""
    return tuple(dict.fromkeys(word.strip() for word in kinds.split(","))) if kinds is not None else ()


def kinds_for(data: Dataset, options: TrialOptions) -> tuple[str, ...]:
    """Choose the kinds to plant: those requested, else all that fit the task.

    Raises:
        UsageError: a kind that does not fit the task.
    """
    known = TARGET_KINDS if data.task.kind == "regression" else CLASS_KINDS
    for word in parse_kinds(options.kinds):
        if word not in known:
            raise UsageError(f"--kinds: '{word}' does not fit {data.task.kind} labels — expected {', '.join(known)} — leave it out")
    return parse_kinds(options.kinds) or known


def plant(data: Dataset, first: ScanResult, kinds: tuple[str, ...], part: float, seed: int) -> Planted:
    """Choose rows and a wrong label for each, with equal numbers of each kind.

    A row is skipped with the probability that its label is wrong already, because a planted error could correct it.

    Args:
        data: N rows.
        first: scan of the data as given.
        kinds: of `CLASS_KINDS` or `TARGET_KINDS`.
        part: share of the labelled rows; no more than half of the candidates are planted.
        seed: random seed.

    Returns:
        `row` is in input rows; `shown` is a class, or a target in the user's unit.
    """
    rng = np.random.default_rng([seed, PLANTING])
    p = column(first.report, "p_incorrect")[first.row]
    candidates = np.flatnonzero(rng.random(len(p)) >= np.nan_to_num(p, nan=np.inf))
    n = min(round(part * int((~np.isnan(p)).sum())), len(candidates) // 2)
    if n == 0:
        return Planted.none()
    if data.task.kind == "regression":
        planted = plant_targets(data.given.to_numpy(zero_copy_only=False)[first.row], candidates, n, rng, kinds)
    else:
        planted = plant_classes(first.judged.evidence.y, candidates, data.n_classes, n, kinds, first.judged.evidence.heldout, rng)
    # A swap or a unit error too close to the right target has become a shift, which may not be among `kinds`.
    keep = np.isin(planted.kind, kinds)
    return Planted(first.row[planted.row[keep]], planted.label[keep], planted.kind[keep])


def with_planted(data: Dataset, planted: Planted) -> Dataset:
    """Copy the data set with the planted labels; everything else is shared, and nothing is changed in place.

    Args:
        data: N rows.
        planted: input rows and their planted labels.
    """
    import pyarrow as pa

    if data.task.kind == "regression":
        target = np.array(data.given.to_numpy(zero_copy_only=False), np.float64)
        target[planted.row] = planted.label
        return dataclasses.replace(data, given=pa.array(target, mask=data.given.is_null().to_numpy(zero_copy_only=False)))
    given = np.array(data.given.to_pylist(), object)
    given[planted.row] = np.array(data.task.classes, object)[planted.label]
    return dataclasses.replace(data, given=pa.array(given, data.given.type))


def column(report: Report, name: str) -> np.ndarray:
    """Read a column of a report as (N,) float64, null as NaN."""
    return report.table.column(name).to_numpy().astype(np.float64)


def labels(report: Report, name: str) -> np.ndarray:
    """Read a column of a report as (N,) object, null as None."""
    return np.array(report.table.column(name).to_pylist(), object)


def compare(first: ScanResult, second: ScanResult, planted: Planted) -> ComparedScans:
    """Join both scans by input row."""
    from zcurate.pipeline.trial.metrics import ComparedScans
    from zcurate.pipeline.trial.prioritization import heldout_loss

    kind = np.full(len(first.report), "", "U8")
    kind[planted.row] = planted.kind
    heldout = np.full(len(kind), np.nan)
    heldout[second.row] = heldout_loss(second.judged.evidence)
    scores = {"zcurate": -column(second.report, "rank"), "held-out loss": heldout, "training loss": column(second.report, "loss_mean")}
    before, after = (column(one.report, "p_incorrect") for one in (first, second))
    verdict_before, verdict_after = (labels(one.report, "verdict").astype("U10") for one in (first, second))
    restored = labels(second.report, "suggested") == labels(first.report, "given")
    return ComparedScans(kind, before, verdict_before, after, verdict_after, restored, scores)


def describe(reports: tuple[Report, ...], why: str) -> dict[str, Any]:
    """Describe the data, the model and the run.

    Args:
        reports: of the data as given, and of the copy if it was scanned.
        why: reason that the trial has no metrics; empty if it has.
    """
    card = reports[0].card
    names = ("zcurate", "command", "input", "task", "seed", "device", "versions", "warnings")
    shown = {"label": card["columns"]["label"], "n_classes": len(card["classes"]), "model": card["model"]["name"]}
    partial = any(one.card["partial"] for one in reports)
    return {"judged": not why, "why_unjudged": why, "partial": partial, **{name: card[name] for name in names}, **shown}


def unjudged(reports: tuple[Report, ...], why: str) -> Trial:
    """Make a trial without metrics."""
    return Trial(reports, describe(reports, why))


def count(rows: ComparedScans, first: Report, second: Report) -> dict[str, Any]:
    """Compute the metrics of a trial."""
    from zcurate.pipeline.trial import metrics

    return {
        "n_labelled": int((~np.isnan(rows.after)).sum()),
        "n_planted": int(rows.planted.sum()),
        "as_given": first.counts(),
        "with_planted": second.counts(),
        "threshold": second.card["thresholds"]["p_incorrect"],
        "expected": second.card["expected"],
        "kinds": metrics.by_kind(rows),
        "at_cut": metrics.at_cut(rows),
        "cuts": metrics.by_cut(rows),
        "rankings": metrics.rankings(rows),
        "hard": metrics.hard_rows(rows),
    }


def list_planted(data: Dataset, rows: ComparedScans, planted: Planted) -> list[dict[str, Any]]:
    """List the planted errors in the input's order: given label, planted label, kind, and verdict in the copy."""
    out = []
    for at in np.argsort(planted.row):
        row, shown = int(planted.row[at]), planted.label[at]
        label = float(shown) if data.task.kind == "regression" else data.task.classes[shown]
        result = {"p_incorrect": float(rows.after[row]), "verdict": str(rows.verdict_after[row])}
        out.append({"row": row, "given": data.given[row].as_py(), "shown": label, "kind": str(planted.kind[at]), **result})
    return out


def prioritized(first: ScanResult, second: ScanResult, planted: np.ndarray) -> list[dict[str, Any]]:
    """Compute the budget shares of a loss-prioritised training with the copy's losses.

    Rows without a planted error belong to the groups by their probabilities in the first scan.

    Args:
        first: scan of the data as given.
        second: scan of the copy.
        planted: (N,) bool.
    """
    from zcurate.pipeline.trial import prioritization

    wrong, hard, outlier = (np.where(planted, 0, column(first.report, name)) for name in ("p_incorrect", "p_hard", "p_outlier"))
    groups = {"planted": planted.astype(np.float64), "suspected": wrong, "hard": hard, "outlier": outlier}
    groups["clean"] = 1 - np.sum(list(groups.values()), 0)
    membership = {name: part[second.row] for name, part in groups.items()}
    return prioritization.budget_shares(prioritization.training_loss(second.judged.evidence), prioritization.heldout_loss(second.judged.evidence), membership)


def trained_by_rules(data: Dataset, planted: Planted, second: ScanResult, run: RunContext) -> list[dict[str, Any]]:
    """Train networks on a quarter of the rows of the copy in each epoch, chosen at random and by each rule, and test them on other rows under the given labels.

    Args:
        data: as given.
        planted: errors of the copy.
        second: scan of the copy.
        run: device.

    Returns:
        For each rule accuracy (for a regression mean absolute error [standardized target]), its standard deviation over the seeds, and the share of the visits
        that went to planted errors.
    """
    from zcurate.encoding.encoder import encode
    from zcurate.encoding.targets import class_codes
    from zcurate.pipeline.trial import prioritization
    from zcurate.training.prioritized import Study, trained_by

    rows = encode(ResidentTable(with_planted(data, planted)), second.plan.spec, run)
    given = data.given.to_numpy(zero_copy_only=False)
    right = (class_codes(data) if rows.target is None else rows.target.forward(given.astype(np.float64)))[rows.row]
    is_planted = np.isin(rows.row, planted.row)
    loss = np.full(data.n_rows, np.nan)
    loss[second.row] = prioritization.heldout_loss(second.judged.evidence)
    study = Study(rows, right, is_planted, loss[rows.row], second.plan.spec, second.plan.n_epochs, run.seed)
    out = []
    run.progress.note(f"--prioritise: training on a quarter of the rows, at random and by {len(prioritization.RULES)} rules")
    for name, rule in {"at random": lambda training, heldout: np.ones(len(training)), **prioritization.RULES}.items():
        found, visited = trained_by(study, rule)
        measure = "error" if rows.regression else "accuracy"
        out.append({"rule": name, measure: float(np.mean(found)), "deviation": float(np.std(found)), "planted": visited})
    return out
