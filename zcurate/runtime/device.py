"""Device, CPU threads and random generators; none depends on time or on the load of the machine."""

from __future__ import annotations

import torch

from zcurate.errors import UsageError
from zcurate.runtime import environment


def pick(wanted: str) -> torch.device:
    """Choose the device.

    Args:
        wanted: `auto`, `cpu` or `cuda`.

    Raises:
        UsageError: `cuda` without a usable GPU.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UsageError("--device cuda: torch finds no usable GPU — expected an NVIDIA GPU and a CUDA build of torch — try --device cpu")
    if not available or wanted == "cpu":
        return torch.device("cpu")
    device = torch.device("cuda", environment.local_rank())
    torch.cuda.set_device(device)
    return device


def use_threads() -> int:
    """Set torch's CPU threads to the cores of this process, so that every run splits sums in the same way; return their number."""
    threads = environment.cpu_count()
    torch.set_num_threads(threads)
    return threads


def has_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 products are faster than float32 ones: GPUs that support it, and CPUs whose instructions for it are not disabled."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if not environment.allows_bfloat16():
        return False
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known and known())


def generator(device: torch.device, *seeds: int) -> torch.Generator:
    """Create a generator on `device` seeded by all of `seeds`, e.g. the user's seed and the round."""
    mixed = 0
    for seed in seeds:
        mixed = (mixed * 1_000_003 + seed + 1) % (2**61 - 1)
    return torch.Generator(device=device).manual_seed(mixed)


def describe(device: torch.device) -> str:
    """Describe the device for the run card: `cpu (2 threads)`, or the GPU's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.get_num_threads()} threads)"
