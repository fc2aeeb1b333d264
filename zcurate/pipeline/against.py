"""`scan NEW --against REPORT`: judge new rows by the model that an earlier scan kept, without its data, and tell how they differ from those.

Every member predicts the new rows, which none has seen. They are judged together with the held-out predictions of the earlier rows, which show how much of the
disagreement is noise, and only their verdicts are reported.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import pyarrow.compute as pc

from zcurate import plugins
from zcurate.arrays.chunk import chunk_ranges
from zcurate.config.array_source import is_backbone
from zcurate.config.model_config import Plan
from zcurate.config.options import ScanOptions
from zcurate.data.dataset import Dataset
from zcurate.data.earlier import MODEL_ENDING
from zcurate.data.table import ResidentTable, StreamedTable
from zcurate.encoding.categorical import as_text
from zcurate.encoding.encoder import Encoder
from zcurate.errors import UsageError, listed
from zcurate.evidence.evidence import Evidence
from zcurate.evidence.heldout import Heldout, TopKProbabilities, mean_heldout, most_probable, take_rows, top_k_of
from zcurate.evidence.untrained import untrained_round
from zcurate.judge.blocks import Judged
from zcurate.judge.intervals import noise_interval
from zcurate.judge.thresholds import Cut, cut_at
from zcurate.judge.verdict_rule import decide
from zcurate.pipeline.gathered import Gathered
from zcurate.pipeline.resume import check_scan
from zcurate.plugins import HELDOUT_SIGNALS
from zcurate.runtime.context import RunContext

FAR_SHARE = 0.05
"""Share of the earlier rows beyond the distance from which a new row is called far."""
MAX_KNOWN = 0.01
"""Share of the rows that may be among the earlier ones, or have values of their own, without a warning; by taste."""
BEYOND_UNIT = 0.2
"""Share of a column's earlier range by which a row that is outside counts as far as one twentieth of the earlier rows; by taste."""
MIN_DRIFT, MIN_SIGMAS = 0.1, 4.0
"""Change of a share, and its size in standard errors, from which a warning tells of it; by taste."""
PER_ROW = ("code", "p_incorrect", "p_hard", "p_outlier", "suggested", "p_suggested", "reasons")
"""Fields of `Verdicts` with a value for each row."""


@dataclass(frozen=True)
class NewRows:
    """New rows beside those of an earlier scan."""

    found: Gathered
    """Evidence about the M new rows."""
    both: Evidence
    """About the earlier rows and then the new ones."""
    outlying: dict[str, np.ndarray]
    """Columns about how far both are from the classes and from the bulk of the earlier rows."""
    plan: Plan
    """Of the earlier scan."""
    drift: dict[str, Any]
    """How the new rows differ, for the run card."""

    def of_new(self, judged: Judged, cut: Cut) -> Judged:
        """Keep the verdicts of the new rows.

        Args:
            judged: of both, without a cut.
            cut: where `incorrect` begins, among the new rows.
        """
        n = len(self.both.y) - len(self.found.evidence.y)
        verdicts = judged.verdicts
        p = verdicts.p_incorrect[n:]
        known = p[~np.isnan(p)].astype(np.float64)
        changed: dict[str, Any] = {name: getattr(verdicts, name)[n:] for name in PER_ROW}
        changed["calibration"] = []
        changed["percentiles"] = {name: one[n:] for name, one in verdicts.percentiles.items()}
        # Bounds of the earlier rows hold for their share of wrong labels; those of the new ones are wider or narrower in proportion.
        rate, low, high = verdicts.noise_rate
        scale = float(known.mean()) / rate if len(known) and rate > 0 else 1.0
        changed["noise_rate"] = noise_interval(known, None, low * scale, high * scale) if len(known) else (float("nan"),) * 3
        verdicts = dataclasses.replace(verdicts, **changed)
        if not verdicts.why and len(known):
            threshold = cut_at(cut, p, verdicts.reliability)
            code = decide(p, verdicts.p_hard, verdicts.p_outlier, (threshold, verdicts.review), self.found.evidence.y >= 0)
            verdicts = dataclasses.replace(verdicts, threshold=threshold, code=code)
        evidence = dataclasses.replace(self.found.evidence, heldout=take_rows(judged.evidence.heldout, slice(n, None)))
        return dataclasses.replace(judged, verdicts=verdicts, first=verdicts, evidence=evidence)


