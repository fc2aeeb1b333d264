"""Statistics of row errors and z-scores within their groups."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.config.model_config import ZErrorConfig
from zcurate.runtime.process_group import SingleProcess

SINGLE_PROCESS = SingleProcess()

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


def accumulate(so_far: Statistics, batch: Statistics) -> Statistics:
    """Mean centre and scale of all batches so far, each counted by its rows.

    Args:
        so_far: (K, G).
        batch: (K, G) of one more batch.
    """
    weight = so_far.weight + batch.weight
    share = batch.weight / weight.clamp_min(1e-12)
    centre = so_far.centre + share * (batch.centre - so_far.centre)
    return Statistics(centre, so_far.scale + share * (batch.scale - so_far.scale), weight)


def standardize(
    error: Tensor, group: Tensor | None, weight: Tensor | None, running: Statistics, settings: ZErrorConfig, processes: SingleProcess = SINGLE_PROCESS
) -> tuple[Tensor, Statistics]:
    """z-scores of the row errors within their group, and the running statistics after this batch. No gradient passes.

    Args:
        error: (K, B) float32.
        group: (K, B) int64 in [0, G); None = all rows are one group.
        weight: (K, B) float32, 0 for rows that must not count; None where all do.
        running: (K, G) statistics so far.
        settings: `z_stats`, `z_scale`.
        processes: the processes whose rows make one batch.

    Returns:
        z (K, B) float32 [sigma]; 0 where the group's errors are all equal or nothing is known yet. And the statistics after this
        batch; with `z_stats = "epoch"` this batch's alone, which the loop gathers over the epoch for the next one.
    """
    error = error.detach()
    if weight is None and (group is not None or settings.z_scale == "mad"):
        weight = torch.ones_like(error)
    spread = group_median_and_mad if settings.z_scale == "mad" else group_mean_and_std
    batch = mean_and_std(error) if weight is None else spread(error, group, weight, running.centre.shape[1])
    batch = batch if processes.size == 1 else pool(*processes.stacked(torch.stack(batch)).unbind(1))
    several = weight is None and processes.size == 1 and error.shape[1] > 1
    if settings.z_stats == "epoch":
        fresh = running.weight == 0
        used = Statistics(*(torch.where(fresh, b, r) for b, r in zip(batch, running, strict=True)))
        return scale_errors(error, group, used, several), batch
    # All of the first batch, then a tenth of each.
    rate = (1 - running.weight).clamp_(0.1, 1.0)
    rate = rate if several else rate * (batch.weight > 1)
    updated = Statistics(running.centre.lerp(batch.centre, rate), running.scale.lerp(batch.scale, rate), running.weight + batch.weight)
    if settings.z_stats == "batch":
        enough = batch.weight >= SMALL_GROUP
        used = Statistics(*(torch.where(enough, b, u) for b, u in zip(batch, updated, strict=True)))
        return scale_errors(error, group, used, several), updated
    return scale_errors(error, group, updated, several), updated


def pool(centre: Tensor, scale: Tensor, weight: Tensor) -> Statistics:
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


def scale_errors(error: Tensor, group: Tensor | None, statistics: Statistics, several: bool) -> Tensor:
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


def mean_and_std(error: Tensor) -> Statistics:
    """Mean and standard deviation (n - 1) of each member's batch, all of its rows counting; of one row 0.

    Args:
        error: (K, B) float32.
    """
    variance, mean = torch.var_mean(error, 1, keepdim=True, correction=min(1, error.shape[1] - 1))
    return Statistics(mean, variance.sqrt_(), torch.full_like(mean, error.shape[1]))


def group_mean_and_std(error: Tensor, group: Tensor | None, weight: Tensor, n_groups: int) -> Statistics:
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


def group_median_and_mad(error: Tensor, group: Tensor | None, weight: Tensor, n_groups: int) -> Statistics:
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


def copy_into(kept: Statistics, new: Statistics) -> None:
    """Write statistics where the old ones are.

    Args:
        kept: (K, G), written to.
        new: (K, G).
    """
    for one, value in zip(kept, new, strict=True):
        one.copy_(value)
