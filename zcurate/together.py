"""Several processes training the same members on their own rows: what they tell one another, and nothing else.

Leaves: `Alone`, `Crowd`. Enters: torch.distributed, as `torchrun` sets it up. Rows belong to virtual shards, runs of rows whose number does
not depend on the processes; each process holds neighbouring shards. One process is `Alone` and pays nothing.
"""

from __future__ import annotations

import datetime
import os

import torch
from torch import Tensor, nn

PATIENCE = datetime.timedelta(minutes=30)
"""How long a process waits for the others: one may still be reading."""


class Alone:
    """One process."""

    rank, size = 0, 1

    def mine(self, n_shards: int) -> range:
        """The virtual shards of this process.

        Args:
            n_shards: in all.
        """
        return range(n_shards * self.rank // self.size, n_shards * (self.rank + 1) // self.size)

    def summed(self, x: Tensor) -> Tensor:
        """The sum over all processes, of the same shape."""
        return x

    def stacked(self, x: Tensor) -> Tensor:
        """(P, *shape): the tensors of all processes, in order of their ranks.

        Args:
            x: of the same shape everywhere.
        """
        return x[None]

    def reduce(self, parameters: list[nn.Parameter]) -> None:
        """Add the gradients of all processes, in place."""

    def joined(self, x: Tensor, dim: int) -> Tensor:
        """All processes' rows one after another.

        Args:
            x: this process's part.
            dim: in which rows are counted.
        """
        return x

    def agreed(self, value: bool) -> bool:
        """What the first process says."""
        return value

    def leave(self) -> None:
        """The work is done."""


class Crowd(Alone):
    """One of several processes; all of them call the same methods in the same order."""

    def __init__(self, device: torch.device) -> None:
        """Meet the others.

        Args:
            device: where the tensors are.
        """
        from torch import distributed

        self.group = distributed
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.device = device

    def summed(self, x: Tensor) -> Tensor:
        """The sum over all processes, of the same shape."""
        out = x.clone()
        self.group.all_reduce(out)
        return out

    def stacked(self, x: Tensor) -> Tensor:
        """(P, *shape): the tensors of all processes, in order of their ranks.

        Args:
            x: of the same shape everywhere.
        """
        out = [torch.empty_like(x) for _ in range(self.size)]
        self.group.all_gather(out, x.contiguous())
        return torch.stack(out)

    def reduce(self, parameters: list[nn.Parameter]) -> None:
        """Add the gradients of all processes, in place: one message for all of them."""
        found = [one.grad for one in parameters if one.grad is not None]
        flat = torch.cat([one.reshape(-1) for one in found])
        self.group.all_reduce(flat)
        for one, part in zip(found, flat.split([one.numel() for one in found]), strict=True):
            one.copy_(part.view_as(one))

    def joined(self, x: Tensor, dim: int) -> Tensor:
        """All processes' rows one after another; parts may differ in length.

        Args:
            x: this process's part.
            dim: in which rows are counted.
        """
        rows = x.movedim(dim, 0).contiguous()
        sizes = self.stacked(torch.tensor([len(rows)], device=self.device))[:, 0]
        longest = int(sizes.max())
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = self.stacked(padded)
        return torch.cat([part[: int(n)] for part, n in zip(parts, sizes, strict=True)]).movedim(0, dim).contiguous()

    def agreed(self, value: bool) -> bool:
        """What the first process says."""
        told = torch.tensor([value], dtype=torch.uint8, device=self.device)
        self.group.broadcast(told, 0)
        return bool(told[0])

    def leave(self) -> None:
        """The work is done; nobody goes before all are here."""
        self.group.barrier()
        self.group.destroy_process_group()


def join(device: torch.device) -> Alone:
    """The processes that `torchrun` started, or this one alone.

    Args:
        device: where the tensors are.
    """
    return Crowd(device) if processes() > 1 else Alone()


def processes() -> int:
    """How many processes `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def rank() -> int:
    """Which of them this is; 0 without `torchrun`."""
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0
