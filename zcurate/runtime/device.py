"""Where the arithmetic runs: device, threads and random generators. Nothing here looks at a clock or at the load.

Leaves: `torch.device`, `torch.Generator`, a crew of threads. Enters: the user's word and a seed.
"""

from __future__ import annotations

import os

import torch

from zcurate.errors import UsageError
from zcurate.runtime import environment


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
    threads = environment.cpu_count()
    torch.set_num_threads(threads)
    return threads


def has_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32: GPUs, and CPUs with instructions for it that are not masked off."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if not environment.allows_bfloat16():
        return False
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known and known())


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
