"""The model that a scan keeps beside its report, from which a later scan goes on.

It holds what the members have learned, what was recorded of every row, the predictions of the other models, and how rows are encoded: numbers, names of
classes, values of categories and terms of texts, but no row of the data.

A scan that goes on trains the members a little further, on the labels as they are now, and draws them towards what they were (tuning while penalizing change,
arXiv:2404.12292, with a squared norm); what a row did while the model learned stays as it was recorded, except where its label changed.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zcurate.config.model_config import ModelConfig, Plan
from zcurate.encoding import encoder_state
from zcurate.encoding.encoded import EncodedRows
from zcurate.encoding.encoder import FittedEncoding
from zcurate.encoding.targets import MAX_TARGET, TargetScale
from zcurate.errors import UsageError
from zcurate.evidence.evidence import Round
from zcurate.evidence.heldout import AuxiliaryPredictions, Heldout, TopKProbabilities
from zcurate.training.checkpoint import Checkpoint
from zcurate.training.detectors.outliers import InputScale, beyond_range, distance_under, fit_scale

CONTINUED_SHARE = 0.2
"""Share of the cycle of the learning rate that members train again: its end, where the rate is small. Chosen on the tuning half (tests/bench/README.md)."""
DISTANCE = "space.distance"
"""Name under which `new_rows.learned_space` keeps distances."""
OBSERVED = ("neighbour_own", "neighbour_other", "centre_own", "centre_other")
"""Columns that compare rows with the labels of others, which are measured anew."""
TARGET_TOLERANCE = 1e-5
"""Relative difference of standardized targets [scales] up to which they are the same."""
MIN_P = 1e-4
"""Probabilities are not told apart below this."""
ADVICE = "expected the model as a scan kept it — zcurate scan DATA --keep-model writes one beside the report"


@dataclass(frozen=True)
class KeptModel:
    """The model beside a report."""

    parts: Checkpoint
    """Its files."""
    goes_on: bool = False
    """It is read, and a scan goes on from it; else it is written."""

    def part(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Read one part.

        Raises:
            UsageError: it is not there, is broken, or is of another scan.
        """
        found = self.parts.load(name)
        if found is None:
            problem = "is not as it was written" if os.path.exists(self.parts.file(name)) else "is not there"
            raise UsageError(f"{self.parts.option}: {self.parts.file(name)} {problem} — {ADVICE}")
        return found

    @property
    def n_rounds(self) -> int:
        """Rounds that were trained."""
        return int(self.rest[1]["rounds"])

    def has_members(self, at: int) -> bool:
        """Whether the members of a round were kept by this same scan, before it was interrupted."""
        try:
            return self.parts.load(f"members-{at}") is not None
        except UsageError:
            return False

    def keep_members(self, at: int, tensors: list[dict[str, Tensor]], fold: np.ndarray) -> None:
        """Keep what the members of a round have learned, and their folds.

        Args:
            at: number of the round.
            tensors: of each group of members, by name.
            fold: (N,) integer.
        """
        arrays = {f"{number}.{name}": one.detach().cpu().numpy() for number, group in enumerate(tensors) for name, one in group.items()}
        self.parts.save(f"members-{at}", {**arrays, "fold": fold}, {"groups": len(tensors)})

    def members(self, at: int) -> tuple[list[dict[str, Tensor]], np.ndarray]:
        """Read what the members of a round have learned, group by group, and their folds (N,)."""
        arrays, facts = self.part(f"members-{at}")
        fold = arrays.pop("fold")
        groups: list[dict[str, Tensor]] = [{} for _ in range(facts["groups"])]
        for key, array in arrays.items():
            number, _, name = key.partition(".")
            groups[int(number)][name] = torch.from_numpy(array)
        return groups, fold

    def distances(self, at: int) -> np.ndarray:
        """Read how far each row of a round was from the nearest class center, (N,) float32, in the space of the member that did not train on it."""
        arrays, _ = self.part(f"members-{at}")
        columns = [array for name, array in arrays.items() if name.endswith(f".{DISTANCE}")]
        return np.nanmax(np.stack(columns), 0)

    def keep_rows(self, rows: EncodedRows, auxiliary: dict[str, AuxiliaryPredictions], n_rounds: int, cut_short: bool) -> None:
        """Keep by what rows are known again, their labels, and the predictions of the other models.

        Args:
            rows: N rows.
            auxiliary: held-out predictions.
            n_rounds: that were trained.
            cut_short: the time limit ended the training.
        """
        assert rows.row_hash is not None  # crack: narrows types only
        arrays = {"hash": rows.row_hash, "y": rows.y.cpu().numpy()}
        if rows.target is not None:
            arrays |= {"target.value": rows.target.value, "target.score": rows.target.score}
        for name, one in auxiliary.items():
            arrays |= {f"rows.{name}": pack(one.rows), f"hard.{name}": one.hard}
        kinds = {name: one.rows.n_classes if isinstance(one.rows, TopKProbabilities) else 0 for name, one in auxiliary.items()}
        scan = self.parts.fingerprint.get("scan")
        self.parts.save("rest", arrays, {"auxiliary": kinds, "rounds": n_rounds, "cut_short": cut_short, "scan": scan})

    def keep_encoding(self, rows: EncodedRows, fitted: FittedEncoding, plan: Plan) -> None:
        """Keep how rows were encoded, where the bulk of them is, and what was trained, for rows that come later.

        Args:
            rows: N rows.
            fitted: how they were encoded.
            plan: of the scan.
        """
        arrays, facts = encoder_state.state_of(fitted)
        known = fit_scale(rows)
        arrays |= {f"bulk.{name}": one.cpu().numpy() for name, one in known._asdict().items()}
        arrays["bulk.distance"] = distance_under(rows, known)
        self.parts.save("encoder", arrays, {**facts, "spec": plan.spec.as_dict(), "packed": plan.packed, "n_epochs": plan.n_epochs})

    def encoding(self) -> tuple[FittedEncoding, Plan]:
        """Read what `keep_encoding` kept.

        Raises:
            UsageError: as for `part`.
        """
        arrays, facts = self.part("encoder")
        spec = ModelConfig.without_losses(facts["spec"])
        return encoder_state.from_state(arrays, facts), Plan(spec, facts["packed"], facts["n_epochs"], "as in the earlier scan")

    def distances_of(self, rows: EncodedRows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Measure how far new rows are from the earlier ones, column by column.

        Args:
            rows: M rows, encoded as the earlier ones.

        Returns:
            (N,) float64 distances of the earlier rows from the bulk of them, (M,) of the new ones, and (M,) how far these are outside the earlier range.
        """
        arrays, _ = self.part("encoder")
        known = InputScale(*(torch.from_numpy(arrays[f"bulk.{name}"]).to(rows.device) for name in InputScale._fields))
        return arrays["bulk.distance"], distance_under(rows, known), beyond_range(rows, known)

    @cached_property
    def rest(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What `keep_rows` kept."""
        return self.part("rest")

    def check_rows(self, rows: EncodedRows) -> None:
        """Refuse rows other than those that the model was trained on; labels may differ.

        Args:
            rows: N rows.

        Raises:
            UsageError: naming the first row that differs.
        """
        known = self.rest[0]["hash"]
        assert rows.row_hash is not None  # crack: narrows types only
        differs = np.flatnonzero(known != rows.row_hash)
        if len(differs):
            raise UsageError(f"{self.parts.option}: row {rows.row[differs[0]]} is not as it was — only labels may differ — {ADVICE}")

    def with_kept_scale(self, rows: EncodedRows) -> EncodedRows:
        """Standardize the targets as the kept model has them; classes are left as they are.

        Args:
            rows: N rows.
        """
        if rows.target is None:
            return rows
        scale = TargetScale(self.rest[0]["target.value"], self.rest[0]["target.score"])
        y = np.clip(scale.forward(rows.target.back(rows.y.cpu().numpy().astype(np.float64))), -MAX_TARGET, MAX_TARGET)
        return dataclasses.replace(rows, y=torch.from_numpy(y.astype(np.float32)).to(rows.device), target=scale)

    def relabelled(self, y: np.ndarray) -> np.ndarray:
        """(N,) bool: rows whose label is not what it was.

        Args:
            y: (N,) classes or standardized targets, as they are now.
        """
        before = self.rest[0]["y"]
        if before.dtype.kind != "f":
            return before != y
        # Targets were rounded to float32, and brought from one scale to the other.
        same = np.abs(before - y) <= TARGET_TOLERANCE * np.maximum(1.0, np.abs(before))
        return ~(same | (np.isnan(before) & np.isnan(y)))

    def auxiliary(self) -> dict[str, AuxiliaryPredictions]:
        """The predictions of the other models."""
        arrays, facts = self.rest
        return {name: AuxiliaryPredictions(unpack(arrays[f"rows.{name}"], n), arrays[f"hard.{name}"]) for name, n in facts["auxiliary"].items()}  # type: ignore[arg-type]

    def round(self, at: int) -> Round:
        """Read the record of a round.

        Raises:
            UsageError: as for `part`.
        """
        self.part(f"round-{at}")
        found = self.parts.load_round(at)
        assert found is not None  # crack: `part` has read it
        return found


def pack(heldout: Heldout) -> np.ndarray:
    """Return probabilities as one array."""
    return heldout.packed if isinstance(heldout, TopKProbabilities) else heldout


def unpack(array: np.ndarray, n_classes: int) -> Heldout:
    """Return what `pack` was given; `n_classes` is 0 for dense probabilities."""
    return TopKProbabilities(array, n_classes) if n_classes else array


def joined(before: Round, found: Round, changed: np.ndarray, started: Heldout | None) -> Round:
    """Join the record of a round with that of its continuation.

    Held-out predictions move as far as those of the members did: theirs are averaged over many epochs, and better than those of the last ones alone.
    Comparisons with other rows' labels are those of the continuation; what was recorded of a row in training is too where its label changed.

    Args:
        before: the kept round.
        found: its continuation, of fewer epochs.
        changed: (N,) bool.
        started: held-out predictions with which the continuation began; None where rows are predicted once, after the last epoch.
    """
    heldout = found.heldout if started is None else moved(before.heldout, started, found.heldout, found.training_label.dtype.kind == "f")
    columns = {}
    for name in {**before.columns, **found.columns}:
        new, old = (one.columns.get(name, np.full(len(changed), np.nan, np.float32)) for one in (found, before))
        columns[name] = new if name in OBSERVED else np.where(changed, new, old)
    curves = {}
    for name, curve in before.curves.items():
        curves[name] = curve.copy()
        curves[name][:, changed] = np.nan
        if name in found.curves and len(found.curves[name]):
            n_epochs = min(len(curve), len(found.curves[name]))
            curves[name][len(curve) - n_epochs :, changed] = found.curves[name][-n_epochs:, changed]
    return dataclasses.replace(before, training_label=found.training_label, planted=found.planted, columns=columns, curves=curves, heldout=heldout)


def moved(heldout: Heldout, started: Heldout, ended: Heldout, regression: bool) -> Heldout:
    """Move predictions as far as others moved: class by class by the ratio of the probabilities, or target by target by the difference.

    Args:
        heldout: (N, C) float32 probabilities, or (N, 2) location and log scale.
        started: from where.
        ended: to where.
        regression: they are of targets.
    """
    if isinstance(heldout, TopKProbabilities) or isinstance(started, TopKProbabilities) or isinstance(ended, TopKProbabilities):
        return ended
    if regression:
        return heldout + (ended - started)
    p = np.maximum(heldout, MIN_P) * np.maximum(ended, MIN_P) / np.maximum(started, MIN_P)
    return (p / p.sum(1, keepdims=True)).astype(np.float32)
