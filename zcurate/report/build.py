"""Build the columns of a `Report` from evidence and verdicts, one row per input row in the input's order. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.config.verdicts import VERDICTS
from zcurate.data.dataset import Dataset
from zcurate.data.fingerprints import fingerprints
from zcurate.data.values import in_calendar
from zcurate.encoding.targets import TargetScale, class_codes
from zcurate.evidence.evidence import Evidence, given_view
from zcurate.evidence.heldout import entropies, given_probability, margins
from zcurate.evidence.signals import residuals
from zcurate.judge.judge import Verdicts
from zcurate.judge.reasons import CODES
from zcurate.report.attribution import ColumnProfiles, attribute
from zcurate.report.dynamics_columns import columns as curve_columns
from zcurate.report.dynamics_columns import to_lists
from zcurate.report.report import Report
from zcurate.report.schema import ANNOTATION_COLUMNS
from zcurate.runtime.threads import run_in_threads


@dataclass(frozen=True)
class ReportRows:
    """Evidence and verdicts of M encoded rows."""

    evidence: Evidence
    """Merged, as the rows were judged on."""
    verdicts: Verdicts
    """As judged."""
    predicted: np.ndarray
    """(M,) predicted class, or standardized target."""
    rank: np.ndarray
    """(M,) int64 ranks among all rows of the report, 0 = none."""


def build_report(
    data: Dataset, row: np.ndarray, rows: ReportRows, card: dict[str, Any], target: TargetScale | None, profiles: ColumnProfiles | None = None
) -> Report:
    """Join evidence and verdicts to the input's rows.

    Args:
        data: N rows.
        row: (M,) position in `data` of each encoded row.
        rows: of the encoded rows.
        card: run card.
        target: regression's scale of targets; None for classes.
        profiles: statistics of columns that attributions compare rows with; None for those of an even sample of `data`.
    """
    n, evidence, verdicts = data.n_rows, rows.evidence, rows.verdicts
    scatter = RowScatter(n, row)
    regression = data.task.kind == "regression"

    def input_columns() -> dict[str, pa.Array]:
        fields: dict[str, pa.Array] = {"row": pa.array(np.arange(n))}
        if data.roles.id is not None:
            fields["id"] = writable_ids(data.table.column(data.roles.id).combine_chunks())
        if data.paths is not None:
            fields["path"] = data.paths
        fields["fingerprint"] = fingerprints(data)
        if data.splits is not None:
            fields["split"] = data.splits
        return fields | {"given": data.given}

    def verdict_columns() -> dict[str, pa.Array]:
        fields = {"suggested": label_column(data, scatter, verdicts.suggested, target), "p_suggested": scatter.floats(verdicts.p_suggested)}
        fields["verdict"] = verdict_column(scatter, verdicts.code)
        return fields | {name: scatter.floats(getattr(verdicts, name)) for name in ("p_incorrect", "p_hard", "p_outlier")}

    def rank_columns() -> dict[str, pa.Array]:
        reasons = reasons_column(scatter, verdicts.reasons)
        return {"rank": rank_column(scatter, rows.rank), "reasons": with_findings(with_skip_reasons(reasons, data), data)}

    def attribution() -> dict[str, pa.Array]:
        return {"telling": attribution_column(data, scatter, verdicts, rows.predicted, profiles)}

    def evidence_columns() -> dict[str, pa.Array]:
        fields = dynamics_columns(scatter, evidence) | {"predicted": label_column(data, scatter, rows.predicted, target)}
        fields |= heldout_columns(scatter, evidence, regression)
        if "copies_other" in evidence.columns:
            fields["copies_other"] = scatter.floats(evidence.columns["copies_other"])
        for name in ANNOTATION_COLUMNS:
            if name in evidence.columns:
                value = evidence.columns[name]
                whole = name in ("n_annotations", "wants_label")
                fields[name] = scatter.counts(value) if whole else scatter.floats(value)
        fields |= appearance_columns(data)
        return fields | (residual_columns(data, scatter, evidence, verdicts, target) if regression else {})

    curves = curve_columns(n, row, evidence, verdicts, data.task.classes, card["input"]["rows"])
    jobs = [input_columns, verdict_columns, rank_columns, attribution, evidence_columns, *curves]
    return Report(pa.table({name: column for fields in run_in_threads(jobs, n) for name, column in fields.items()}), card)


class RowScatter:
    """Scatters values of M encoded rows over N input rows, null elsewhere."""

    def __init__(self, n_rows: int, row: np.ndarray) -> None:
        """Scatter to these rows.

        Args:
            n_rows: N.
            row: (M,) position of each encoded row among the input rows.
        """
        self.n_rows, self.row = n_rows, row
        self.whole = np.array_equal(row, np.arange(n_rows))
        """Every input row is encoded, in the input's order."""

    def put(self, values: np.ndarray, fill: Any, dtype: Any) -> np.ndarray:
        """(N, ...) of type `dtype`, `fill` where no row was encoded; may be `values` itself."""
        if self.whole:
            return values.astype(dtype, copy=False)
        out = np.full((self.n_rows, *values.shape[1:]), fill, dtype)
        out[self.row] = values
        return out

    def floats(self, values: np.ndarray, dtype: Any = np.float32) -> pa.Array:
        """(N,) float32 (or `dtype`), NaN as null."""
        return pa.array(self.put(values, np.nan, dtype), from_pandas=True)

    def counts(self, values: np.ndarray) -> pa.Array:
        """(N,) int32, NaN as null."""
        out = self.put(values, np.nan, np.float64)
        missing = np.isnan(out)
        return pa.array(np.where(missing, 0, out).round().astype(np.int32), mask=missing if missing.any() else None)


