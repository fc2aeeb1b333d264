"""Communication between the processes that train one scan together, over torch.distributed as `torchrun` sets it up.

Rows belong to virtual shards, runs of rows whose number does not depend on the number of processes. Each process holds neighboring shards, or, where
the input is sharded, the shards that it read itself. A `SingleProcess` communicates with no other process and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from zcurate.runtime import environment
from zcurate.runtime.connection import connect, disconnect, needs_all

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class ProcessGroup(Protocol):
    """The processes that read one input together."""

    rank: int
    """Of this process, 0-based."""
    size: int
    """Number of processes."""

    def gathered(self, thing: Any) -> list[Any]:
        """Gather a small object from every process, in order of rank."""

    def gather_arrays(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the array of every process, in order of rank."""


class WorkerDone(Exception):
    """Raised in worker ranks once rank 0 no longer needs them."""


def leave_if_worker(is_last: bool) -> None:
    """End worker ranks when no other work follows; rank 0 takes over their cores.

    Args:
        is_last: no other work follows. In a user's own program each process goes on and gets the report, and in a trial another scan follows.

    Raises:
        WorkerDone: this is a worker rank.
    """
    if not is_last or environment.world_size() == 1:
        return
    if environment.rank() > 0:
        raise WorkerDone
    environment.claim_cpus()


