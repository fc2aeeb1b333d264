"""A forked copy of the process that trains or judges beside it (Linux, CPU)."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from zcurate.runtime import memory
from zcurate.runtime.process_group import SingleProcess

if TYPE_CHECKING:
    pass

PR_SET_PDEATHSIG = 1
"""Linux's name for prctl: be killed when the parent is gone."""


class ForkedMember(SingleProcess):
    """This process or its copy: each trains every other member, and both write into one record, at rows of their own."""

    n_member_groups = 2

    def __init__(self, member_group: int) -> None:
        """One of the two.

        Args:
            member_group: 0 for the process itself, 1 for its copy.
        """
        self.member_group = member_group


@contextmanager
def forked(wanted: bool) -> Iterator[SingleProcess]:
    """Go on in two processes; only the first comes out at the end, when the other is done. What both are to see lies in `shared_zeros`.

    Members in threads of one process wait for each other's Python at every operation, a quarter of their time; a copy of the process costs
    some milliseconds. Its memory is this one's until either writes to it. No other thread may be at work in a library meanwhile: a lock that it
    holds would never open in the copy.

    Args:
        wanted: False to go on alone.

    Raises:
        BaseException: what the copy ended with.
    """
    import torch

    if not wanted:
        yield SingleProcess()
        return
    sys.stdout.flush()
    sys.stderr.flush()
    mine, (told, here), threads = os.getpid(), os.pipe(), torch.get_num_threads()
    # The helpers that OpenMP keeps for this thread are not in a copy of it.
    torch.set_num_threads(1)
    memory.trim()
    with warnings.catch_warnings():
        # Python warns of any fork beside threads; the caller sees to it that none of them holds a lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(told)
        lost, twin = True, ForkedMember(1)
        try:
            die_with_parent(mine)
            yield twin
            send_result(here, None, twin.word)
            lost = False
        except BaseException as error:
            send_result(here, error if isinstance(error, KeyboardInterrupt | MemoryError) else RuntimeError("".join(traceback.format_exception(error))), None)
        finally:
            os._exit(int(lost))
    os.close(here)
    twin = ForkedMember(0)
    try:
        yield twin
        with os.fdopen(told, "rb") as file:
            words = file.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        torch.set_num_threads(threads)
    _, status = os.waitpid(child, 0)
    if not words:
        raise MemoryError(f"a copy of the process was ended by signal {os.WTERMSIG(status)}")
    wrong, twin.word = pickle.loads(words)
    if wrong is not None:
        raise wrong


def send_result(where: int, error: BaseException | None, word: Any) -> None:
    """Say how it went.

    Args:
        where: pipe.
        error: what went wrong, or None.
        word: something small.
    """
    with suppress(OSError), os.fdopen(where, "wb") as file:
        pickle.dump((error, word), file)


def can_fork() -> bool:
    """Whether a copy of this process can go on training: Linux's fork, no GPU, whose threads do not come along."""
    import torch

    return sys.platform == "linux" and not torch.cuda.is_available()


def die_with_parent(parent: int) -> None:
    """Have the system end this process when its parent is gone.

    Args:
        parent: its number.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
