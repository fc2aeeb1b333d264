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
"""A group of fewer rows cannot exceed 2 sigmas (Samuelson's bound) and is standardized by the running statistics."""
MIN_SCALE = 1e-5
"""A scale up to this is rounding error among equal row errors."""
MAD_TO_STD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


class Statistics(NamedTuple):
    """Center and scale of each group's errors, per member."""

    centre: Tensor
    """(K, G) float32 mean or median."""
    scale: Tensor
    """(K, G) float32 standard deviation or scaled MAD, > 0."""
    weight: Tensor
    """(K, G) float32 total weight of the rows; 0 = no rows yet."""

    @staticmethod
    def new(n_members: int, n_groups: int, device: torch.device) -> Statistics:
        """Create empty statistics."""
        zeros = torch.zeros(n_members, n_groups, device=device)
        return Statistics(zeros, zeros + 1, zeros.clone())


def accumulate(so_far: Statistics, batch: Statistics) -> Statistics:
    """Update the row-weighted mean of center and scale over the batches with one more batch.

    Args:
        so_far: (K, G) of the batches before.
        batch: (K, G) of the new batch.
    """
    weight = so_far.weight + batch.weight
    share = batch.weight / weight.clamp_min(1e-12)
    centre = so_far.centre + share * (batch.centre - so_far.centre)
    return Statistics(centre, so_far.scale + share * (batch.scale - so_far.scale), weight)


def standardize(
    error: Tensor, group: Tensor | None, weight: Tensor | None, running: Statistics, settings: ZErrorConfig, processes: SingleProcess = SINGLE_PROCESS
) -> tuple[Tensor, Statistics]:
    """Compute z-scores of the row errors within their group and update the running statistics.

    No gradient is passed.

    Args:
        error: (K, B) float32.
        group: (K, B) int64 in [0, G); None = all rows are one group.
        weight: (K, B) float32, 0 for rows that are ignored; None to count all rows.
        running: (K, G) statistics so far.
        settings: `z_stats`, `z_scale`.
        processes: the processes whose rows form one batch.

    Returns:
        z (K, B) float32 [sigma], 0 where the group's errors are all equal or there are no statistics yet; and the statistics after this
        batch, or with `z_stats = "epoch"` those of this batch alone, which the training loop accumulates for the next epoch.
    """
    error = error.detach()
    used, updated = statistics_used(error, group, weight, running, settings, processes)
    is_full = weight is None and group is None and settings.z_scale == "std" and processes.size == 1 and error.shape[1] > 1
    return scale_errors(error, group, used, is_full), updated


def statistics_used(
    error: Tensor, group: Tensor | None, weight: Tensor | None, running: Statistics, settings: ZErrorConfig, processes: SingleProcess = SINGLE_PROCESS
) -> tuple[Statistics, Statistics]:
    """Return the statistics (K, G) by which a batch is standardized, and those after it; arguments as for `standardize`."""
    if weight is None and (group is not None or settings.z_scale == "mad"):
        weight = torch.ones_like(error)
    group_statistics = group_median_and_mad if settings.z_scale == "mad" else group_mean_and_std
    batch = mean_and_std(error) if weight is None else group_statistics(error, group, weight, running.centre.shape[1])
    batch = batch if processes.size == 1 else pool(*processes.stacked(torch.stack(batch)).unbind(1))
    is_full = weight is None and processes.size == 1 and error.shape[1] > 1
    if settings.z_stats == "epoch":
        is_empty = running.weight == 0
        return Statistics(*(torch.where(is_empty, b, r) for b, r in zip(batch, running, strict=True))), batch
    # Rate 1 for the first batch, 0.1 for later ones.
    rate = (1 - running.weight).clamp_(0.1, 1.0)
    rate = rate if is_full else rate * (batch.weight > 1)
    updated = Statistics(running.centre.lerp(batch.centre, rate), running.scale.lerp(batch.scale, rate), running.weight + batch.weight)
    if settings.z_stats == "batch":
        enough = batch.weight >= SMALL_GROUP
        return Statistics(*(torch.where(enough, b, u) for b, u in zip(batch, updated, strict=True))), updated
    return updated, updated


