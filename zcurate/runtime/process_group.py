"""Several processes training the same members on their own rows: what they tell one another, and nothing else.

Leaves: `Alone`, `Twin`, `Crowd`, `Apart`. Enters: torch.distributed, as `torchrun` sets it up, or a fork. Rows belong to virtual shards, runs of
rows whose number does not depend on the processes; each process holds neighbouring shards, or where the rows lie apart those that it read itself.
One process is `Alone` and pays nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from zcurate.runtime import environment
from zcurate.runtime.environment import world_size

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class ProcessGroup(Protocol):
    """The processes that read one input together."""

    rank: int
    size: int

    def gathered(self, thing: Any) -> list[Any]:
        """What each hands in, in order of their ranks."""

    def each(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """The array of each in turn."""


class WorkerDone(Exception):
    """This process's part of a scan under `torchrun` is over: the first process goes on alone."""


def leave_if_worker(last: bool) -> None:
    """Of several processes all but the first are done, if nothing else is to come, and it takes over their cores.

    Args:
        last: nothing else is to come. In a user's own program each process goes on and gets the report, and in a trial another scan follows.

    Raises:
        Over: this is not the first.
    """
    if not last or environment.world_size() == 1:
        return
    if environment.rank() > 0:
        raise WorkerDone
    environment.claim_cpus()


TIMEOUT = datetime.timedelta(minutes=30)
"""How long a process waits for the others: one may still be reading."""