def predict_new_rows(table: ResidentTable | StreamedTable, options: ScanOptions, run: RunContext) -> NewRows:
    """Predict the rows of a table by the model of an earlier scan.

    Args:
        table: the new rows.
        options: `against`.
        run: device.

    Raises:
        UsageError: the rows do not fit into memory, or the model is of a regression or of a wide table.
    """
    from zcurate.encoding.encoder import encode_resident
    from zcurate.training.checkpoint import Checkpoint
    from zcurate.training.kept_model import KeptModel
    from zcurate.training.new_rows import predict_new

    if not isinstance(table, ResidentTable):
        raise UsageError("--against: the rows do not fit into memory — expected fewer, or more --memory — scan them in parts")
    data = table.sample
    kept = KeptModel(Checkpoint(f"{options.against}{MODEL_ENDING}", {}, lambda text: None, option="--against"), goes_on=True)
    check_scan(kept, str(options.against), run)
    run.stage("encoding")
    fitted, plan = kept.encoding()
    if plan.spec.name not in plugins.MODELS or ".py:" in plan.spec.features + plan.spec.text_network:
        raise UsageError(f"--against: the earlier scan's model is code in a file ({plan.spec.name}) — expected a built-in model — scan both together")
    if data.pictures is not None and plan.spec.features != "none" and not is_backbone(plan.spec.features):
        raise UsageError(f"--against: the earlier scan had features of its own ({plan.spec.features}) — expected a network's — scan both together")
    if plan.spec.principal:
        raise UsageError("--against: the earlier scan is of a table with more columns than rows — expected more rows than columns — scan both together")
    rows, _ = encode_resident(data, plan.spec, run, fitted)
    run.stage("predicting")
    p, distance = predict_new(kept, rows, plan.spec)
    y = rows.y.cpu().numpy()
    spec = dataclasses.replace(plan.spec, clues=HELDOUT_SIGNALS, without=(), witnesses=())
    before_y, before_distance = kept.rest[0]["y"], kept.distances(kept.n_rounds - 1)
    before_p = mean_heldout([kept.round(at).heldout for at in range(kept.n_rounds)], before_y)
    before_bulk, bulk, beyond = kept.distances_of(rows)
    n = len(before_y)
    isolation = relative(np.concatenate([before_distance, distance]), n)
    isolation[n:] = np.fmax(isolation[n:], beyond / BEYOND_UNIT)
    outlying = {"isolation": isolation, "distance": np.concatenate([before_bulk, bulk])}
    both = dataclasses.replace(evidence_of(stacked(before_p, p, y), np.concatenate([before_y, y]), outlying), n_earlier=n)
    evidence = evidence_of(p, y, {name: column[n:] for name, column in outlying.items()})
    far = np.fmax(isolation, relative(outlying["distance"], n))
    drift = drift_of(data, (before_p, before_y, far[:n]), (p, y, far[n:]))
    known = 0 if rows.row_hash is None else int(np.isin(rows.row_hash, kept.rest[0]["hash"]).sum())
    warnings = [*known_rows(known, rows.n_rows), *unseen_values(data, fitted.encoder), *drift_warnings(drift)]
    found = Gathered(rows.row, evidence, target=None, dtype=str(rows.dtype).removeprefix("torch."), warnings=tuple(warnings))
    return NewRows(found, both, outlying, dataclasses.replace(plan, spec=spec), drift)


def known_rows(known: int, n_rows: int) -> list[str]:
    """Warn where new rows are among those that the model was trained on.

    Args:
        known: rows with the same columns as an earlier one.
        n_rows: of the input.
    """
    if known <= MAX_KNOWN * n_rows:
        return []
    return [
        f"--against: {known} of {n_rows} rows are among the earlier ones, whose labels the members follow — expected new rows — scan with --decisions instead"
    ]


def unseen_values(data: Dataset, encoder: Encoder) -> list[str]:
    """Name the values of categories that the earlier scan did not have, or in one row alone.

    Args:
        data: the new rows.
        encoder: of the earlier ones.
    """
    out = []
    for name, (common, _) in encoder.categories.items():
        counted = pc.value_counts(as_text(data.arrays[name]).drop_null())
        counts = dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
        unseen = {value: n for value, n in counts.items() if value not in set(common.to_pylist())}
        if sum(unseen.values()) > MAX_KNOWN * len(data.given):
            pairs = listed((f"'{value}' ({n} rows)" for value, n in sorted(unseen.items(), key=lambda pair: -pair[1])), 3)
            out.append(f"column '{name}': values that the earlier scan hardly had: {pairs} — rows with them may be taken for outliers")
    return out


