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

N_SHARDS, MIN_SHARDED_ROWS = 8, 4096
"""Virtual shards, equal runs of rows, that every batch is drawn from evenly; one where there are fewer rows. How many processes hold them
does not change what a batch is made of."""
SEGMENT_ROWS, SEGMENT_BYTES, BLOCK_ROWS = 524_288, 64_000_000, 16_384
"""Rows in files are visited segment by segment: how many rows and bytes of inputs at most, in blocks of neighbouring rows drawn at random."""
LEADING_ROWS = 200_000
"""Rows in files, which lie in a random order, that errors are planted in and hard cases made of: the first ones."""


@dataclass(frozen=True)
class EpochOrder:
    """One epoch's visits, shard by shard; each batch takes its part of every shard."""

    shards: tuple[Visits, ...]
    """Those of this process, in row order."""
    n_visits: int
    """Per member, in the shards of all processes."""

    def batched(self, size: int) -> tuple[Visits, list[int]]:
        """The visits batch after batch, and where each batch begins and the last one ends.

        Args:
            size: of a batch, per member and in all processes, at most; all are as large, but for one row per shard.
        """
        n_batches = max(1, ceil(self.n_visits / size))
        sizes = np.array([[n // n_batches + (at < n % n_batches) for at in range(n_batches)] for n in (one.ids.shape[1] for one in self.shards)])
        edges = np.concatenate([[0], np.cumsum(sizes.sum(0))])
        # Where the visits of a shard in a batch go, less where they come from.
        shift = edges[:-1] + np.cumsum(sizes, 0) - np.cumsum(sizes, 1)
        parts: list[list[Tensor]] = [[] for _ in range(3)]
        percentiles = []
        for one, moved, n in zip(self.shards, shift, sizes, strict=True):
            here = one.ids.device
            ways = torch.from_numpy(moved).to(here).repeat_interleave(torch.from_numpy(n).to(here), output_size=one.ids.shape[1])
            percentiles.append(ways + torch.arange(one.ids.shape[1], device=here))
            for held, part in zip(parts, one, strict=True):
                held += [] if part is None else [part]
        place = torch.cat(percentiles)
        ids, weight, readmit = (torch.empty_like(whole := torch.cat(held, 1)).index_copy_(1, place, whole) if held else None for held in parts)
        assert ids is not None and weight is not None  # crack: narrows types only
        return Visits(ids, weight, readmit), edges.tolist()


class Visits(NamedTuple):
    """Rows in the order in which the members visit them."""

    ids: Tensor
    """(K, n) int64 rows."""
    weight: Tensor
    """(K, n) float32, 0 for padding."""
    readmit: Tensor | None
    """(K, n) bool, visits that are not masked whatever their z; None for none."""

    def first(self, n: int) -> Visits:
        """The first n visits."""
        return Visits(self.ids[:, :n], self.weight[:, :n], None if self.readmit is None else self.readmit[:, :n])

    def cut(self, sizes: list[int]) -> Iterator[Visits]:
        """Batch after batch.

        Args:
            sizes: of each.
        """
        ids, weight = (part.split(sizes, 1) for part in self[:2])
        return map(Visits, ids, weight, itertools.repeat(None) if self.readmit is None else self.readmit.split(sizes, 1))

    def n_full(self) -> int:
        """How many of the first visits are no padding for any member."""
        padded = torch.nonzero((self.weight == 0).any(0))
        return int(padded[0]) if len(padded) else self.weight.shape[1]


def run_lengths(edges: list[int]) -> list[int]:
    """How long the runs are between neighbouring edges."""
    return [end - begin for begin, end in itertools.pairwise(edges)]


def draw_visits(chosen: Tensor, generator: torch.Generator, readmit: float = 0.0) -> Visits:
    """Shuffle each member's rows; members with fewer rows are padded with rows of weight 0.

    Args:
        chosen: (K, N) bool, rows that each member visits.
        generator: on the device of `chosen`.
        readmit: probability that a visit is let in whatever its z.
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
    return Visits(ids, weight, torch.rand(ids.shape, generator=generator, device=ids.device) < readmit if readmit else None)


def virtual_shards(n_rows: int) -> list[slice]:
    """The virtual shards: equal runs of rows.

    Args:
        n_rows: N.
    """
    n = N_SHARDS if n_rows >= MIN_SHARDED_ROWS else 1
    return [slice(n_rows * at // n, n_rows * (at + 1) // n) for at in range(n)]


def n_segments(encoded: EncodedRows) -> int:
    """How many segments an epoch's visits come in: one where the rows are in memory."""
    if encoded.store is None and encoded.mapped is None:
        return 1
    a_row = sum(part[:1].nbytes for part in (encoded.x, encoded.dense, encoded.codes, encoded.images) if part is not None)
    return max(1, ceil(encoded.n_rows / max(4 * BLOCK_ROWS, min(SEGMENT_ROWS, SEGMENT_BYTES // max(1, a_row)))))


def segment_blocks(n_rows: int, part: int, n_parts: int, generator: torch.Generator) -> Tensor:
    """(B,) int64, rising: the blocks of neighbouring rows of one segment of an epoch, drawn at random, as many in each.

    Args:
        n_rows: N.
        part: which one, 0-based.
        n_parts: segments.
        generator: the same for all segments of an epoch.
    """
    return torch.randperm(ceil(n_rows / BLOCK_ROWS), generator=generator, device=generator.device).tensor_split(n_parts)[part].sort().values


def rows_of_blocks(blocks: Tensor, shard: slice) -> Tensor:
    """(n,) int64, rising: the rows of some blocks that lie in a shard.

    Args:
        blocks: (B,) int64, rising.
        shard: a run of rows.
    """
    runs = [range(max(at * BLOCK_ROWS, shard.start), min((at + 1) * BLOCK_ROWS, shard.stop)) for at in blocks.tolist()]
    return torch.cat([torch.arange(run.start, max(run.start, run.stop), device=blocks.device) for run in runs])


def row_order_batches(chosen: Tensor, at_once: int) -> list[tuple[Tensor, Tensor]]:
    """Each member's rows in row order, (K, b) with their weights, padded as in `visits`.

    Args:
        chosen: (K, N) bool.
        at_once: rows of a batch at most.
    """
    if len(chosen) == 1:
        ids = torch.nonzero(chosen[0])[:, 0][None]
        weight = torch.ones(ids.shape, device=ids.device)
    else:
        ids = (~chosen).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(chosen.sum(1).max())]
        weight = chosen.gather(1, ids).float()
    n_batches = max(1, ceil(ids.shape[1] / at_once))
    return list(zip(ids.tensor_split(n_batches, 1), weight.tensor_split(n_batches, 1), strict=True))
