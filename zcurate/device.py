"""Where the arithmetic runs: device, threads and random generators. Nothing here looks at a clock or at the load.

Leaves: `torch.device`, `torch.Generator`. Enters: the user's word and a seed.
"""

from __future__ import annotations

import os

import torch

from zcurate.errors import UsageError


def pick(wanted: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`.

    Raises:
        UsageError: `cuda` without a usable GPU.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UsageError("--device cuda: torch finds no usable GPU — expected an NVIDIA GPU and a CUDA build of torch — try --device cpu")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def use_threads() -> int:
    """Fix the number of CPU threads to the cores this process may use, so that sums are split alike in every run."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, min(allowed, int(os.environ.get("OMP_NUM_THREADS", allowed) or allowed)))
    torch.set_num_threads(threads)
    return threads


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