def writable_ids(ids: pa.Array) -> pa.Array:
    """Write ids that are times as text where one is outside the years that Python knows; other ids stay as they are.

    Args:
        ids: (N) or in chunks.
    """
    return ids if in_calendar(ids) is ids else ids.cast(pa.string())


def verdict_column(scatter: RowScatter, code: np.ndarray) -> pa.Array:
    """(N,) dictionary<string>; `skipped` for rows that were not encoded.

    Args:
        scatter: M rows among N.
        code: (M,) int8 positions in `VERDICTS`.
    """
    return pa.DictionaryArray.from_arrays(pa.array(scatter.put(code, VERDICTS.index("skipped"), np.int32)), pa.array(VERDICTS))


def reasons_column(scatter: RowScatter, reasons: np.ndarray) -> pa.Array:
    """(N,) list<string>, empty where there is no reason.

    Args:
        scatter: M rows among N.
        reasons: (M, R) int8 positions in `CODES`, -1 = none.
    """
    placed = scatter.put(reasons, -1, np.int8)
    return to_lists(pa.array(CODES).take(pa.array(placed[placed >= 0])), (placed >= 0).sum(1), empty=True)


def with_skip_reasons(reasons: pa.Array, data: Dataset) -> pa.Array:
    """Give each picture that could not be read the reason, in words.

    Args:
        reasons: (N) list<string>, empty for these rows.
        data: N rows.
    """
    if data.pictures is None or not data.skipped:
        return reasons
    words = {skip.row: skip.reason for skip in data.skipped}
    values = reasons.to_pylist()
    return pa.array([[words[row]] if row in words else codes for row, codes in enumerate(values)], reasons.type)


def with_findings(reasons: pa.Array, data: Dataset) -> pa.Array:
    """Add what was found of each picture to its reasons.

    Args:
        reasons: (N) list<string>.
        data: N rows.
    """
    if data.findings is None or not any(data.findings.codes):
        return reasons
    return pa.array([[*codes, *found] for codes, found in zip(reasons.to_pylist(), data.findings.codes, strict=True)], reasons.type)


def appearance_columns(data: Dataset) -> dict[str, pa.Array]:
    """Columns of what was measured of pictures, and of the groups of near-duplicates; none for tables."""
    if data.findings is None or data.originals is None:
        return {}
    low, high, sharpness, information, aspect = data.originals.appearance.T
    measured = {"brightness": (low + high) / 2, "sharpness": sharpness, "information": information, "aspect": aspect}
    group = data.findings.group
    columns = {name: pa.array(values.astype(np.float32), from_pandas=True) for name, values in measured.items()}
    return {"duplicate_group": pa.array(group, mask=group < 0), **columns}


def label_column(data: Dataset, scatter: RowScatter, values: np.ndarray, target: Any) -> pa.Array:
    """Turn class codes (-1 = null) or standardized targets (NaN = null) into labels like the input's."""
    if target is not None:
        return scatter.floats(target.back(values), np.float64)
    code = scatter.put(values, -1, np.int32)
    return pa.array(data.task.classes, pa.string()).take(pa.array(code, mask=code < 0))


