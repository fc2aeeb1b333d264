"""The Z-Error loss: standardise the row errors of a batch, leave the outliers out of the gradient.

Leaves: `Scored`. Enters: logits or predictions, labels, running statistics (returned anew, never kept here). Pure tensor functions;
the gradient is written out, so that a batch costs some small operations and none of them twice.
Source: arXiv:2506.02154 (G. Godin, 2025); classification as z of the given label's log-odds within the rows of its class.
Known limits (a group of n rows cannot exceed |z| = (n-1)/sqrt(n); far outliers blind mean and std at 20 %) are why small groups
use running statistics and why median and MAD are on offer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from zcurate.config.model_config import ZErrorConfig
from zcurate.runtime.process_group import SingleProcess
from zcurate.training.losses.plain import PlainLoss
from zcurate.training.losses.statistics import SINGLE_PROCESS, Statistics, standardize
from zcurate.training.losses.terms import loss_gradient, row_losses


class LossOutput(NamedTuple):
    """What the loss says of a batch."""

    loss: Tensor
    """() float32: sum over the members of the mean loss of the rows kept; carries `gradient` to an output that asks for it."""
    gradient: Tensor
    """(K, B, C) float32: derivative of the loss by the output."""
    error: Tensor
    """(K, B) float32, high = bad (regression: signed)."""
    z: Tensor
    """(K, B) float32 [sigma], signed."""
    keep: Tensor
    """(K, B) bool: the row contributes to the gradient."""
    margin: Tensor | None = None
    """(K, B) float32: logit of the given class minus the best other (regression: minus the absolute standardised error); None of two
    classes, where it is minus the error."""
    sieve: Tensor | None = None
    """(K, B) float32: CORES score, cross-entropy of the given class minus its mean over the classes (regression: zero); None of two classes,
    where it is half the error."""

    @property
    def rows(self) -> list[Tensor]:
        """What is said of each row."""
        return [part for part in self[2:] if part is not None]

    @property
    def curves(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """z, error, margin and sieve."""
        margin = -self.error if self.margin is None else self.margin
        return self.z, self.error, margin, self.error / 2 if self.sieve is None else self.sieve

    def room(self, n: int) -> LossOutput:
        """The same of n rows, to be filled batch by batch."""
        return LossOutput(self.loss.detach(), self.gradient, *(part.new_empty(part.shape[0], n) for part in self.rows))

    def put(self, begin: int, batch: LossOutput) -> None:
        """Take in a batch.

        Args:
            begin: place of its first row.
            batch: (K, B).
        """
        for whole, part in zip(self.rows, batch.rows, strict=True):
            whole[:, begin : begin + part.shape[1]] = part

    def first(self, n: int) -> LossOutput:
        """The first n rows."""
        return LossOutput(self.loss, self.gradient, *(part[:, :n] for part in self.rows))


class WithGradient(torch.autograd.Function):
    """A loss whose gradient by the output is known already. Handing that to `Tensor.backward` instead would import sympy, .4 s."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        """The loss, ().

        Args:
            ctx: keeps the gradient.
            output: (K, B, C).
            loss: ().
            gradient: (K, B, C) derivative of the loss by the output.
        """
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        """The gradient kept, times what comes from above."""
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None


def mean_weights(keep: Tensor, weight: Tensor | None, processes: SingleProcess = SINGLE_PROCESS) -> Tensor:
    """(K, B) what each row counts in its member's mean loss: the same for all rows kept, 0 for the others; a member that keeps none has 0.

    Args:
        keep: (K, B) bool.
        weight: (K, B) float32, 0 for rows that are padding; None where none is.
        processes: the processes whose rows make one batch.
    """
    kept = keep if weight is None else keep * weight
    return kept / processes.summed(kept.sum(1, keepdim=True, dtype=torch.float32)).clamp_min(1e-12)


def standardized_quantity(z_on: str, loss: Tensor, error: Tensor, margin: Tensor | None) -> Tensor:
    """The quantity that is standardised, high = bad.

    Args:
        z_on: one of `Z_ON`; `logit` is the log-odds of the given label, as `error`.
        loss: (K, B).
        error: (K, B).
        margin: (K, B); None for minus the error.
    """
    if z_on == "loss":
        return loss
    if z_on == "margin" and margin is not None:
        return -margin
    if z_on == "probability":
        return torch.sigmoid(error)
    return error


def score(
    output: Tensor,
    y: Tensor,
    weight: Tensor | None,
    running: Statistics,
    settings: ZErrorConfig,
    threshold: float | Tensor,
    readmit: Tensor | None = None,
    processes: SingleProcess = SINGLE_PROCESS,
) -> tuple[LossOutput, Statistics]:
    """The Z-Error loss of one batch for all members.

    Args:
        output: (K, B, C) logits, or (K, B, 2) location and log scale for float targets.
        y: (K, B) int64 shown classes or float32 shown targets.
        weight: (K, B) float32, 0 for padding; None where there is none.
        running: (K, G) statistics so far; G = C per class, 1 otherwise.
        settings: how z is taken.
        threshold: tau of this step [sigma]; a tensor (1,) where it changes under a recorded step.
        readmit: (K, B) bool, rows to keep whatever their z; None for none.
        processes: the processes whose rows make one batch: z, mask and the number of rows kept are the whole batch's.

    Returns:
        Scored, and the statistics after this batch. With `threshold=inf` the loss is the plain mean.

    Source: arXiv:2506.02154.
    """
    regression = y.dtype.is_floating_point
    per_class = settings.z_per == "class" and not regression
    group = y if per_class else None
    with torch.no_grad():
        fixed = output.detach()
        loss, error, margin, sieve = row_losses(fixed, y)
        z, updated = standardize(standardized_quantity(settings.z_on, loss, error, margin), group, weight, running, settings, processes)
        both = settings.z_side == "both" or (regression and settings.z_on in ("error", "logit"))
        keep = (z.abs() if both else z) <= threshold
        if readmit is not None:
            keep.logical_or_(readmit)
        share = mean_weights(keep, weight, processes)
        value, gradient = (share * loss).sum(), loss_gradient(fixed, y, error).mul_(share[..., None])
    if output.requires_grad:
        value = WithGradient.apply(output, value, gradient)  # type: ignore[no-untyped-call]
    return LossOutput(value, gradient, error, z, keep, margin, sieve), updated


class ZErrorLoss(PlainLoss):
    """Threshold of the Z-Error loss; it has no state of its own."""

    def __init__(self, config: ZErrorConfig) -> None:
        self.config = config

    def z_threshold(self, progress: float) -> float:
        """Return the annealed threshold [sigma] at `progress` in [0, 1) of the run."""
        return self.config.threshold(progress)


def make_loss(config: ZErrorConfig, n_members: int, n_rows: int, device: torch.device) -> ZErrorLoss:
    """Create the loss; its running statistics are kept by the members, for every loss alike."""
    return ZErrorLoss(config)