def pool(centre: Tensor, scale: Tensor, weight: Tensor) -> Statistics:
    """Combine mean and standard deviation of several processes exactly, in rank order.

    Args:
        centre: (P, K, G) means.
        scale: (P, K, G) standard deviations (n - 1).
        weight: (P, K, G) numbers of rows.

    Source: Chan, Golub & LeVeque 1983, eq. 2.1.
    """
    n, total = weight.double(), weight.double().sum(0)
    mean = (n * centre).sum(0) / total.clamp_min(1)
    squares = ((n - 1).clamp_min(0) * scale.double() ** 2 + n * (centre - mean) ** 2).sum(0)
    kind = centre.dtype
    return Statistics(mean.to(kind), (squares / (total - 1).clamp_min(1)).sqrt().to(kind), total.to(kind))


def scale_errors(error: Tensor, group: Tensor | None, statistics: Statistics, is_full: bool) -> Tensor:
    """Compute (error - center) / scale of the row's group; 0 where the scale is 0 or unknown.

    Args:
        error: (K, B) float32.
        group: (K, B) int64, or None for one group.
        statistics: (K, G).
        is_full: every group is known to have more than one row, which spares a check.

    Returns:
        (K, B) float32 [sigma].
    """
    centre, scale, weight = statistics if group is None else (part.gather(1, group) for part in statistics)
    scale = scale if is_full else torch.where(weight > 1, scale, 0.0)
    return (error - centre).div_(F.threshold(scale, MIN_SCALE, math.inf))


def mean_and_std(error: Tensor) -> Statistics:
    """Compute mean and standard deviation (n - 1) of each member's batch, all rows counted.

    The standard deviation of a single row is 0.

    Args:
        error: (K, B) float32.
    """
    variance, mean = torch.var_mean(error, 1, keepdim=True, correction=min(1, error.shape[1] - 1))
    return Statistics(mean, variance.sqrt_(), torch.full_like(mean, error.shape[1]))


def group_mean_and_std(error: Tensor, group: Tensor | None, weight: Tensor, n_groups: int) -> Statistics:
    """Compute mean and standard deviation (n - 1) of each group of a batch.

    Args:
        error: (K, B) float32.
        group: (K, B) int64, or None for one group.
        weight: (K, B) float32.
        n_groups: G.
    """
    if group is None:
        n = weight.sum(1, keepdim=True)
        mean = (weight * error).sum(1, keepdim=True) / n.clamp_min(1)
        deviation = error - mean
        variance = (weight * deviation).mul_(deviation).sum(1, keepdim=True) / (n - 1).clamp_min_(1)
        return Statistics(mean, variance.sqrt_(), n)
    zeros = torch.zeros(error.shape[0], n_groups, dtype=error.dtype, device=error.device)
    n = zeros.scatter_add(1, group, weight)
    mean = zeros.scatter_add(1, group, weight * error) / n.clamp_min(1)
    squared = weight * (error - mean.gather(1, group)) ** 2
    variance = zeros.scatter_add(1, group, squared) / (n - 1).clamp_min(1)
    return Statistics(mean, variance.sqrt(), n)


def group_median_and_mad(error: Tensor, group: Tensor | None, weight: Tensor, n_groups: int) -> Statistics:
    """Compute median and scaled median absolute deviation of each group of a batch.

    Args:
        error: (K, B) float32.
        group: (K, B) int64.
        weight: (K, B) float32; rows of weight 0 are ignored.
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
    """Compute the lower median of each group: sort by group, then value, and take the middle of each run.

    Args:
        value: (K, B) float32.
        group: (K, B) int64.
        weight: (K, B) float32; rows of weight 0 are sorted after all groups.
        n: (K, G) float32 rows per group.

    Returns:
        (K, G) float32, 0 for an empty group.
    """
    sort_group = torch.where(weight > 0, group, n.shape[1])
    order = value.argsort(dim=1, stable=True)
    order = order.gather(1, sort_group.gather(1, order).argsort(dim=1, stable=True))
    start = n.cumsum(1) - n
    middle = (start + ((n - 1).clamp_min(0) // 2)).long().clamp_max(value.shape[1] - 1)
    return torch.where(n > 0, value.gather(1, order).gather(1, middle), 0.0)


def copy_into(destination: Statistics, source: Statistics) -> None:
    """Overwrite statistics in place.

    Args:
        destination: (K, G), written to.
        source: (K, G).
    """
    for target, value in zip(destination, source, strict=True):
        target.copy_(value)