def rank_column(scatter: RowScatter, rank: np.ndarray) -> pa.Array:
    """(N,) ranks, 0 as null."""
    out = scatter.put(rank, 0, np.int64)
    return pa.array(out, mask=out == 0)


def attribution_column(data: Dataset, scatter: RowScatter, verdicts: Verdicts, predicted: np.ndarray, profiles: ColumnProfiles | None = None) -> pa.Array:
    """Attribute the verdicts incorrect, suspect, hard and outlier to input columns, as lists; empty for other rows."""
    wanted = np.sort(scatter.row[np.any([verdicts.has_verdict(word) for word in ("incorrect", "suspect", "hard", "outlier")], 0)])
    other = np.full(scatter.n_rows, -1)
    if data.task.classes:
        other[scatter.row] = np.where(verdicts.suggested >= 0, verdicts.suggested, predicted)
    attributions = attribute(data, wanted, class_codes(data), other, profiles)
    length = np.zeros(scatter.n_rows, np.int32)
    length[wanted] = np.diff(attributions.offsets.to_numpy())
    return to_lists(attributions.values, length, empty=True)


def dynamics_columns(scatter: RowScatter, evidence: Evidence) -> dict[str, pa.Array]:
    """Columns of the training dynamics; null for rows that were never trained on."""
    columns = evidence.columns
    seen, masked = columns["n_seen"], columns["n_masked"]
    trained = seen > 0
    all_trained = bool(trained.all())

    def of(name: str) -> np.ndarray:
        return columns[name] if all_trained else np.where(trained, columns[name], np.nan)

    with np.errstate(invalid="ignore", divide="ignore"):
        frequency = masked / seen
    fields = {name: scatter.floats(of(name)) for name in ("z_score", "z_max", "z_last")}
    fields["mask_frequency"] = scatter.floats(frequency)
    fields["n_seen"] = scatter.counts(seen)
    fields["n_masked"] = scatter.counts(masked)
    for name in ("loss_mean", "confidence_mean", "confidence_std", "margin_mean"):
        fields[name] = scatter.floats(of(name))
    for name in ("learned_epoch", "n_forgotten"):
        fields[name] = scatter.counts(of(name))
    if "forgotten_epoch" in columns:
        fields["forgotten_epoch"] = scatter.floats(of("forgotten_epoch"))
    return fields


def heldout_columns(scatter: RowScatter, evidence: Evidence, regression: bool) -> dict[str, pa.Array]:
    """Columns of the held-out predictions."""
    view = given_view(evidence)
    if regression:
        distance = residuals.residual_scale(view)
        entropy = 1 + np.log(2) + evidence.heldout[:, 1].astype(np.float64)
        return {"p_given": scatter.floats(np.exp(-distance)), "margin_heldout": scatter.floats(-distance), "entropy_heldout": scatter.floats(entropy)}
    own = np.where(view.labelled, given_probability(evidence.heldout, np.maximum(view.label, 0)), np.nan)
    margin = np.where(view.labelled, margins(evidence.heldout, view.label), np.nan)
    return {"p_given": scatter.floats(own), "margin_heldout": scatter.floats(margin), "entropy_heldout": scatter.floats(entropies(evidence.heldout))}


def residual_columns(data: Dataset, scatter: RowScatter, evidence: Evidence, verdicts: Verdicts, target: Any) -> dict[str, pa.Array]:
    """Regression: residuals in the target's unit, and an interval that holds 90 % of the targets judged correct.

    A Laplace distribution of scale b has standard deviation b sqrt(2); the interval's half-width in scales is the 90 % quantile
    of the held-out spreads of the rows with p_incorrect <= 0.5.
    """
    location, log_scale = np.asarray(evidence.heldout).T.astype(np.float64)
    given = data.given.to_numpy(zero_copy_only=False).astype(np.float64)[scatter.row]
    predicted = target.back(location)
    distance = np.abs(evidence.y - location) * np.exp(-log_scale)
    correct = ~np.isnan(distance) & ~(verdicts.p_incorrect > 0.5)
    half = (float(np.quantile(distance[correct], 0.9)) if correct.any() else 2.3) * np.exp(log_scale)
    signed = (evidence.y - location) * np.exp(-log_scale) / np.sqrt(2)
    wide = np.float64
    return {
        "residual": scatter.floats(given - predicted, wide),
        "residual_z": scatter.floats(signed, wide),
        "interval_low": scatter.floats(target.back(location - half), wide),
        "interval_high": scatter.floats(target.back(location + half), wide),
    }