class SingleProcess:
    """One process."""

    rank, size = 0, 1
    """Among those that share a member's rows."""
    member_group, n_member_groups = 0, 1
    """Among the groups of processes that share the members."""
    apart = False
    """Each process has rows of its own, that no other knows of; else all know all rows."""
    is_forked = False
    """This process and a forked copy of it train together."""

    def mine(self, n_shards: int) -> range:
        """The virtual shards of this process.

        Args:
            n_shards: in all.
        """
        return range(n_shards * self.rank // self.size, n_shards * (self.rank + 1) // self.size)

    def trains(self, member: int) -> bool:
        """Whether this process has a part in training the member."""
        return member % self.n_member_groups == self.member_group

    def summed(self, x: Tensor) -> Tensor:
        """The sum over the processes that share a member's rows, of the same shape."""
        return x

    def stacked(self, x: Tensor) -> Tensor:
        """(P, *shape): the tensors of the processes that share a member's rows, in order of their ranks.

        Args:
            x: of the same shape everywhere.
        """
        return x[None]

    def reduce(self, parameters: list[nn.Parameter]) -> None:
        """Add the gradients of the processes that share a member's rows, in place."""

    def joined(self, x: Tensor, dim: int, largest: bool = False) -> Tensor:
        """What all processes recorded: rows one after another, members added up.

        Args:
            x: this process's part.
            dim: in which rows are counted; -1 where every process has all of them.
            largest: take the largest of the members instead of their sum.
        """
        return x

    def agreed(self, value: bool) -> bool:
        """What the first process says."""
        return value

    def gathered(self, thing: Any) -> list[Any]:
        """What each process hands in: here this one's alone."""
        return [thing]

    def each(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """The array of each process in turn: here this one's alone."""
        yield x

    def leave(self) -> None:
        """The work is done."""


class DistributedGroup(SingleProcess):
    """One of several processes; all of them call the same methods in the same order.

    Members are shared out first, for they have nothing to tell one another; where there are more processes than members, each member's
    rows are shared out among a group of them.
    """

    def __init__(self, device: torch.device, n_members: int) -> None:
        """Meet the others.

        Args:
            device: where the tensors are.
            n_members: of a round.
        """
        from torch import distributed

        self.distributed, self.device = distributed, device
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
        place, everyone = distributed.get_rank(), distributed.get_world_size()
        self.n_member_groups = n_member_groups(everyone, n_members)
        self.size = everyone // self.n_member_groups
        self.member_group, self.rank = divmod(place, self.size)
        rows = [distributed.new_group(list(range(at * self.size, (at + 1) * self.size))) for at in range(self.n_member_groups)]
        across = [distributed.new_group(list(range(at, everyone, self.size))) for at in range(self.size)]
        self.rows, self.across = rows[self.member_group], across[self.rank]

    def summed(self, x: Tensor) -> Tensor:
        """The sum over the processes that share a member's rows, of the same shape."""
        if self.size == 1:
            return x
        out = x.clone()
        self.distributed.all_reduce(out, group=self.rows)
        return out

    def stacked(self, x: Tensor) -> Tensor:
        """(P, *shape): the tensors of the processes that share a member's rows, in order of their ranks.

        Args:
            x: of the same shape everywhere.
        """
        import torch

        out = [torch.empty_like(x) for _ in range(self.size)]
        self.distributed.all_gather(out, x.contiguous(), group=self.rows)
        return torch.stack(out)

    def reduce(self, parameters: list[nn.Parameter]) -> None:
        """Add the gradients of the processes that share a member's rows, in place: one message for all of them."""
        import torch

        if self.size == 1:
            return
        found = [one.grad for one in parameters if one.grad is not None]
        flat = torch.cat([one.reshape(-1) for one in found])
        self.distributed.all_reduce(flat, group=self.rows)
        for one, part in zip(found, flat.split([one.numel() for one in found]), strict=True):
            one.copy_(part.view_as(one))

    def joined(self, x: Tensor, dim: int, largest: bool = False) -> Tensor:
        """What all processes recorded: rows one after another, members added up; parts may differ in length.

        Args:
            x: this process's part.
            dim: in which rows are counted; -1 where every process has all of them.
            largest: take the largest of the members instead of their sum.
        """
        import torch

        if dim >= 0 and self.size > 1:
            rows = x.movedim(dim, 0).contiguous()
            sizes = self.stacked(torch.tensor([len(rows)], device=self.device))[:, 0]
            padded = rows.new_zeros(int(sizes.max()), *rows.shape[1:])
            padded[: len(rows)] = rows
            x = torch.cat([part[: int(n)] for part, n in zip(self.stacked(padded), sizes, strict=True)]).movedim(0, dim).contiguous()
        if self.n_member_groups > 1:
            x = x.contiguous()
            kinds = self.distributed.ReduceOp
            self.distributed.all_reduce(x, kinds.MAX if largest else kinds.SUM, group=self.across)
        return x

    def agreed(self, value: bool) -> bool:
        """What the first process says."""
        import torch

        told = torch.tensor([value], dtype=torch.uint8, device=self.device)
        self.distributed.broadcast(told, 0)
        return bool(told[0])

    def gathered(self, thing: Any) -> list[Any]:
        """What each process hands in, in order of their ranks: small things only."""
        out: list[Any] = [None] * self.distributed.get_world_size()
        self.distributed.all_gather_object(out, thing)
        return out

    def each(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """The array of each process in turn, in order of their ranks; arrays may differ in length."""
        import torch

        here = self.distributed.get_rank()
        for rank, (n, kind) in enumerate(self.gathered((len(x), x.dtype.str))):
            mine = torch.from_numpy(np.ascontiguousarray(x)) if rank == here else torch.from_numpy(np.empty(n, kind))
            told = mine.to(self.device)
            self.distributed.broadcast(told, rank)
            yield told.cpu().numpy()

    def leave(self) -> None:
        """The work is done; nobody goes before all are here."""
        self.distributed.barrier()
        self.distributed.destroy_process_group()


class ShardedGroup(DistributedGroup):
    """One of several processes that have each read rows of their own: a member's batch is made of rows of all of them."""

    apart = True

    def __init__(self, device: torch.device) -> None:
        """Meet the others."""
        super().__init__(device, 1)

    def mine(self, n_shards: int) -> range:
        """All of this process's own shards."""
        return range(n_shards)

    def joined(self, x: Tensor, dim: int, largest: bool = False) -> Tensor:
        """This process's own part: what is recorded stays with its rows."""
        return x


def n_member_groups(n_processes: int, n_members: int) -> int:
    """How many groups of equally many processes share the members: as many as there are members, or the most below that divide evenly."""
    return max(n for n in range(1, min(n_members, n_processes) + 1) if n_processes % n == 0)


def join_group(device: torch.device, n_members: int) -> SingleProcess:
    """The processes that `torchrun` started, or this one alone.

    Args:
        device: where the tensors are.
        n_members: of a round.
    """
    return DistributedGroup(device, n_members) if world_size() > 1 else SingleProcess()


def join_sharded(device: torch.device) -> SingleProcess:
    """The same, each with rows of its own."""
    return ShardedGroup(device) if world_size() > 1 else SingleProcess()