def relative(distance: np.ndarray, n_before: int) -> np.ndarray:
    """Put distances on a scale where 0 is the median of the earlier rows and 1 their upper twentieth, (N,) float64; -inf where there are none.

    Args:
        distance: (N,), the earlier rows first.
        n_before: number of these.
    """
    value = np.log(np.maximum(distance, 1e-9))
    if not np.isfinite(value[:n_before]).any():
        return np.full(len(value), -np.inf)
    median, upper = np.nanquantile(value[:n_before], [0.5, 1 - FAR_SHARE])
    return (value - median) / max(1e-6, upper - median)


def evidence_of(heldout: Heldout, y: np.ndarray, outlying: dict[str, np.ndarray]) -> Evidence:
    """Make evidence of held-out predictions and distances alone.

    Args:
        heldout: (N, C).
        y: (N,) int64 given classes, -1 = unlabelled.
        outlying: (N,) columns of distances.
    """
    one = untrained_round(heldout, y)
    return Evidence((one,), {**one.columns, **outlying}, one.curves, heldout, y)


def stacked(before: Heldout, p: np.ndarray, y: np.ndarray) -> Heldout:
    """Put the predictions of new rows below those of the earlier ones, in their form.

    Args:
        before: (N, C).
        p: (M, C) float32.
        y: (M,) int64.
    """
    if isinstance(before, TopKProbabilities):
        packed = [before.packed, *(top_k_of(p[begin:end], y[begin:end]).packed for begin, end in chunk_ranges(len(p), 4096))]
        return TopKProbabilities(np.concatenate(packed), before.n_classes)
    return np.concatenate([before, p])


def drift_of(data: Dataset, before: tuple[Heldout, np.ndarray, np.ndarray], now: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, Any]:
    """Compare new rows with the earlier ones.

    Args:
        data: the new rows.
        before: predictions (N, C), labels (N,) and distances (N,) of the earlier rows.
        now: the same of the new ones.

    Returns:
        JSON values: the classes' shares, the share of far rows, the agreement of label and prediction, each before and now.
    """
    shares = [np.bincount(y[y >= 0], minlength=data.n_classes) / max(1, (y >= 0).sum()) for _, y, _ in (before, now)]
    limit = float(np.nanquantile(before[2], 1 - FAR_SHARE))
    agreement = [agreeing(p, y) for p, y, _ in (before, now)]
    return {
        "rows_before": len(before[1]),
        "classes": [{"name": name, "before": float(old), "now": float(new)} for name, old, new in zip(data.task.classes, *shares, strict=True)],
        "far_before": FAR_SHARE,
        "far": float((now[2] > limit).mean()),
        "agreement_before": agreement[0],
        "agreement": agreement[1],
        "rows": len(now[1]),
        "labelled": int((now[1] >= 0).sum()),
    }


def agreeing(p: Heldout, y: np.ndarray) -> float | None:
    """Share of the labelled rows whose most probable class is the given one; None where no row is labelled."""
    known = y >= 0
    return float((most_probable(p)[known] == y[known]).mean()) if known.any() else None


def drift_warnings(drift: dict[str, Any]) -> list[str]:
    """Say in which ways new rows differ more than chance has it.

    Args:
        drift: from `drift_of`.
    """
    n, n_before = max(1, drift["labelled"]), drift["rows_before"]

    def is_large(before: float, now: float, n_now: int) -> bool:
        pooled = (before * n_before + now * n_now) / (n_before + n_now)
        error = sqrt(max(pooled * (1 - pooled), 1e-9) * (1 / n_before + 1 / n_now))
        return abs(now - before) > max(MIN_DRIFT, MIN_SIGMAS * error)

    out = []
    moved = [one for one in drift["classes"] if is_large(one["before"], one["now"], n)]
    if moved:
        pairs = listed((f"{one['name']} {one['before']:.0%} to {one['now']:.0%}" for one in moved), 4)
        out.append(f"drift: shares of classes have changed: {pairs}")
    if is_large(drift["far_before"], drift["far"], max(1, drift["rows"])) and drift["far"] > drift["far_before"]:
        found = f"drift: {drift['far']:.0%} of the rows are further from every class than {1 - FAR_SHARE:.0%} of the earlier ones were"
        out.append(f"{found} — expected about {FAR_SHARE:.0%} — the model may not know them: scan them by themselves")
    if drift["agreement"] is not None and is_large(drift["agreement_before"], drift["agreement"], n) and drift["agreement"] < drift["agreement_before"]:
        out.append(f"drift: the model agrees with {drift['agreement']:.0%} of the labels, with {drift['agreement_before']:.0%} of the earlier ones")
    return out
