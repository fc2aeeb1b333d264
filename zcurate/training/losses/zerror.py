"""The Z-Error loss: standardize the row errors of a batch and mask the outliers from the gradient.

Pure tensor functions; running statistics are passed in and returned. The gradient is written out, so that a batch costs few small
operations and repeats none of them.
A group of n rows cannot exceed |z| = (n - 1) / sqrt(n), therefore small groups use running statistics; 20 % of far outliers inflate mean
and standard deviation so much that none exceeds the threshold, therefore median and MAD are available.
Source: arXiv:2506.02154 (G. Godin, 2025); for classification, z of the log-odds against the given label among the rows of its class.
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
    """Loss, gradient and per-row diagnostics of a batch."""

    loss: Tensor
    """() float32: sum over the members of the mean loss of the rows kept; passes `gradient` to an output that requires it."""
    gradient: Tensor
    """(K, B, C) float32: gradient of the loss with respect to the output."""
    error: Tensor
    """(K, B) float32, high = bad (regression: signed)."""
    z: Tensor
    """(K, B) float32 [sigma], signed."""
    keep: Tensor
    """(K, B) bool: the row contributes to the gradient."""
    margin: Tensor | None = None
    """(K, B) float32: logit of the given class minus the best other (regression: minus the absolute standardized error); None for two
    classes, where it is minus the error."""
    sieve: Tensor | None = None
    """(K, B) float32: CORES score, cross-entropy of the given class minus its mean over the classes (regression: zero); None for two
    classes, where it is half the error."""

    @property
    def per_row(self) -> list[Tensor]:
        """The (K, B) fields that are not None."""
        return [part for part in self[2:] if part is not None]

    @property
    def curves(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """z, error, margin and CORES score, (K, B) each."""
        margin = -self.error if self.margin is None else self.margin
        return self.z, self.error, margin, self.error / 2 if self.sieve is None else self.sieve

    def allocate(self, n: int) -> LossOutput:
        """Create an output whose per-row fields have `n` uninitialized columns, to be filled with `write`."""
        return LossOutput(self.loss.detach(), self.gradient, *(part.new_empty(part.shape[0], n) for part in self.per_row))

    def write(self, begin: int, batch: LossOutput) -> None:
        """Copy the per-row fields of a batch into this output.

        Args:
            begin: column of the batch's first row.
            batch: (K, B).
        """
        for destination, part in zip(self.per_row, batch.per_row, strict=True):
            destination[:, begin : begin + part.shape[1]] = part

    def head(self, n: int) -> LossOutput:
        """Return the first n columns of the per-row fields."""
        return LossOutput(self.loss, self.gradient, *(part[:, :n] for part in self.per_row))


class WithGradient(torch.autograd.Function):
    """Attach a known gradient to a loss; passing it to `Tensor.backward` instead would import sympy."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        """Return the loss, ().

        Args:
            ctx: autograd context, stores the gradient.
            output: (K, B, C).
            loss: ().
            gradient: (K, B, C) gradient of the loss with respect to the output.
        """
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        """Multiply the stored gradient by the upstream gradient."""
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None


def mean_weights(keep: Tensor, weight: Tensor | None, processes: SingleProcess = SINGLE_PROCESS) -> Tensor:
    """Compute the weight of each row in its member's mean loss.

    Args:
        keep: (K, B) bool.
        weight: (K, B) float32, 0 for padding; None if there is no padding.
        processes: the processes whose rows form one batch.

    Returns:
        (K, B) float32: equal for all rows kept, 0 for the others; all 0 for a member that keeps no row.
    """
    kept = keep if weight is None else keep * weight
    return kept / processes.summed(kept.sum(1, keepdim=True, dtype=torch.float32)).clamp_min(1e-12)


def standardized_quantity(z_on: str, loss: Tensor, error: Tensor, margin: Tensor | None) -> Tensor:
    """Select the quantity to standardize, high = bad.

    Args:
        z_on: one of `Z_ON`; `logit` is the log-odds against the given label, the same as `error`.
        loss: (K, B).
        error: (K, B).
        margin: (K, B); None where it is minus the error.
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
    unmask: Tensor | None = None,
    processes: SingleProcess = SINGLE_PROCESS,
) -> tuple[LossOutput, Statistics]:
    """Compute the Z-Error loss of one batch for all members.

    Args:
        output: (K, B, C) logits, or (K, B, 2) location and log scale for float targets.
        y: (K, B) int64 training labels or float32 standardized training targets.
        weight: (K, B) float32, 0 for padding; None if there is no padding.
        running: (K, G) statistics so far; G = C per class, 1 otherwise.
        settings: how z is computed.
        threshold: tau of this step [sigma]; a tensor (1,) in a step captured as a CUDA graph, where it changes between replays.
        unmask: (K, B) bool, rows to keep whatever their z; None for none.
        processes: the processes whose rows form one batch: z, mask and the number of rows kept refer to the whole batch.

    Returns:
        The loss output and the statistics after this batch. With `threshold=inf` the loss is the plain mean.

    Source: arXiv:2506.02154.
    """
    regression = y.dtype.is_floating_point
    per_class = settings.z_per == "class" and not regression
    group = y if per_class else None
    with torch.no_grad():
        detached = output.detach()
        loss, error, margin, sieve = row_losses(detached, y)
        z, updated = standardize(standardized_quantity(settings.z_on, loss, error, margin), group, weight, running, settings, processes)
        both_sides = settings.z_side == "both" or (regression and settings.z_on in ("error", "logit"))
        keep = (z.abs() if both_sides else z) <= threshold
        if unmask is not None:
            keep.logical_or_(unmask)
        row_weight = mean_weights(keep, weight, processes)
        value, gradient = (row_weight * loss).sum(), loss_gradient(detached, y, error).mul_(row_weight[..., None])
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