class SingleProcess:
    """A process that trains alone; the interface of every process group."""

    rank, size = 0, 1
    """Among the processes that share a member's rows."""
    member_group, n_member_groups = 0, 1
    """Among the groups of processes that share the members of a round."""
    is_sharded = False
    """Each process holds only the rows that it read itself; otherwise every process holds all rows."""
    is_forked = False
    """This process and a forked copy of it train together."""

    def own_shards(self, n_shards: int) -> range:
        """The virtual shards of this process.

        Args:
            n_shards: of all processes, or, where the input is sharded, of this one.
        """
        return range(n_shards * self.rank // self.size, n_shards * (self.rank + 1) // self.size)

    def trains_group(self, number: int) -> bool:
        """Whether this process takes part in training a group of members.

        Args:
            number: of the group, 0-based.
        """
        return number % self.n_member_groups == self.member_group

    def summed(self, x: Tensor) -> Tensor:
        """Sum a tensor over the processes that share a member's rows."""
        return x

    def stacked(self, x: Tensor) -> Tensor:
        """Stack the tensors of the P processes that share a member's rows, (P, *shape), in order of rank.

        Args:
            x: of the same shape in every process.
        """
        return x[None]

    def reduce_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Sum the gradients over the processes that share a member's rows, in place."""

    def merge_records(self, x: Tensor, dim: int, take_max: bool = False) -> Tensor:
        """Merge what all processes recorded: concatenate rows, sum over members.

        Args:
            x: this process's record.
            dim: the dimension of rows; -1 where every process has all of them.
            take_max: take the maximum over members instead of the sum.
        """
        return x

    def broadcast_flag(self, value: bool) -> bool:
        """The value in rank 0."""
        return value

    def gathered(self, thing: Any) -> list[Any]:
        """Gather a small object from every process, in order of rank."""
        return [thing]

    def gather_arrays(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the array of every process, in order of rank."""
        yield x

    def leave(self) -> None:
        """Leave the process group when the work is done."""


class DistributedGroup(SingleProcess):
    """One of several processes, all of which call the same methods in the same order.

    Members are distributed first, since they need no communication; where there are more processes than members, each member's rows are
    distributed over a group of processes.
    """

    def __init__(self, device: torch.device, n_members: int) -> None:
        """Share the work with the connected processes; connect to them first where that has not been done.

        Args:
            device: of the tensors.
            n_members: of a round.
        """
        from torch import distributed

        self.distributed, self.device = distributed, device
        if not distributed.is_initialized():
            connect(device, {})
        n_processes = distributed.get_world_size()
        self.n_member_groups = n_member_groups(n_processes, n_members)
        self.size = n_processes // self.n_member_groups
        self.member_group, self.rank = divmod(distributed.get_rank(), self.size)
        rows = [distributed.new_group(list(range(at * self.size, (at + 1) * self.size))) for at in range(self.n_member_groups)]
        across = [distributed.new_group(list(range(at, n_processes, self.size))) for at in range(self.size)]
        self.rows, self.across = rows[self.member_group], across[self.rank]

    @needs_all
    def summed(self, x: Tensor) -> Tensor:
        """Sum a tensor over the processes that share a member's rows."""
        if self.size == 1:
            return x
        out = x.clone()
        self.distributed.all_reduce(out, group=self.rows)
        return out

    @needs_all
    def stacked(self, x: Tensor) -> Tensor:
        """Stack the tensors of the P processes that share a member's rows, (P, *shape), in order of rank.

        Args:
            x: of the same shape in every process.
        """
        import torch

        out = [torch.empty_like(x) for _ in range(self.size)]
        self.distributed.all_gather(out, x.contiguous(), group=self.rows)
        return torch.stack(out)

    @needs_all
    def reduce_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Sum the gradients over the processes that share a member's rows, in place, in one message."""
        import torch

        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self.distributed.all_reduce(flat, group=self.rows)
        for gradient, total in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))

    @needs_all
    def merge_records(self, x: Tensor, dim: int, take_max: bool = False) -> Tensor:
        """Merge what all processes recorded: concatenate rows, of which they may have different numbers; sum over members.

        Args:
            x: this process's record.
            dim: the dimension of rows; -1 where every process has all of them.
            take_max: take the maximum over members instead of the sum.
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
            operations = self.distributed.ReduceOp
            self.distributed.all_reduce(x, operations.MAX if take_max else operations.SUM, group=self.across)
        return x

    @needs_all
    def broadcast_flag(self, value: bool) -> bool:
        """The value in rank 0."""
        import torch

        flag = torch.tensor([value], dtype=torch.uint8, device=self.device)
        self.distributed.broadcast(flag, 0)
        return bool(flag[0])

    @needs_all
    def gathered(self, thing: Any) -> list[Any]:
        """Gather a small object from every process, in order of rank."""
        out: list[Any] = [None] * self.distributed.get_world_size()
        self.distributed.all_gather_object(out, thing)
        return out

    def gather_arrays(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the array of every process, in order of rank; arrays may differ in length."""
        import torch

        own_rank = self.distributed.get_rank()
        for rank, (n, dtype) in enumerate(self.gathered((len(x), x.dtype.str))):
            buffer = torch.from_numpy(np.ascontiguousarray(x) if rank == own_rank else np.empty(n, dtype)).to(self.device)
            self.broadcast(buffer, rank)
            yield buffer.cpu().numpy()

    @needs_all
    def broadcast(self, x: Tensor, rank: int) -> None:
        """Fill a tensor with that of one process.

        Args:
            x: of the same shape in every process.
            rank: of that process.
        """
        self.distributed.broadcast(x, rank)

    def leave(self) -> None:
        """Leave the process group once every process has arrived here."""
        disconnect()


class ShardedGroup(DistributedGroup):
    """One of several processes, each of which read its own part of the input; every batch of a member takes rows of all processes."""

    is_sharded = True

    def __init__(self, device: torch.device) -> None:
        """Share the work with the connected processes.

        Args:
            device: of the tensors.
        """
        super().__init__(device, 1)

    def own_shards(self, n_shards: int) -> range:
        """All shards of the rows that this process read."""
        return range(n_shards)

    def merge_records(self, x: Tensor, dim: int, take_max: bool = False) -> Tensor:
        """This process's own record, which stays with its rows."""
        return x


def n_member_groups(n_processes: int, n_members: int) -> int:
    """Number of equally large groups of processes that share the members: at most one per member, and a divisor of the number of processes."""
    return max(n for n in range(1, min(n_members, n_processes) + 1) if n_processes % n == 0)
