"""Record what each row did in somebody else's training loop, and judge the labels by it: `zcurate.Recorder`.

recorder = zcurate.Recorder(n_rows=len(dataset), n_classes=10)
for epoch in range(epochs):
    for x, y, index in loader:
        output = model(x)
        criterion(output, y).backward()
        recorder.update(index, output, y)
    recorder.epoch()
report = recorder.report(given=labels)
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zcurate.config.model_config import ModelConfig, Plan, ZErrorConfig
from zcurate.config.options import ScanOptions
from zcurate.data.dataset import Dataset
from zcurate.errors import UsageError
from zcurate.evidence.evidence import Evidence, Round
from zcurate.evidence.planted import Planted
from zcurate.pipeline.gathered import Gathered
from zcurate.report.report import Report
from zcurate.runtime.context import RunContext
from zcurate.training.dynamics import row_columns
from zcurate.training.loss_modules import checked_index
from zcurate.training.losses.statistics import Statistics, standardize
from zcurate.training.losses.terms import class_losses
from zcurate.training.planting import plant_classes

SETTINGS = ZErrorConfig(z_stats="batch")
"""Z-scores are those of the batch."""
MIN_EPOCHS = 2
"""Epochs from which on labels are judged."""
FIELDS = ("z", "error", "margin", "sieve", "count")
"""What is summed per row and epoch."""
RECORDED = ("now", "masked", "z_max", "target", "heldout_sum", "heldout_count", "probability_sum")
"""What `state_dict` holds beside the epochs."""
MAX_OTHER_TARGETS = 0.2
"""Share of the rows that may be trained on a label other than the given one, corrected on the way, say."""


class Recorder:
    """Record of N rows, on the device of the outputs; 20 bytes per row and epoch, 16 per row, and 4 per row and class, twice
    where held-out outputs are given.

    Args:
        n_rows: N, rows of the data set.
        n_classes: C.
        z_threshold: sigmas above which a row counts as masked in `mask_frequency`.

    Raises:
        ValueError: fewer than one row or two classes.
    """

    def __init__(self, n_rows: int, n_classes: int, z_threshold: float = 2.0) -> None:
        if n_rows < 1 or n_classes < 2:
            raise ValueError(f"Recorder: n_rows = {n_rows}, n_classes = {n_classes} — expected 1 or more rows and 2 or more classes")
        self.n_rows, self.n_classes, self.z_threshold = n_rows, n_classes, z_threshold
        self.epochs: list[Tensor] = []
        self.now: Tensor | None = None
        self.masked: Tensor | None = None
        self.z_max: Tensor | None = None
        self.target: Tensor | None = None
        """(N,) int64 last label that each row was trained on, -1 for none: where it is not the given one, the index is not the row's position."""
        self.heldout_sum: Tensor | None = None
        self.heldout_count: Tensor | None = None
        self.probability_sum: Tensor | None = None
        self.planted = Planted(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, "U8"))

    def plant(self, labels: Any, share: float = 0.04, seed: int = 0) -> np.ndarray:
        """Return labels to train on, some of them wrong on purpose, so that the report is calibrated on errors that are known.

        Args:
            labels: (N,) class numbers.
            share: of the rows to plant an error in, above 0 and at most 0.2.
            seed: of the choice.

        Returns:
            (N,) int64. The rows that were changed are judged by their held-out outputs, under their own label.

        Raises:
            ValueError: labels of another length, or a share out of range.
        """
        y = np.asarray(labels)
        if y.shape != (self.n_rows,) or y.dtype.kind not in "iu" or not 0 < share <= 0.2:
            raise ValueError(f"Recorder.plant: labels {y.shape} of type {y.dtype}, share {share} — expected ({self.n_rows},) class numbers, 0 < share <= 0.2")
        y = y.astype(np.int64)
        candidates = np.flatnonzero(y >= 0)
        n = max(1, round(share * len(candidates)))
        self.planted = plant_classes(y, candidates, self.n_classes, n, ("uniform",), None, np.random.default_rng(seed))
        changed = y.copy()
        changed[self.planted.row] = self.planted.label
        return changed

    @torch.no_grad()
    def update(self, index: Tensor, output: Tensor, target: Tensor) -> None:
        """Record a training batch; nothing is moved to the CPU.

        Args:
            index: (B,) position of each row in the data set.
            output: (B, C) logits, as they were before the step.
            target: (B,) int64 labels that the model trains on.

        Raises:
            ValueError: shapes that do not fit, or an index out of range.
        """
        index, output = self.checked(index, output)
        target = target.to(output.device)
        if target.shape != index.shape:
            raise ValueError(f"Recorder: target of shape {tuple(target.shape)} — expected {tuple(index.shape)}, one label for each row of the batch")
        loss, error, margin, sieve = class_losses(output[None], target[None].clamp_min(0))
        z, _ = standardize(error, None, None, Statistics.new(1, 1, error.device), SETTINGS)
        if self.now is None or self.z_max is None or self.masked is None or self.probability_sum is None:
            self.now = torch.zeros(len(FIELDS), self.n_rows, device=output.device)
            self.masked = torch.zeros(self.n_rows, device=output.device) if self.masked is None else self.masked
            self.z_max = torch.full((self.n_rows,), float("-inf"), device=output.device) if self.z_max is None else self.z_max
            self.probability_sum = torch.zeros(self.n_rows, self.n_classes, device=output.device) if self.probability_sum is None else self.probability_sum
        fields = torch.stack([z[0], error[0], -error[0] if margin is None else margin[0], error[0] if sieve is None else sieve[0], torch.ones_like(loss[0])])
        if self.target is None:
            self.target = torch.full((self.n_rows,), -1, dtype=torch.int64, device=output.device)
        self.target.index_copy_(0, index, target.to(torch.int64))
        self.now.index_add_(1, index, fields)
        self.masked.index_add_(0, index, (z[0] > self.z_threshold).float())
        self.z_max.scatter_reduce_(0, index, z[0], "amax")
        self.probability_sum.index_add_(0, index, output.softmax(1))

    @torch.no_grad()
    def heldout(self, index: Tensor, output: Tensor) -> None:
        """Record outputs for rows that the model did not train on: of cross-validation, or of a model of the other half.

        Args:
            index: (B,) position of each row in the data set.
            output: (B, C) logits.

        Raises:
            ValueError: shapes that do not fit, or an index out of range.
        """
        index, output = self.checked(index, output)
        if self.heldout_sum is None or self.heldout_count is None:
            self.heldout_sum = torch.zeros(self.n_rows, self.n_classes, device=output.device)
            self.heldout_count = torch.zeros(self.n_rows, device=output.device)
        self.heldout_sum.index_add_(0, index, output.softmax(1))
        self.heldout_count.index_add_(0, index, torch.ones(len(index), device=output.device))

    def checked(self, index: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return the index on the outputs' device, and the outputs as float32.

        Raises:
            ValueError: shapes that do not fit, or an index out of range.
        """
        if output.ndim != 2 or output.shape[1] != self.n_classes:
            raise ValueError(f"Recorder: output of shape {tuple(output.shape)} — expected (B, {self.n_classes}) logits")
        return checked_index(index, len(output), self.n_rows, "Recorder").to(output.device, torch.int64), output.detach().float()

    def epoch(self, number: int | None = None) -> None:
        """End an epoch.

        Args:
            number: 0-based, where several models are recorded one after another (the folds of a cross-validation): their epochs of one number are
                joined. None: the epoch after those before.

        Raises:
            RuntimeError: nothing was recorded in it.
            ValueError: epochs before it are missing.
        """
        if self.now is None:
            raise RuntimeError("Recorder.epoch: nothing was recorded in this epoch — expected update(index, output, target) for each batch")
        number = len(self.epochs) if number is None else number
        if not 0 <= number <= len(self.epochs):
            raise ValueError(f"Recorder.epoch: number {number} — expected 0 to {len(self.epochs)}, as {len(self.epochs)} epochs are recorded")
        if number == len(self.epochs):
            self.epochs.append(self.now)
        else:
            self.epochs[number] = self.epochs[number] + self.now
        self.now = None

    def state_dict(self) -> dict[str, Any]:
        """Return everything recorded, for a checkpoint of your own."""
        tensors = {name: getattr(self, name) for name in RECORDED}
        planted = {name: getattr(self.planted, name).tolist() for name in ("row", "label", "kind")}
        return {"n_rows": self.n_rows, "n_classes": self.n_classes, "epochs": list(self.epochs), "planted": planted, **tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            ValueError: it is of other rows or classes.
        """
        if (state["n_rows"], state["n_classes"]) != (self.n_rows, self.n_classes):
            raise ValueError(f"Recorder: a record of {state['n_rows']} rows and {state['n_classes']} classes — expected {self.n_rows} and {self.n_classes}")
        self.epochs = list(state["epochs"])
        for name in RECORDED:
            setattr(self, name, state.get(name))
        planted = state["planted"]
        self.planted = Planted(np.array(planted["row"], np.int64), np.array(planted["label"], np.int64), np.array(planted["kind"], "U8"))

    def report(self, given: Any, data: Any = None, classes: list[str] | None = None, output: str | None = None) -> Report:
        """Judge the labels by the record.

        Args:
            given: (N,) labels as they are in the data, without planted errors: class numbers from 0 on, -1 for none.
            data: a table of the rows whose columns stand in the report's explanations; None for none.
            classes: (C,) names; None for the numbers.
            output: file to write the report to; None for none.

        Returns:
            The report. Without held-out outputs a warning says so: the model's own outputs take their place, and recall and probabilities are less sure.

        Raises:
            RuntimeError: fewer than two epochs were recorded.
            ValueError: labels of another length, outputs that are not finite, or an index that is not the row's position.
        """
        if len(self.epochs) < MIN_EPOCHS:
            raise RuntimeError(f"Recorder.report: {len(self.epochs)} epochs — expected {MIN_EPOCHS} or more, each ended by recorder.epoch()")
        y = np.asarray(given.cpu() if isinstance(given, Tensor) else given).astype(np.int64)
        if y.shape != (self.n_rows,) or y.max() >= self.n_classes:
            raise ValueError(f"Recorder.report: given of shape {y.shape} up to {y.max()} — expected ({self.n_rows},) class numbers below {self.n_classes}")
        names = classes or [str(number) for number in range(self.n_classes)]
        record = self.gathered()
        if not all(np.isfinite(record[name]).all() for name in ("epochs", "probability_sum", *(["heldout_sum"] if "heldout_sum" in record else []))):
            raise ValueError("Recorder.report: outputs that are not finite were recorded — expected finite logits — did the training diverge, or overflow?")
        training_label = y.copy()
        training_label[self.planted.row] = self.planted.label
        check_targets(record.get("target"), training_label)
        probabilities = self.predictions(record)
        dataset = dataset_of(y, names, data, probabilities)
        columns, curves = self.means(record)
        one = Round(training_label, self.planted, columns, probabilities, curves, 1.0, hard_heldout=np.zeros((0, self.n_classes), np.float32))
        evidence = Evidence((one,), columns, curves, probabilities, y)
        missing = () if self.heldout_sum is not None else (NO_HELDOUT,)
        return judged_report(dataset, Gathered(np.arange(self.n_rows), evidence, warnings=missing), output, len(self.epochs))

    def gathered(self) -> dict[str, Any]:
        """Return the record on the CPU; with torch.distributed that of all ranks."""
        tensors: dict[str, Any] = {"epochs": torch.stack(self.epochs), "masked": self.masked, "z_max": self.z_max, "probability_sum": self.probability_sum}
        tensors |= {} if self.target is None else {"target": self.target}
        if self.heldout_sum is not None:
            tensors |= {"heldout_sum": self.heldout_sum, "heldout_count": self.heldout_count}
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for name, tensor in tensors.items():
                tensors[name] = tensor.clone()
                torch.distributed.all_reduce(tensors[name], torch.distributed.ReduceOp.MAX if name in ("z_max", "target") else torch.distributed.ReduceOp.SUM)
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def predictions(self, record: dict[str, Any]) -> np.ndarray:
        """Return held-out probabilities, (N, C) float32: where there are none, the mean of the training outputs."""
        seen = record["epochs"][:, FIELDS.index("count")].sum(0)
        own = record["probability_sum"] / np.maximum(seen, 1)[:, None]
        own[seen == 0] = 1 / self.n_classes
        if "heldout_sum" not in record:
            return own.astype(np.float32)
        count = record["heldout_count"]
        found = record["heldout_sum"] / np.maximum(count, 1)[:, None]
        if (count == 0).any() and not (count == 0).all():
            warnings.warn(
                f"Recorder: {int((count == 0).sum())} of {self.n_rows} rows have no held-out output: their training outputs take its place", stacklevel=3
            )
        return np.where((count > 0)[:, None], found, own).astype(np.float32)

    def means(self, record: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the columns (N,) and curves (E, N) of a round from the sums."""
        sums, count = record["epochs"][:, :-1], record["epochs"][:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = sums / count[:, None]
        # A row that an epoch did not visit stays where it was.
        for at in range(1, len(means)):
            means[at] = np.where(np.isnan(means[at]), means[at - 1], means[at])
        for at in range(len(means) - 2, -1, -1):
            means[at] = np.where(np.isnan(means[at]), means[at + 1], means[at])
        seen = count.sum(0)
        columns, curves = row_columns(means.astype(np.float32), (seen > 0).astype(np.float32), record["masked"], record["z_max"], False, 1.0)
        curves["second"] = np.zeros((0, self.n_rows), np.float32)
        return {**columns, "n_seen": seen}, curves


def check_targets(target: np.ndarray | None, training_label: np.ndarray) -> None:
    """Refuse a record whose rows were trained on other labels than those of their positions, as with a shuffled loader whose index is the place in the batch.

    Args:
        target: (N,) last label that each row was trained on, -1 for none; None for an older record.
        training_label: (N,) labels to train on.

    Raises:
        ValueError: more than `MAX_OTHER_TARGETS` of the rows differ.
    """
    known = np.zeros(0, bool) if target is None else (target >= 0) & (training_label >= 0)
    share = 0.0 if target is None or not known.any() else float((target != training_label)[known].mean())
    if share > MAX_OTHER_TARGETS:
        raise ValueError(
            f"Recorder.report: {share:.0%} of the rows were trained on another label than given (or planted) at their index — expected index to be the "
            "position of each row in the data set — return it from the Dataset beside x and y, as a shuffled loader mixes the rows"
        )


NO_HELDOUT = (
    "Recorder: no held-out outputs — the model's own outputs on the rows it trains on take their place, which follow wrong labels once these are "
    "memorized: fewer wrong rows are found and probabilities are less sure — record some with recorder.heldout(index, output)"
)
"""Warning of a report that rests on training alone."""


def dataset_of(y: np.ndarray, classes: list[str], data: Any, probabilities: np.ndarray) -> Dataset:
    """Return the rows as a data set with these labels.

    Args:
        y: (N,) class numbers, -1 for none.
        classes: (C,) names.
        data: a table of the rows; None for none.
        probabilities: (N, C).

    Raises:
        UsageError: the table has other rows.
    """
    import pyarrow as pa

    from zcurate.data.dataset import InputInfo, Roles, Task

    table = pa.table({"label": [None if number < 0 else classes[number] for number in y.tolist()]})
    if data is not None:
        from zcurate.data.memory import read_memory

        extra = read_memory(data).table
        if extra.num_rows != len(y):
            raise UsageError(f"Recorder.report: data of {extra.num_rows} rows — expected {len(y)}, one for each recorded row")
        for name in extra.column_names:
            if name != "label":
                table = table.append_column(name, extra.column(name))
    kind = "binary" if len(classes) == 2 else "multiclass"
    given = table.column("label").combine_chunks()
    roles, task = Roles("label"), Task(kind, "the classes of the training loop", tuple(classes))  # type: ignore[arg-type]
    return Dataset(table, roles, task, given, InputInfo("memory", "recorder"), probabilities=probabilities)


def judged_report(data: Dataset, found: Gathered, output: str | None, n_epochs: int) -> Report:
    """Judge recorded rows and build their report.

    Args:
        data: the rows.
        found: evidence about them.
        output: file to write; None for none.
        n_epochs: that were recorded.
    """
    from zcurate.data.table import ResidentTable
    from zcurate.pipeline.checks import warn_in_card
    from zcurate.pipeline.scan import describe_scan, judge_rows
    from zcurate.report.writer import ScanResult

    run = dataclasses.replace(RunContext(), device=torch.device("cpu"))
    spec = ModelConfig(name="recorded", hidden=(), folds=1, rounds=1, ensemble=(), witnesses=())
    plan, options = Plan(spec, False, n_epochs, "recorded in a training loop"), ScanOptions(label="label", output=output)
    judged = judge_rows(found, plan, options, run)
    table = ResidentTable(data)
    card = describe_scan(table, options, plan, judged, found, run)
    warn_in_card(card, list(found.warnings), run.progress)
    for text in found.warnings:
        warnings.warn(text, stacklevel=3)
    report = ScanResult(table, found.row, found.evidence, found.columns, judged, card, None, plan).report
    if output is None:
        return report
    report.save(output)
    return dataclasses.replace(report, path=output)
