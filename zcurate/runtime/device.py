"""Where the arithmetic runs: device, threads and random generators. Nothing here looks at a clock or at the load.

Leaves: `torch.device`, `torch.Generator`, a crew of threads. Enters: the user's word and a seed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import torch

from zcurate.errors import UsageError
from zcurate.runtime import startup

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's names for mallopt."""


def pick(wanted: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`.

    Raises:
        UsageError: `cuda` without a usable GPU.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UsageError("--device cuda: torch finds no usable GPU — expected an NVIDIA GPU and a CUDA build of torch — try --device cpu")
    if not available or wanted == "cpu":
        return torch.device("cpu")
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(place)
    return place


def use_threads() -> int:
    """Fix the number of CPU threads to the cores this process may use, so that sums are split alike in every run."""
    threads = startup.threads()
    torch.set_num_threads(threads)
    return threads


@contextmanager
def kept_memory() -> Iterator[None]:
    """Have glibc keep freed blocks of up to 1 GiB instead of giving them back and faulting them in again at every step; all are given back after."""
    libc = None
    with suppress(OSError):
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, 128 << 10)
        libc.mallopt(M_TRIM_THRESHOLD, 128 << 10)
        libc.malloc_trim(0)


def has_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32: GPUs, and CPUs with instructions for it that are not masked off."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if allowed and not any(word in allowed for word in ("BF16", "AMX", "DEFAULT", "ALL", "AVX10", "FP16")):
        return False
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known and known())


@contextmanager
def crew(
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
    threads = torch.get_num_threads()
    n = 2 if twins else min(n_jobs, threads) if device.type == "cpu" else 1
    try:
        if n <= 1:
            torch.set_num_threads(1 if small and device.type == "cpu" else threads)
            yield map
            return
        with ThreadPoolExecutor(1 if twins else n, initializer=torch.set_num_threads, initargs=((startup.threads() if twins else threads) // n,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


@contextmanager
def beside(n_jobs: int = 1) -> Iterator[Callable[..., Future[Any]]]:
    """A function that starts a call on another thread, on one core.

    Args:
        n_jobs: calls at a time; the others wait for their turn.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(n_jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.submit
    finally:
        torch.set_num_threads(threads)


def generator(device: torch.device, *seeds: int) -> torch.Generator:
    """A generator on `device` that depends on all of `seeds` (e.g. the user's seed and the round)."""
    mixed = 0
    for seed in seeds:
        mixed = (mixed * 1_000_003 + seed + 1) % (2**61 - 1)
    return torch.Generator(device=device).manual_seed(mixed)


def describe(device: torch.device) -> str:
    """`cpu (2 threads)` or the GPU's name, for the run card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.get_num_threads()} threads)"
