"""The losses as `torch.nn.Module`s for anybody's training loop: `zcurate.nn`.

The z-scores, statistics and row errors are those of the tool's own training (`statistics`, `terms`, `discrim`, `exponentiated`, `denoising`).
Sources: arXiv:2506.02154 (Z-Error), arXiv:2208.09884 (DiscrimLoss), arXiv:2104.01493 (exponentiated gradient), arXiv:2003.10647 (denoising).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zcurate.config.model_config import DenoisingConfig, DiscrimConfig, ExponentiatedConfig, ZErrorConfig
from zcurate.training.losses import denoising, discrim, exponentiated
from zcurate.training.losses.statistics import MIN_SCALE, SINGLE_PROCESS, SMALL_GROUP, Statistics, statistics_used

Task = Literal["classification", "binary", "multilabel", "regression"]
TASKS = ("classification", "binary", "multilabel", "regression")
REDUCTIONS = ("mean", "sum", "none")
USUAL = ZErrorConfig(z_stats="batch")
"""Statistics of the batch: mean and standard deviation."""
MAX_LOSS = 80.0
"""Losses [nats] above this count as this much in the errors, as exp overflows in float32."""
BASES = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.smooth_l1_loss}
"""Losses of a regression."""


class DataParallel:
    """The ranks of torch.distributed whose rows form one batch; see `process_group.SingleProcess`."""

    def __init__(self) -> None:
        self.size = torch.distributed.get_world_size()

    def stacked(self, values: Tensor) -> Tensor:
        """Gather a tensor of every rank: (P, ...) in rank order."""
        parts = [torch.empty_like(values) for _ in range(self.size)]
        torch.distributed.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    def summed(self, values: Tensor) -> Tensor:
        """Sum a tensor over the ranks."""
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total


class RowLoss(nn.Module):
    """What the losses have in common: row losses and errors of any task, and how they are reduced."""

    weight: Tensor | None

    def __init__(self, task: Task, base: str, reduction: str, ignore_index: int, weight: Tensor | None, label_smoothing: float) -> None:
        """Check and keep the settings; see `ZErrorLoss`."""
        super().__init__()
        for name, value, known in (("task", task, TASKS), ("base", base, tuple(BASES)), ("reduction", reduction, REDUCTIONS)):
            if value not in known:
                raise ValueError(f"{type(self).__name__}: {name} = {value!r} — expected one of {', '.join(known)}")
        if label_smoothing and task != "classification":
            raise ValueError(f"{type(self).__name__}: label_smoothing with task = {task!r} — expected 0: only classes are smoothed")
        self.task, self.base, self.reduction, self.ignore_index, self.label_smoothing = task, base, reduction, ignore_index, float(label_smoothing)
        self.register_buffer("weight", weight)

    def rows(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Compute the loss and the signed error of each row, and which rows count.

        Args:
            output: see `ZErrorLoss.forward`.
            target: see `ZErrorLoss.forward`.

        Returns:
            loss (B,) or (B, L) with gradient; error of the same shape without, high = bad (regression: target - output); and bool of the same shape,
            False for rows that are ignored, None where none is.

        Raises:
            ValueError: shapes or types that do not fit the task.
        """
        self.check(output, target)
        if self.task == "classification":
            return self.class_rows(output, target)
        if self.task == "regression":
            return BASES[self.base](output, target.to(output.dtype), reduction="none"), (target - output).detach(), None
        target = target.to(output.dtype)
        loss = F.binary_cross_entropy_with_logits(output, target, self.weight, reduction="none")
        return loss, ((1 - 2 * target) * output).detach(), None

    def class_rows(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """`rows` of classes: class numbers, or a probability of each class."""
        is_soft = target.dtype.is_floating_point
        ignored = {} if is_soft else {"ignore_index": self.ignore_index}
        loss = F.cross_entropy(output, target, self.weight, reduction="none", label_smoothing=self.label_smoothing, **ignored)  # type: ignore[arg-type]
        with torch.no_grad():
            if is_soft:
                own = (target * output.detach().log_softmax(1).exp()).sum(1).clamp(1e-12, 1 - 1e-7)
                return loss, torch.log1p(-own) - own.log(), None
            is_plain = self.weight is None and not self.label_smoothing
            plain = loss.detach() if is_plain else F.cross_entropy(output.detach(), target, reduction="none", ignore_index=self.ignore_index)
            # log(1 - p) - log p = log(exp(loss) - 1), where the loss is -log p.
            error = torch.log(torch.expm1(plain.clamp(1e-7, MAX_LOSS)))
        return loss, error, target != self.ignore_index

    def check(self, output: Tensor, target: Tensor) -> None:
        """Refuse shapes and types that do not fit the task.

        Raises:
            ValueError: says what was found and what was expected.
        """
        name = f"{type(self).__name__}(task={self.task!r})"
        if self.task == "classification":
            if output.ndim != 2:
                raise ValueError(f"{name}: output of shape {tuple(output.shape)} — expected (B, C) logits — for one logit per row: task='binary'")
            wanted = tuple(output.shape) if target.dtype.is_floating_point else (output.shape[0],)
            if tuple(target.shape) != wanted:
                raise ValueError(f"{name}: target of shape {tuple(target.shape)} — expected {wanted} for output {tuple(output.shape)}")
        elif output.shape != target.shape:
            raise ValueError(f"{name}: output {tuple(output.shape)} and target {tuple(target.shape)} — expected equal shapes — squeeze one of them")

    def reduced(self, loss: Tensor, share: Tensor, processes: Any = SINGLE_PROCESS) -> Tensor:
        """Reduce row losses.

        Args:
            loss: of each row.
            share: weight of each row, of the same shape: 0 for masked or ignored ones.
            processes: the ranks whose rows form one batch.
        """
        if self.reduction == "none":
            return loss * (share > 0)
        if self.reduction == "sum":
            return (loss * share).sum()
        # Averaged gradients of P ranks are those of the mean over all of their rows.
        total = processes.summed(share.sum()[None])[0] / processes.size
        return (loss * share).sum() / total.clamp_min(1e-12)


class ZErrorLoss(RowLoss):
    """Mean loss of the rows whose error is not an outlier of the batch: rows with z above `threshold` get no gradient.

        criterion = zcurate.nn.ZErrorLoss()
        loss = criterion(model(x), y)

    After each call `z`, `keep` and `mask_frequency` describe the batch.

    Args:
        threshold: tau [sigma]; `inf` is the plain loss. Wide in the beginning (`warmup`, `anneal`), as a model that knows nothing yet has no outliers.
        task: `classification`: output (B, C), target (B,) int64 or (B, C) probabilities; `binary`: output and target (B,), one logit;
            `multilabel`: both (B, L), z within each label; `regression`: both of one shape.
        statistics: of the error: of the batch (`batch`), or running means over batches (`ema`), which are buffers.
        scale: `std`, or `mad`: median and median absolute deviation, which outliers move less.
        per_class: standardize among the rows of one label; needs `n_classes`.
        n_classes: C, with `per_class`.
        both_sides: mask errors far below the mean too; None: for regression only.
        warmup: steps in which every row is kept.
        anneal: steps after them in which the threshold falls from 4 to `threshold`.
        base: of regression: `mse`, `l1` or `huber`.
        reduction: `mean` over the rows that are kept, `sum` or `none`.
        ignore_index: class whose rows are left out.
        weight: (C,) weight of each class, as for `F.cross_entropy`.
        label_smoothing: as for `F.cross_entropy`.
        sync: with torch.distributed, statistics and mask are those of the batch of all ranks.

    Raises:
        ValueError: an unknown setting.

    Source: arXiv:2506.02154.
    """

    centre: Tensor
    spread: Tensor
    seen: Tensor
    steps: Tensor

    def __init__(
        self, threshold: float = 2.0, *, task: Task = "classification", statistics: Literal["batch", "ema"] = "batch", scale: Literal["std", "mad"] = "std",
        per_class: bool = False, n_classes: int | None = None, both_sides: bool | None = None, warmup: int = 0, anneal: int = 0, base: str = "mse",
        reduction: str = "mean", ignore_index: int = -100, weight: Tensor | None = None, label_smoothing: float = 0.0, sync: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(task, base, reduction, ignore_index, weight, label_smoothing)
        if statistics not in ("batch", "ema") or scale not in ("std", "mad"):
            raise ValueError(f"ZErrorLoss: statistics = {statistics!r}, scale = {scale!r} — expected batch or ema, and std or mad")
        if per_class and (n_classes is None or task != "classification"):
            raise ValueError("ZErrorLoss: per_class — expected task='classification' and n_classes")
        if not threshold > 0:
            raise ValueError(f"ZErrorLoss: threshold = {threshold} — expected a number of sigmas above 0; inf keeps every row")
        self.threshold, self.warmup, self.anneal, self.sync, self.per_class = float(threshold), warmup, anneal, sync, per_class
        self.settings = ZErrorConfig(z_stats=statistics, z_scale=scale)
        self.both_sides = task == "regression" if both_sides is None else both_sides
        n_groups = int(n_classes or 1) if per_class else 1
        for name, value in (("centre", 0.0), ("spread", 1.0), ("seen", 0.0)):
            self.register_buffer(name, torch.full((1, n_groups), value))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.keep: Tensor | None = None
        self.last: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def z(self) -> Tensor:
        """z-score of each row of the last batch [sigma]."""
        if self.last is None:
            raise RuntimeError("ZErrorLoss: no batch yet — expected a call before z is read")
        error, centre, spread = self.last
        return (error - centre) / torch.where(spread > MIN_SCALE, spread, torch.inf)

    @property
    def mask_frequency(self) -> Tensor:
        """Share of the last batch's rows that were masked, ()."""
        if self.keep is None:
            raise RuntimeError("ZErrorLoss: no batch yet — expected a call before mask_frequency is read")
        return (~self.keep).float().mean()

    def forward(self, output: Tensor, target: Tensor, index: Tensor | None = None) -> Tensor:
        """Compute the loss of a batch.

        Args:
            output: of the model, see `task`.
            target: labels, see `task`.
            index: (B,) rows of the batch; not needed, taken so that losses that remember rows can be called alike.

        Returns:
            () with gradient; with `reduction="none"` the loss of each row, 0 where it is masked.

        Raises:
            ValueError: shapes or types that do not fit the task.
        """
        loss, error, counts = self.rows(output, target)
        with torch.no_grad():
            processes = DataParallel() if self.sync and torch.distributed.is_available() and torch.distributed.is_initialized() else SINGLE_PROCESS
            centre, spread = self.statistics_of(error, target, counts, processes)
            self.last = (error, centre, spread)
            distance = error - centre
            keep = (distance.abs() if self.both_sides else distance) <= self.current_threshold() * spread.clamp_min(MIN_SCALE)
            counted = keep if counts is None else keep & counts
            self.keep = keep
            share = counted.to(loss.dtype)
        if self.weight is not None and self.task == "classification" and not target.dtype.is_floating_point:
            # The loss has the class's weight already; the mean divides by the weights of the rows that count.
            return self.reduced_weighted(loss, counted, target, processes)
        return self.reduced(loss, share, processes)

    def statistics_of(self, error: Tensor, target: Tensor, counts: Tensor | None, processes: Any) -> tuple[Tensor, Tensor]:
        """Return center and scale of each row's group, of shapes that fit the errors, and update the running statistics in training.

        One group of a whole batch in one process, the usual case, takes few operations; all else is `statistics.standardize`.
        """
        is_usual = self.settings == USUAL and not self.per_class and self.task != "multilabel" and processes.size == 1
        if is_usual and error.numel() >= SMALL_GROUP:
            if counts is None:
                variance, mean = torch.var_mean(error)
                return mean, variance.sqrt()
            one = counts.to(error.dtype)
            n = one.sum()
            mean = torch.dot(error, one) / n.clamp_min(1)
            distance = (error - mean) * one
            return mean, torch.dot(distance, distance).div((n - 1).clamp_min(1)).sqrt()
        if self.task == "multilabel":
            # A label is what a member is in the tool's own training.
            errors, group, weight = error.T, None, None
            running = self.running(error) if self.seen.shape[0] == error.shape[1] else Statistics.new(error.shape[1], 1, error.device)
        else:
            errors, running = error.reshape(1, -1), self.running(error)
            group = target.reshape(1, -1).clamp_min(0) if self.per_class else None
            weight = None if counts is None else counts.reshape(1, -1).to(errors.dtype)
        errors = errors if errors.dtype == torch.float64 else errors.float()
        used, updated = statistics_used(errors, group, weight, running, self.settings, processes)
        if self.training:
            self.centre, self.spread, self.seen = (part.to(torch.float32) for part in updated)
        centre, spread = (part if group is None else part.gather(1, group) for part in (used.centre, torch.where(used.weight > 1, used.scale, 0.0)))
        return (
            (centre.T, spread.T)
            if self.task == "multilabel"
            else (centre.reshape(-1) if group is not None else centre[0], spread.reshape(-1) if group is not None else spread[0])
        )

    def running(self, error: Tensor) -> Statistics:
        """Return the running statistics in the type of the errors."""
        kind = torch.float64 if error.dtype == torch.float64 else torch.float32
        return Statistics(self.centre.to(kind), self.spread.to(kind), self.seen.to(kind))

    def current_threshold(self) -> Any:
        """Return tau of this step, and count it in training: infinite in the warm-up, then annealed linearly from 4."""
        if not (self.warmup or self.anneal) or math.isinf(self.threshold):
            return self.threshold
        step = self.steps - self.warmup
        if self.training:
            self.steps = self.steps + 1
        part = (step / max(1, self.anneal)).clamp(0, 1) if self.anneal else torch.ones((), device=step.device)
        start = max(4.0, self.threshold)
        return torch.where(step < 0, torch.inf, start + (self.threshold - start) * part)

    def reduced_weighted(self, loss: Tensor, counted: Tensor, target: Tensor, processes: Any) -> Tensor:
        """Reduce row losses that have class weights, as `F.cross_entropy` does."""
        if self.reduction != "mean":
            return self.reduced(loss, counted.to(loss.dtype), processes)
        assert self.weight is not None  # crack: narrows types only
        total = processes.summed((self.weight[target.clamp_min(0)] * counted).sum()[None])[0] / processes.size
        return (loss * counted).sum() / total.clamp_min(1e-12)

    def extra_repr(self) -> str:
        """Describe the settings."""
        return f"threshold={self.threshold}, task={self.task!r}, statistics={self.settings.z_stats!r}, scale={self.settings.z_scale!r}"


class RememberingLoss(RowLoss):
    """What the losses have in common that remember each row, and therefore need its index: those of the tool's own training, for one model.

    The state of the loss is in buffers.
    """

    steps: Tensor
    make: Callable[[Any, int, int, torch.device], Any]
    """Makes the loss."""

    def __init__(
        self, n_rows: int, total_steps: int, config: Any, task: Task, base: str, ignore_index: int, weight: Tensor | None, label_smoothing: float
    ) -> None:  # fmt: skip
        """Check and keep the settings; see `DiscrimLoss`."""
        super().__init__(task, base, "mean", ignore_index, weight, label_smoothing)
        name = type(self).__name__
        if n_rows < 1 or total_steps < 1 or task == "multilabel":
            raise ValueError(f"{name}: n_rows = {n_rows}, total_steps = {total_steps}, task = {task!r} — expected 1 or more, and no multi-label task")
        self.n_rows, self.total_steps, self.config = n_rows, total_steps, config
        self.core = type(self).make(config, 1, n_rows, torch.device("cpu"))
        for key, value in self.core.state().items():
            self.register_buffer(key, value)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, output: Tensor, target: Tensor, index: Tensor | None = None) -> Tensor:
        """Compute the loss of a batch; see `ZErrorLoss.forward`.

        Raises:
            ValueError: no index, or one out of range.
        """
        index = checked_index(index, output.shape[0], self.n_rows, type(self).__name__).to(output.device, torch.int64)
        loss, _, counts = self.rows(output, target)
        # Buffers are moved and restored by torch; the loss reads and writes them.
        for key in self.core.state():
            setattr(self.core, key, getattr(self, key))
        weight = torch.ones_like(loss) if counts is None else counts.to(loss.dtype)
        progress = min(1.0 - 1e-9, int(self.steps) / self.total_steps)
        whole = output if output.ndim == 2 else torch.stack([torch.zeros_like(output), output], 1)
        value: Tensor = self.core(loss[None], index[None], weight.detach()[None], progress, whole[None])
        for key, state in self.core.state().items():
            setattr(self, key, state)
        self.steps = self.steps + 1
        return value


class DiscrimLoss(RememberingLoss):
    """DiscrimLoss: separates easy rows from difficult ones first, then hard rows from wrong ones. It remembers each row, so it needs their index.

        criterion = zcurate.nn.DiscrimLoss(n_rows=len(dataset), total_steps=epochs * len(loader))
        loss = criterion(model(x), y, index)

    Args:
        n_rows: N.
        total_steps: of the run, by which the stages go.
        config: its settings; None for those released for CIFAR-10.
        task: as for `ZErrorLoss`, but no multi-label.
        base: as for `ZErrorLoss`.
        ignore_index: class whose rows are left out.
        weight: as for `ZErrorLoss`.
        label_smoothing: as for `ZErrorLoss`.

    Raises:
        ValueError: an unknown setting.

    Source: arXiv:2208.09884.
    """

    make = staticmethod(discrim.make_loss)

    def __init__(
        self, n_rows: int, total_steps: int, config: DiscrimConfig | None = None, *, task: Task = "classification", base: str = "mse",
        ignore_index: int = -100, weight: Tensor | None = None, label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(n_rows, total_steps, config or DiscrimConfig(), task, base, ignore_index, weight, label_smoothing)


class ExponentiatedGradientLoss(RememberingLoss):
    """Weighted loss whose row weights fall by exponentiated gradient: a row that keeps a high loss counts less and less.

        criterion = zcurate.nn.ExponentiatedGradientLoss(n_rows=len(dataset))
        loss = criterion(model(x), y, index)

    `log_weight` (1, N) are the logarithms of the weights. Settings as for `DiscrimLoss`.

    Source: arXiv:2104.01493.
    """

    make = staticmethod(exponentiated.make_loss)

    def __init__(
        self, n_rows: int, config: ExponentiatedConfig | None = None, *, task: Task = "classification", base: str = "mse",
        ignore_index: int = -100, weight: Tensor | None = None, label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(n_rows, 1, config or ExponentiatedConfig(), task, base, ignore_index, weight, label_smoothing)


class DenoisingLoss(RememberingLoss):
    """On-the-fly denoising: after a warm-up, rows whose loss is like that of a random label are left out for good (`left_out`, (1, N)).

        criterion = zcurate.nn.DenoisingLoss(n_rows=len(dataset), total_steps=epochs * len(loader))
        loss = criterion(model(x), y, index)

    Settings as for `DiscrimLoss`; classes, or one logit.

    Source: arXiv:2003.10647.
    """

    make = staticmethod(denoising.make_loss)

    def __init__(
        self, n_rows: int, total_steps: int, config: DenoisingConfig | None = None, *, task: Task = "classification",
        ignore_index: int = -100, weight: Tensor | None = None, label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        if task not in ("classification", "binary"):
            raise ValueError(f"DenoisingLoss: task = {task!r} — expected classification or binary, which have random labels")
        super().__init__(n_rows, total_steps, config or DenoisingConfig(), task, "mse", ignore_index, weight, label_smoothing)


def checked_index(index: Tensor | None, n: int, n_rows: int, place: str) -> Tensor:
    """Return the index of a batch, or refuse it; on a GPU a row out of range is told later, by an assertion that nobody waits for.

    Args:
        index: (B,) rows.
        n: rows of the batch.
        n_rows: N.
        place: what error messages begin with.

    Raises:
        ValueError: none, another length or type, or a row out of range.
    """
    if index is None:
        raise ValueError(f"{place}: no index — expected ({n},) positions of the rows in the whole data set — let the data set return each row's index")
    if index.ndim != 1 or len(index) != n or index.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{place}: index of shape {tuple(index.shape)} and type {index.dtype} — expected ({n},) whole numbers, one for each row of the batch")
    if index.is_cuda:
        torch._assert_async(((index >= 0) & (index < n_rows)).all(), f"{place}: an index is out of range, expected 0 to {n_rows - 1}")
    elif n > 0:
        low, high = (int(value) for value in index.aminmax())
        if low < 0 or high >= n_rows:
            raise ValueError(f"{place}: index from {low} to {high} — expected 0 to {n_rows - 1}: the position of each row in the whole data set")
    return index
