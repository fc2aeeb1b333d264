"""Threads: maps over CPU cores, background calls, prefetching."""

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
"""Rows from which independent columns are processed in parallel."""


def run_in_threads(jobs: Sequence[Callable[[], T]], n_rows: int) -> list[T]:
    """Run independent jobs and return their results in order; in parallel from `MIN_THREADED_ROWS` on, as numpy and Arrow release the GIL.

    Args:
        jobs: independent of each other.
        n_rows: rows that each job processes.
    """
    n_threads = min(len(jobs), environment.cpu_count())
    if n_threads < 2 or n_rows < MIN_THREADED_ROWS:
        return [job() for job in jobs]
    with ThreadPoolExecutor(n_threads) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, computing each in another thread while the one before it is in use.

    Args:
        items: none of them is None.
    """
    with ThreadPoolExecutor(1) as producer:
        pending = producer.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = producer.submit(next, items, None)
            yield item
            del item


def background(work: Callable[[], T]) -> Callable[[], T]:
    """Start work in a background thread; return a function that waits for its result and raises what it raised."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> T:
        thread.join()
        for error in errors:
            raise error
        return results[0]

    return result


@contextmanager
def thread_map(
    n_jobs: int, device: torch.device, small: bool = False, forked: bool = False
) -> Iterator[Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]]:
    """Provide a `map` that runs its calls in parallel CPU threads, each with a share of the cores, or sequentially if that is faster.

    Two single-threaded members finish sooner than two members with two threads each: no thread waits at the end of every product, and another
    process on the machine delays one thread instead of all.

    Args:
        n_jobs: maximum number of parallel calls.
        device: where the tensors are.
        small: the products of a call are too small to be split over cores.
        forked: a forked worker runs in parallel and takes half of the cores. The calls run in a new thread: the OpenMP threads of the thread
            that forked do not exist in the fork.
    """
    import torch

    threads = torch.get_num_threads()
    n = 2 if forked else min(n_jobs, threads) if device.type == "cpu" else 1
    try:
        if n <= 1:
            torch.set_num_threads(1 if small and device.type == "cpu" else threads)
            yield map
            return
        n_workers, threads_each = (1, environment.cpu_count() // n) if forked else (n, threads // n)
        with ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(threads_each,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


@contextmanager
def background_executor(n_jobs: int = 1) -> Iterator[Callable[..., Future[Any]]]:
    """Provide a function that starts a call in a background thread with one core.

    Args:
        n_jobs: calls that run at a time; further calls wait.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(n_jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.submit
    finally:
        torch.set_num_threads(threads)
