"""The Z-Error loss: standardise the row errors of a batch, leave the outliers out of the gradient.

Leaves: `Scored`. Enters: logits or predictions, labels, running statistics (returned anew, never kept here). Pure tensor functions;
the gradient is written out, so that a batch costs some small operations and none of them twice.
Source: arXiv:2506.02154 (G. Godin, 2025); classification as z of the given label's log-odds within the rows of its class.
Known limits (a group of n rows cannot exceed |z| = (n-1)/sqrt(n); far outliers blind mean and std at 20 %) are why small groups
use running statistics and why median and MAD are on offer.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.config.model_config import ZSettings
from zcurate.runtime.process_group import Alone

ALONE = Alone()

SMALL_GROUP = 6
"""A group of fewer rows cannot exceed 2 sigmas (Samuelson's bound), so it borrows the running statistics."""
EQUAL = 1e-5
"""A spread up to this is rounding among equal errors."""
MAD_TO_STD = 1.4826


class Statistics(NamedTuple):
    """Centre and scale of each group's errors, per member."""

    centre: Tensor
    """(K, G) float32."""
    scale: Tensor
    """(K, G) float32, > 0."""
    weight: Tensor
    """(K, G) float32, how much has been seen; 0 = nothing yet."""

    @staticmethod
    def new(n_members: int, n_groups: int, device: torch.device) -> Statistics:
        """Statistics of nothing."""
        zeros = torch.zeros(n_members, n_groups, device=device)
        return Statistics(zeros, zeros + 1, zeros.clone())


def gathered(so_far: Statistics, batch: Statistics) -> Statistics:
    """Mean centre and scale of all batches so far, each counted by its rows.

    Args:
        so_far: (K, G).
        batch: (K, G) of one more batch.
    """
    weight = so_far.weight + batch.weight
    share = batch.weight / weight.clamp_min(1e-12)
    centre = so_far.centre + share * (batch.centre - so_far.centre)
    return Statistics(centre, so_far.scale + share * (batch.scale - so_far.scale), weight)


class Scored(NamedTuple):
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

    def room(self, n: int) -> Scored:
        """The same of n rows, to be filled batch by batch."""
        return Scored(self.loss.detach(), self.gradient, *(part.new_empty(part.shape[0], n) for part in self.rows))

    def put(self, begin: int, batch: Scored) -> None:
        """Take in a batch.

        Args:
            begin: place of its first row.
            batch: (K, B).
        """
        for whole, part in zip(self.rows, batch.rows, strict=True):
            whole[:, begin : begin + part.shape[1]] = part

    def first(self, n: int) -> Scored:
        """The first n rows."""
        return Scored(self.loss, self.gradient, *(part[:, :n] for part in self.rows))


def class_terms(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Row losses, errors, margins and CORES scores of a classification batch; of two classes the last two are None, as `Scored` has them.

    Args:
        logits: (K, B, C) float32.
        y: (K, B) int64 shown classes.

    Returns:
        loss (K, B) = -log p_y; error (K, B) = log(1 - p_y) - log p_y, high = bad; margin (K, B) = f_y - max_{k != y} f_k;
        sieve (K, B) = CE_y - mean_k CE_k (arXiv:2010.02347), high = bad.
    """
    if logits.shape[2] == 2:
        first, second = logits.unbind(2)
        error = (first - second).mul_(signs(y))
        return F.softplus(error), error, None, None
    own = logits.gather(2, y[..., None]).squeeze(2)
    others = logits.scatter(2, y[..., None], float("-inf"))
    error = others.logsumexp(2) - own
    return F.softplus(error), error, own - others.amax(2), logits.mean(2) - own


def signs(y: Tensor) -> Tensor:
    """(K, B) float32: -1 for the first of two classes, 1 for the second.

    Args:
        y: (K, B) int64.
    """
    return (2.0 * y).sub_(1)


def class_slope(logits: Tensor, y: Tensor, error: Tensor) -> Tensor:
    """(K, B, C) derivative of each row's cross-entropy by its logits: p - 1[y].

    Args:
        logits: (K, B, C) float32.
        y: (K, B) int64.
        error: (K, B) float32, as `class_terms` has it.
    """
    if logits.shape[2] == 2:
        other = error.sigmoid().mul_(signs(y))
        return torch.stack([other, -other], 2)
    slope = logits.softmax(2)
    return slope.scatter_add_(2, y[..., None], torch.full_like(slope[..., :1], -1.0))


def target_terms(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row losses, errors, margins and zeros of a regression batch: a Laplace distribution with a learned scale.

    Args:
        output: (K, B, 2) float32, location and log scale [standardised target].
        y: (K, B) float32 shown targets, standardised.

    Returns:
        loss (K, B) = |y - location| / scale + log scale; error (K, B) = y - location, signed; margin (K, B) = -|error| / scale.
    """
    location, log_scale = output[..., 0], output[..., 1].clamp(-4.0, 3.0)
    error = y - location
    spread = error.abs() * torch.exp(-log_scale)
    return spread + log_scale, error, -spread, torch.zeros_like(spread)


def target_slope(output: Tensor, y: Tensor, error: Tensor) -> Tensor:
    """(K, B, 2) derivative of each row's Laplace loss by location and log scale; beyond the scale's bounds it does not move.

    Args:
        output: (K, B, 2) float32.
        y: (K, B) float32.
        error: (K, B) float32, as `target_terms` has it.
    """
    log_scale = output[..., 1].clamp(-4.0, 3.0)
    inverse = torch.exp(-log_scale)
    inside = output[..., 1] == log_scale
    return torch.stack([-error.sign() * inverse, inside * (1 - error.abs() * inverse)], 2)


def terms(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """`target_terms` of float targets, `class_terms` of classes."""
    return (target_terms if y.dtype.is_floating_point else class_terms)(output, y)


def slope(output: Tensor, y: Tensor, error: Tensor) -> Tensor:
    """`target_slope` of float targets, `class_slope` of classes."""
    return (target_slope if y.dtype.is_floating_point else class_slope)(output, y, error)


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


def standardise(
    error: Tensor, group: Tensor | None, weight: Tensor | None, running: Statistics, settings: ZSettings, crowd: Alone = ALONE
) -> tuple[Tensor, Statistics]:
    """z-scores of the row errors within their group, and the running statistics after this batch. No gradient passes.

    Args:
        error: (K, B) float32.
        group: (K, B) int64 in [0, G); None = all rows are one group.
        weight: (K, B) float32, 0 for rows that must not count; None where all do.
        running: (K, G) statistics so far.
        settings: `z_stats`, `z_scale`.
        crowd: the processes whose rows make one batch.

    Returns:
        z (K, B) float32 [sigma]; 0 where the group's errors are all equal or nothing is known yet. And the statistics after this
        batch; with `z_stats = "epoch"` this batch's alone, which the loop gathers over the epoch for the next one.
    """
    error = error.detach()
    if weight is None and (group is not None or settings.z_scale == "mad"):
        weight = torch.ones_like(error)
    spread = spread_about_median if settings.z_scale == "mad" else spread_about_mean
    batch = spread_of_all(error) if weight is None else spread(error, group, weight, running.centre.shape[1])
    batch = batch if crowd.size == 1 else pooled(*crowd.stacked(torch.stack(batch)).unbind(1))
    several = weight is None and crowd.size == 1 and error.shape[1] > 1
    if settings.z_stats == "epoch":
        fresh = running.weight == 0
        used = Statistics(*(torch.where(fresh, b, r) for b, r in zip(batch, running, strict=True)))
        return scaled(error, group, used, several), batch
    # All of the first batch, then a tenth of each.
    rate = (1 - running.weight).clamp_(0.1, 1.0)
    rate = rate if several else rate * (batch.weight > 1)
    updated = Statistics(running.centre.lerp(batch.centre, rate), running.scale.lerp(batch.scale, rate), running.weight + batch.weight)
    if settings.z_stats == "batch":
        enough = batch.weight >= SMALL_GROUP
        used = Statistics(*(torch.where(enough, b, u) for b, u in zip(batch, updated, strict=True)))
        return scaled(error, group, used, several), updated
    return scaled(error, group, updated, several), updated


def pooled(centre: Tensor, scale: Tensor, weight: Tensor) -> Statistics:
    """Mean and deviation of all processes' rows from those of each, exactly (Chan, Golub & LeVeque 1983, eq. 2.1), in the order of the ranks.

    Args:
        centre: (P, K, G) means.
        scale: (P, K, G) standard deviations (n - 1).
        weight: (P, K, G) rows.
    """
    n, total = weight.double(), weight.double().sum(0)
    mean = (n * centre).sum(0) / total.clamp_min(1)
    squares = ((n - 1).clamp_min(0) * scale.double() ** 2 + n * (centre - mean) ** 2).sum(0)
    return Statistics(mean.float(), (squares / (total - 1).clamp_min(1)).sqrt().float(), total.float())


def scaled(error: Tensor, group: Tensor | None, statistics: Statistics, several: bool) -> Tensor:
    """(error - centre) / scale of the row's group; 0 where the scale is 0 or unknown.

    Args:
        error: (K, B) float32.
        group: (K, B) int64, or None for one group.
        statistics: (K, G).
        several: they are known to be of more than one row.
    """
    centre, scale, weight = statistics if group is None else (part.gather(1, group) for part in statistics)
    scale = scale if several else torch.where(weight > 1, scale, 0.0)
    return (error - centre).div_(F.threshold(scale, EQUAL, math.inf))


def spread_of_all(error: Tensor) -> Statistics:
    """Mean and standard deviation (n - 1) of each member's batch, all of its rows counting; of one row 0.

    Args:
        error: (K, B) float32.
    """
    variance, mean = torch.var_mean(error, 1, keepdim=True, correction=min(1, error.shape[1] - 1))
    return Statistics(mean, variance.sqrt_(), torch.full_like(mean, error.shape[1]))


def spread_about_mean(error: Tensor, group: Tensor | None, weight: Tensor, n_groups: int) -> Statistics:
    """Mean and standard deviation (n - 1) of each group of a batch.

    Args:
        error: (K, B) float32.
        group: (K, B) int64, or None for one group.
        weight: (K, B) float32.
        n_groups: G.
    """
    if group is None:
        n = weight.sum(1, keepdim=True)
        mean = (weight * error).sum(1, keepdim=True) / n.clamp_min(1)
        off = error - mean
        variance = (weight * off).mul_(off).sum(1, keepdim=True) / (n - 1).clamp_min_(1)
        return Statistics(mean, variance.sqrt_(), n)
    zeros = torch.zeros(error.shape[0], n_groups, dtype=error.dtype, device=error.device)
    n = zeros.scatter_add(1, group, weight)
    mean = zeros.scatter_add(1, group, weight * error) / n.clamp_min(1)
    deviation = weight * (error - mean.gather(1, group)) ** 2
    variance = zeros.scatter_add(1, group, deviation) / (n - 1).clamp_min(1)
    return Statistics(mean, variance.sqrt(), n)


def spread_about_median(error: Tensor, group: Tensor | None, weight: Tensor, n_groups: int) -> Statistics:
    """Median and scaled median absolute deviation of each group of a batch.

    Args:
        error: (K, B) float32.
        group: (K, B) int64.
        weight: (K, B) float32; rows of weight 0 do not count.
        n_groups: G.
    """
    if group is None:
        group = torch.zeros(error.shape, dtype=torch.int64, device=error.device)
    n = torch.zeros(error.shape[0], n_groups, dtype=error.dtype, device=error.device)
    n = n.scatter_add(1, group, (weight > 0).to(error.dtype))
    centre = group_median(error, group, weight, n)
    deviation = (error - centre.gather(1, group)).abs()
    return Statistics(centre, MAD_TO_STD * group_median(deviation, group, weight, n), n)


def group_median(value: Tensor, group: Tensor, weight: Tensor, n: Tensor) -> Tensor:
    """Lower median of each group: sort by group, then value, and pick the middle of each run.

    Args:
        value: (K, B) float32.
        group: (K, B) int64.
        weight: (K, B) float32; rows of weight 0 sort behind every group.
        n: (K, G) float32 rows per group.

    Returns:
        (K, G) float32, 0 for an empty group.
    """
    behind = torch.where(weight > 0, group, n.shape[1])
    order = value.argsort(dim=1, stable=True)
    order = order.gather(1, behind.gather(1, order).argsort(dim=1, stable=True))
    start = n.cumsum(1) - n
    middle = (start + ((n - 1).clamp_min(0) // 2)).long().clamp_max(value.shape[1] - 1)
    return torch.where(n > 0, value.gather(1, order).gather(1, middle), 0.0)


def shares(keep: Tensor, weight: Tensor | None, crowd: Alone = ALONE) -> Tensor:
    """(K, B) what each row counts in its member's mean loss: the same for all rows kept, 0 for the others; a member that keeps none has 0.

    Args:
        keep: (K, B) bool.
        weight: (K, B) float32, 0 for rows that are padding; None where none is.
        crowd: the processes whose rows make one batch.
    """
    kept = keep if weight is None else keep * weight
    return kept / crowd.summed(kept.sum(1, keepdim=True, dtype=torch.float32)).clamp_min(1e-12)


def measured(z_on: str, loss: Tensor, error: Tensor, margin: Tensor | None) -> Tensor:
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
    settings: ZSettings,
    threshold: float | Tensor,
    readmit: Tensor | None = None,
    crowd: Alone = ALONE,
) -> tuple[Scored, Statistics]:
    """The Z-Error loss of one batch for all members.

    Args:
        output: (K, B, C) logits, or (K, B, 2) location and log scale for float targets.
        y: (K, B) int64 shown classes or float32 shown targets.
        weight: (K, B) float32, 0 for padding; None where there is none.
        running: (K, G) statistics so far; G = C per class, 1 otherwise.
        settings: how z is taken.
        threshold: tau of this step [sigma]; a tensor (1,) where it changes under a recorded step.
        readmit: (K, B) bool, rows to keep whatever their z; None for none.
        crowd: the processes whose rows make one batch: z, mask and the number of rows kept are the whole batch's.

    Returns:
        Scored, and the statistics after this batch. With `threshold=inf` the loss is the plain mean.

    Source: arXiv:2506.02154.
    """
    regression = y.dtype.is_floating_point
    per_class = settings.z_per == "class" and not regression
    group = y if per_class else None
    with torch.no_grad():
        fixed = output.detach()
        loss, error, margin, sieve = terms(fixed, y)
        z, updated = standardise(measured(settings.z_on, loss, error, margin), group, weight, running, settings, crowd)
        both = settings.z_side == "both" or (regression and settings.z_on in ("error", "logit"))
        keep = (z.abs() if both else z) <= threshold
        if readmit is not None:
            keep.logical_or_(readmit)
        share = shares(keep, weight, crowd)
        value, gradient = (share * loss).sum(), slope(fixed, y, error).mul_(share[..., None])
    if output.requires_grad:
        value = WithGradient.apply(output, value, gradient)  # type: ignore[no-untyped-call]
    return Scored(value, gradient, error, z, keep, margin, sieve), updated
