"""Which of several processes this is, and how many CPUs it may use. Read from the environment."""

from __future__ import annotations

import os


def world_size() -> int:
    """How many processes `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def rank() -> int:
    """Which of them this is: only the first talks and writes; 0 without `torchrun`."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def local_world_size() -> int:
    """How many of them share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if world_size() > 1 else 1


def cpu_count() -> int:
    """CPU threads to compute with: the cores this process may use, or fewer where `OMP_NUM_THREADS` says so."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, int(os.environ.get("OMP_NUM_THREADS", allowed) or allowed)))


def allows_bfloat16() -> bool:
    """Whether `ONEDNN_MAX_CPU_ISA`, where it is set, leaves oneDNN its bfloat16 instructions."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return not limit or any(word in limit for word in ("BF16", "AMX", "DEFAULT", "ALL", "AVX10", "FP16"))


def claim_cpus() -> None:
    """The other processes on this machine are done: from now on `threads` counts theirs too."""
    os.environ["OMP_NUM_THREADS"] = str(cpu_count() * local_world_size())
