"""A forked copy of the process that trains or judges in parallel with it (Linux, CPU)."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

from zcurate.errors import ProcessError
from zcurate.runtime import interrupts, memory
from zcurate.runtime.process_group import SingleProcess

T = TypeVar("T")

PR_SET_PDEATHSIG = 1
"""Linux's name for prctl: be killed when the parent is gone."""


class ForkedMember(SingleProcess):
    """This process or its forked copy: each trains every other member, and both write into one record, at rows of their own."""

    n_member_groups = 2
    is_forked = True

    def __init__(self, member_group: int) -> None:
        """One of the two.

        Args:
            member_group: 0 for the process itself, 1 for its copy.
        """
        self.member_group = member_group


def run_forked(work: Callable[[ForkedMember], T]) -> tuple[T, T]:
    """Run a function in this process and in a forked copy of it at the same time.

    Members in threads of one process wait for each other's Python at every operation; a copy of the process costs some milliseconds, and its
    memory is this one's until either writes to it. What both write to must be in a `SharedStore` or a `MemoryMappedStore`. No other thread may
    be running library code meanwhile: a lock that it has taken would never be released in the copy.

    Args:
        work: called with `ForkedMember(0)` in this process and `ForkedMember(1)` in the copy, where its result must be small and picklable.

    Returns:
        Its results in this process and in the copy.

    Raises:
        BaseException: what `work` raised in this process, or in the copy (as RuntimeError with its traceback).
        ProcessError: the copy was ended by a signal.
    """
    import torch

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    n_threads = torch.get_num_threads()
    # OpenMP's helper threads of this thread are not in a copy of it.
    torch.set_num_threads(1)
    memory.trim()
    child = context.Process(target=run_child, args=(work, receiver, sender, os.getpid()), daemon=True)
    with warnings.catch_warnings(), interrupts.held_back():
        # Python warns of every fork of a process with threads; the caller makes sure that none of them has taken a lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    sender.close()
    try:
        own = work(ForkedMember(0))
        error, other = receiver.recv()
    except EOFError:
        child.join()
        raise lost_copy(child.exitcode or 0) from None
    except BaseException:
        child.kill()
        raise
    finally:
        torch.set_num_threads(n_threads)
        child.join()
        receiver.close()
    if error is not None:
        raise error
    return own, other


def run_child(work: Callable[[ForkedMember], T], receiver: Connection, sender: Connection, parent: int) -> None:
    """Run `work` in the forked copy and send what came of it.

    Args:
        work: as for `run_forked`.
        receiver: the parent's end of the pipe.
        sender: takes (error or None, result).
        parent: process number of the parent.
    """
    receiver.close()
    interrupts.leave_to_parent()
    die_with_parent(parent)
    result: T | None = None
    error: BaseException | None = None
    try:
        result = work(ForkedMember(1))
    except (KeyboardInterrupt, MemoryError) as raised:
        error = type(raised)(*raised.args)
    except BaseException as raised:
        error = RuntimeError("".join(traceback.format_exception(raised)))
    try:
        sender.send((error, result))
    except OSError:
        # The parent is gone, or no longer listens.
        os._exit(1)


def can_fork() -> bool:
    """Whether a copy of this process can go on computing: Linux's fork, no GPU, whose threads are not copied."""
    import torch

    return sys.platform == "linux" and not torch.cuda.is_available()


def lost_copy(code: int) -> ProcessError:
    """Make the error for a forked copy that is gone.

    Args:
        code: its exit code; negative is the signal that ended it.
    """
    is_killed = code == -signal.SIGKILL
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    why = ", as the system does when memory runs out" if is_killed else ""
    what = f"a copy of the process, which shares its work, was ended {how}{why}"
    cure = "scan again with less memory in use" if is_killed else "scan again"
    return ProcessError(f"{what} — expected it to finish its part — {cure}", -code if code < 0 else signal.SIGKILL)


def die_with_parent(parent: int) -> None:
    """Have this process end when its parent is gone, however the parent ended.

    Args:
        parent: its process number.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=watch_parent, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def watch_parent(parent: int) -> None:
    """End this process within a second of its parent's end, where the system does not do so."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
