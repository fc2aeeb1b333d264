"""Rank, number of processes and number of CPUs, read from the environment."""

from __future__ import annotations

import os


def world_size() -> int:
    """Return the number of processes that `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def rank() -> int:
    """Return this process's rank; 0 without `torchrun`. Only rank 0 prints and writes."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def local_world_size() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if world_size() > 1 else 1


def cpu_count() -> int:
    """Return the number of CPU threads to use: the cores of this process, or fewer if `OMP_NUM_THREADS` is set."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, int(os.environ.get("OMP_NUM_THREADS", allowed) or allowed)))


def allows_bfloat16() -> bool:
    """Whether `ONEDNN_MAX_CPU_ISA`, where it is set, leaves oneDNN its bfloat16 instructions."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return not limit or any(word in limit for word in ("BF16", "AMX", "DEFAULT", "ALL", "AVX10", "FP16"))


def claim_cpus() -> None:
    """Let `cpu_count` include the cores of the other local processes, once those have finished."""
    os.environ["OMP_NUM_THREADS"] = str(cpu_count() * local_world_size())
