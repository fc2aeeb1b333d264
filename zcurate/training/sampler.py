"""The order in which rows are visited: shards, segments, batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zcurate.encoding.encoded import EncodedRows
from zcurate.runtime import device
from zcurate.runtime.process_group import SingleProcess

N_SHARDS, MIN_SHARDED_ROWS = 8, 4096
"""Virtual shards, equal runs of rows, that every batch is drawn from evenly; one where there are fewer rows. The number of processes
does not change the composition of a batch."""
LEADING_ROWS = 200_000
"""In a memory-mapped store, whose rows are in a random order, errors are planted in this many leading rows and hard examples made of them."""


@dataclass(frozen=True)
class EpochOrder:
    """One epoch's visits, shard by shard; each batch takes its part of every shard."""

    shards: tuple[Visits, ...]
    """Those of this process, in row order."""
    n_visits: int
    """Per member, in the shards of all processes."""

    def batched(self, size: int) -> tuple[Visits, list[int]]:
        """Arrange the visits batch by batch.

        Args:
            size: of a batch, per member and in all processes, at most; batches differ by at most one row per shard.

        Returns:
            The visits in the order of the batches, and the position where each batch begins, with the end of the last one.
        """
        n_batches = max(1, ceil(self.n_visits / size))
        sizes = np.array([[n // n_batches + (at < n % n_batches) for at in range(n_batches)] for n in (one.ids.shape[1] for one in self.shards)])
        edges = np.concatenate([[0], np.cumsum(sizes.sum(0))])
        # Position of a shard's visits in a batch, minus their position in the shard.
        shift = edges[:-1] + np.cumsum(sizes, 0) - np.cumsum(sizes, 1)
        fields: list[list[Tensor]] = [[] for _ in range(3)]
        positions = []
        for shard, shard_shift, n in zip(self.shards, shift, sizes, strict=True):
            on = shard.ids.device
            moved = torch.from_numpy(shard_shift).to(on).repeat_interleave(torch.from_numpy(n).to(on), output_size=shard.ids.shape[1])
            positions.append(moved + torch.arange(shard.ids.shape[1], device=on))
            for field, part in zip(fields, shard, strict=True):
                field += [] if part is None else [part]
        position = torch.cat(positions)
        ids, weight, unmasked = (torch.empty_like(whole := torch.cat(field, 1)).index_copy_(1, position, whole) if field else None for field in fields)
        assert ids is not None and weight is not None  # crack: narrows types only
        return Visits(ids, weight, unmasked), edges.tolist()


class Visits(NamedTuple):
    """Rows in the order in which the members visit them."""

    ids: Tensor
    """(K, n) int64 rows."""
    weight: Tensor
    """(K, n) float32, 0 for padding."""
    unmasked: Tensor | None
    """(K, n) bool, visits that are kept whatever their z; None for none."""

    def first(self, n: int) -> Visits:
        """The first n visits."""
        return Visits(self.ids[:, :n], self.weight[:, :n], None if self.unmasked is None else self.unmasked[:, :n])

    def split(self, sizes: list[int]) -> Iterator[Visits]:
        """Split into batches of these sizes."""
        ids, weight = (part.split(sizes, 1) for part in self[:2])
        return map(Visits, ids, weight, itertools.repeat(None) if self.unmasked is None else self.unmasked.split(sizes, 1))

    def n_full(self) -> int:
        """Count the leading visits that are no padding for any member."""
        padded = torch.nonzero((self.weight == 0).any(0))
        return int(padded[0]) if len(padded) else self.weight.shape[1]


class Sampler:
    """Draws the visits of a member group's epochs, which depend on the seeds, the epoch, the segment and the virtual shard alone."""

    def __init__(self, encoded: EncodedRows, processes: SingleProcess, n_segments: int, seeds: tuple[int, ...]) -> None:
        """A sampler of one member group.

        Args:
            encoded: N rows.
            processes: the processes that share the rows.
            n_segments: that an epoch is cut into, the same in all processes.
            seeds: of every draw.
        """
        self.processes, self.n_segments, self.seeds = processes, n_segments, seeds
        self.block_rows = encoded.block_sizes.segment_block_rows

    def epoch_order(self, epoch: int, chosen: Tensor, unmask_probability: float = 0.0, segment: int = 0) -> EpochOrder:
        """Draw the visits of an epoch, or of one segment of it.

        Args:
            epoch: 0-based.
            chosen: (K, N) bool, rows that each member visits.
            unmask_probability: with which a visit is kept whatever its z.
            segment: which one, where there are several.
        """
        blocks = None
        if self.n_segments > 1:
            generator = device.generator(chosen.device, *self.seeds, epoch, -1)
            blocks = segment_blocks(ceil(chosen.shape[1] / self.block_rows), segment, self.n_segments, generator)
        shards, n_visits = [], 0
        every = virtual_shards(chosen.shape[1])
        local = self.processes.own_shards(len(every))
        for number, shard in enumerate(every):
            rows = None if blocks is None else rows_of_blocks(blocks, self.block_rows, shard)
            in_shard = chosen[:, shard] if rows is None else chosen[:, rows]
            if number in local:
                generator = device.generator(chosen.device, *self.seeds, epoch, number + N_SHARDS * segment)
                drawn = draw_visits(in_shard, generator, unmask_probability)
                shards.append(drawn._replace(ids=drawn.ids + shard.start if rows is None else rows[drawn.ids]))
                n_visits += drawn.ids.shape[1]
            else:
                n_visits += int(in_shard.sum(1).max())
        if self.processes.is_sharded:
            n_visits = sum(self.processes.gathered(n_visits))
        return EpochOrder(tuple(shards), n_visits)


def run_lengths(edges: list[int]) -> list[int]:
    """Lengths of the runs between neighboring edges."""
    return [end - begin for begin, end in itertools.pairwise(edges)]


def draw_visits(chosen: Tensor, generator: torch.Generator, unmask_probability: float = 0.0) -> Visits:
    """Shuffle each member's rows; members with fewer rows are padded with rows of weight 0.

    Args:
        chosen: (K, N) bool, rows that each member visits.
        generator: on the device of `chosen`.
        unmask_probability: with which a visit is kept whatever its z.
    """
    if len(chosen) == 1:
        rows = torch.nonzero(chosen[0])[:, 0]
        ids = rows[torch.randperm(len(rows), generator=generator, device=chosen.device)][None]
        weight = torch.ones(ids.shape, device=chosen.device)
    else:
        n = int(chosen.sum(1).max())
        draw = torch.rand(chosen.shape, generator=generator, device=chosen.device)
        ids = torch.where(chosen, draw, 2.0).argsort(1)[:, :n]
        weight = chosen.gather(1, ids).float()
    unmasked = torch.rand(ids.shape, generator=generator, device=ids.device) < unmask_probability if unmask_probability else None
    return Visits(ids, weight, unmasked)


def virtual_shards(n_rows: int) -> list[slice]:
    """The virtual shards: equal runs of N rows."""
    n = N_SHARDS if n_rows >= MIN_SHARDED_ROWS else 1
    return [slice(n_rows * at // n, n_rows * (at + 1) // n) for at in range(n)]


def local_rows(n_rows: int, processes: SingleProcess) -> slice:
    """The rows of this process: all, or those of its virtual shards, which are contiguous.

    Args:
        n_rows: N.
        processes: the processes that share them.
    """
    shards = virtual_shards(n_rows)
    local = processes.own_shards(len(shards))
    return slice(shards[local.start].start, shards[local.stop - 1].stop)


def n_segments(encoded: EncodedRows) -> int:
    """Number of segments that an epoch is cut into: one where all rows are resident."""
    if encoded.store.resident and encoded.image_store.resident:
        return 1
    sizes = encoded.block_sizes
    row_bytes = sum(part[:1].nbytes for part in (encoded.x, encoded.dense, encoded.codes, encoded.images) if part is not None)
    return max(1, ceil(encoded.n_rows / max(4 * sizes.segment_block_rows, min(sizes.segment_rows, sizes.segment_bytes // max(1, row_bytes)))))


def segment_blocks(n_blocks: int, segment: int, n_segments: int, generator: torch.Generator) -> Tensor:
    """Draw the blocks of neighboring rows of one segment of an epoch, as many for each segment.

    Args:
        n_blocks: blocks in all.
        segment: which one, 0-based.
        n_segments: segments.
        generator: in the same state for all segments of an epoch.

    Returns:
        (B,) int64 numbers of blocks, ascending.
    """
    return torch.randperm(n_blocks, generator=generator, device=generator.device).tensor_split(n_segments)[segment].sort().values


def rows_of_blocks(blocks: Tensor, block_rows: int, shard: slice) -> Tensor:
    """(n,) int64 rows of some blocks within a shard, ascending.

    Args:
        blocks: (B,) int64 numbers of blocks, ascending.
        block_rows: rows of a block.
        shard: a run of rows.
    """
    runs = [range(max(at * block_rows, shard.start), min((at + 1) * block_rows, shard.stop)) for at in blocks.tolist()]
    return torch.cat([torch.arange(run.start, max(run.start, run.stop), device=blocks.device) for run in runs])


def row_order_batches(chosen: Tensor, batch_rows: int) -> list[tuple[Tensor, Tensor]]:
    """Batches of each member's rows in row order.

    Args:
        chosen: (K, N) bool.
        batch_rows: rows of a batch at most.

    Returns:
        Pairs of (K, b) int64 rows and (K, b) float32 weights, 0 for padding.
    """
    if len(chosen) == 1:
        ids = torch.nonzero(chosen[0])[:, 0][None]
        weight = torch.ones(ids.shape, device=ids.device)
    else:
        ids = (~chosen).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(chosen.sum(1).max())]
        weight = chosen.gather(1, ids).float()
    n_batches = max(1, ceil(ids.shape[1] / batch_rows))
    return list(zip(ids.tensor_split(n_batches, 1), weight.tensor_split(n_batches, 1), strict=True))
