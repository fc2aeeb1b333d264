"""The connection between the processes that `torchrun` started: how they meet, agree on their work, and notice that one of them is gone."""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from zcurate.errors import ProcessError, UsageError
from zcurate.runtime import environment

if TYPE_CHECKING:
    import torch

P = ParamSpec("P")
R = TypeVar("R")
CONNECTIONS = itertools.count()
"""Numbers the connections of this process, the same way in all processes."""
TIMEOUT = datetime.timedelta(minutes=30)
"""Longest wait for another process, which may still be reading."""


def needs_all(method: Callable[P, R]) -> Callable[P, R]:
    """Make a method that talks to the other processes say that one of them is gone.

    Raises:
        ProcessError: another process has ended, or does not answer within `TIMEOUT`.
    """

    @functools.wraps(method)
    def call(*arguments: P.args, **settings: P.kwargs) -> R:
        from torch import distributed

        try:
            return method(*arguments, **settings)
        except RuntimeError as error:
            # Its subclasses are other errors, such as one for a lack of memory.
            if type(error) is not RuntimeError and not isinstance(error, distributed.DistError):
                raise
            raise ProcessError(
                f"torchrun: another process is gone or does not answer ({first_words(error)}) — expected all of them to stay until the end — "
                "see what it printed, then start again"
            ) from error

    return call


def first_words(error: Exception) -> str:
    """The first sentence of a library's message, without the place in its source."""
    line = str(error).strip().partition("\n")[0]
    return (line.rpartition("] ")[2] if line.startswith("[") else line).partition(". ")[0][:120]


@functools.cache
def meeting_place() -> Any:
    """The store where the processes find each other, which lasts as long as this process: scans after one another must not meet in a closing one.

    Raises:
        RuntimeError, ValueError: there is none at `MASTER_ADDR` and `MASTER_PORT`.
    """
    from torch.distributed.rendezvous import rendezvous

    return next(rendezvous("env://", timeout=TIMEOUT))[0]


def connect(device: torch.device, facts: dict[str, Any]) -> None:
    """Connect to the other processes that `torchrun` started, and make sure that all do the same work.

    Args:
        device: of the tensors.
        facts: what must be equal in all processes, by name, such as the number of rows.

    Raises:
        UsageError: the processes do not find each other, or one of them reads other data; the same error in all processes.
        ProcessError: another process has ended.
    """
    from torch import distributed

    try:
        distributed.init_process_group(
            # Objects and flags travel without the GPU, whose library would be set up for them.
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            timeout=TIMEOUT,
            store=distributed.distributed_c10d.PrefixStore(f"zcurate-{next(CONNECTIONS)}", meeting_place()),
            rank=environment.rank(),
            world_size=environment.world_size(),
        )
    except (RuntimeError, ValueError) as error:
        place = f"{environment.world_size()} processes do not find each other ({first_words(error)})"
        raise UsageError(f"torchrun: {place} — expected all of them at MASTER_ADDR and MASTER_PORT — start again, or with another --master-port") from error
    agree(facts)


@needs_all
def agree(facts: dict[str, Any]) -> None:
    """Refuse processes that do not do the same work.

    Args:
        facts: as for `connect`.

    Raises:
        UsageError: names the first rank that differs from rank 0, and in what.
    """
    from torch import distributed

    found: list[dict[str, Any]] = [{}] * distributed.get_world_size()
    distributed.all_gather_object(found, facts)
    for rank, other in enumerate(found):
        name = next((name for name in [*found[0], *other] if found[0].get(name) != other.get(name)), None)
        if name is not None:
            first, second = (str(one.get(name))[:60] for one in (found[0], other))
            what = f"rank {rank} has {name} {second}, rank 0 has {first}"
            raise UsageError(f"torchrun: {what} — expected the same data and options in all processes — name one input that all of them can read")


@needs_all
def disconnect() -> None:
    """Part from the other processes once all have arrived here."""
    from torch import distributed

    distributed.barrier()
    distributed.destroy_process_group()
