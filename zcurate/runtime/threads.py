"""Thread helpers: maps over cores, background calls, prefetching."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from zcurate.runtime import environment

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
MIN_THREADED_ROWS = 50_000
"""From this many rows on independent columns are worked on side by side."""


def run_in_threads(jobs: Sequence[Callable[[], T]], n_rows: int) -> list[T]:
    """What each job returns, in their order; on a thread for each core where there are many rows: numpy and Arrow let others run meanwhile.

    Args:
        jobs: independent of one another.
        n_rows: that each works on.
    """
    n_threads = min(len(jobs), environment.cpu_count())
    if n_threads < 2 or n_rows < MIN_THREADED_ROWS:
        return [job() for job in jobs]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(n_threads) as pool:
        return [each.result() for each in [pool.submit(job) for job in jobs]]


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made on another thread while the one before it is used.

    Args:
        items: not None.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item
            del item


def background(work: Callable[[], T]) -> Callable[[], T]:
    """Begin some work on another thread; the function returned waits for it, and raises what it raised."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> T:
        thread.join()
        for error in failed:
            raise error
        return found[0]

    return result


@contextmanager
def thread_map(
    n_jobs: int, device: torch.device, small: bool = False, twins: bool = False
) -> Iterator[Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]]:
    """A `map` whose calls run side by side on CPU threads, each with its share of the cores; one after another where that gains nothing.

    Two single-threaded members finish sooner than two members with two threads each: nothing waits at the end of every product, and a busy
    neighbour slows one thread down and not all.

    Args:
        n_jobs: calls at a time, at most.
        device: where the tensors are.
        small: the products of one call are too small to be shared out: one core does them sooner.
        twins: another process works beside this one and takes half of the cores. The calls are made on a new thread: OpenMP's helpers of the
            thread that the process was copied on are not in the copy.
    """
    import torch

    threads = torch.get_num_threads()
    n = 2 if twins else min(n_jobs, threads) if device.type == "cpu" else 1
    try:
        if n <= 1:
            torch.set_num_threads(1 if small and device.type == "cpu" else threads)
            yield map
            return
        with ThreadPoolExecutor(1 if twins else n, initializer=torch.set_num_threads, initargs=((environment.cpu_count() if twins else threads) // n,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


@contextmanager
def background_executor(n_jobs: int = 1) -> Iterator[Callable[..., Future[Any]]]:
    """A function that starts a call on another thread, on one core.

    Args:
        n_jobs: calls at a time; the others wait for their turn.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(n_jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.submit
    finally:
        torch.set_num_threads(threads)
