"""Rank, number of processes and number of CPUs, read from the environment."""

from __future__ import annotations

import os

from zcurate.errors import UsageError

MAX_DIGITS = 9
"""Digits of a number in the environment, at most."""


def whole_number(name: str, default: int, low: int, high: int) -> int:
    """Read a whole number from the environment.

    Args:
        name: of the variable.
        default: where it is not set, or empty.
        low: smallest value allowed.
        high: largest value allowed.

    Raises:
        UsageError: it is no such number.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    is_number = text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS
    if not is_number or not low <= int(text) <= high:
        limit = f"from {low} to {high}" if high < 10**MAX_DIGITS else f"from {low} on"
        raise UsageError(f"{name}={text}: set in the environment — expected a whole number {limit} — correct it, or unset it")
    return int(text)


def world_size() -> int:
    """Return the number of processes that `torchrun` started; 1 without it.

    Raises:
        UsageError: the environment holds no such number.
    """
    return whole_number("WORLD_SIZE", 1, 1, 10**MAX_DIGITS) if os.environ.get("RANK", "").strip() else 1


def rank() -> int:
    """Return this process's rank; 0 without `torchrun`. Only rank 0 prints and writes.

    Raises:
        UsageError: the environment holds no such number.
    """
    return whole_number("RANK", 0, 0, world_size() - 1) if world_size() > 1 else 0


def claimed_rank() -> int:
    """Return this process's rank, for messages; 0 where the environment holds none."""
    try:
        return rank()
    except UsageError:
        return 0


def local_world_size() -> int:
    """Return the number of processes on this machine."""
    return whole_number("LOCAL_WORLD_SIZE", world_size(), 1, world_size()) if world_size() > 1 else 1


def local_rank() -> int:
    """Return this process's rank among those on this machine; 0 without `torchrun`."""
    return whole_number("LOCAL_RANK", 0, 0, local_world_size() - 1) if world_size() > 1 else 0


def cpu_count() -> int:
    """Return the number of CPU threads to use: the cores of this process, or fewer if `OMP_NUM_THREADS` is set.

    Of a list, as OpenMP allows for nested regions, the first number counts.

    Raises:
        UsageError: it is set to something else.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words = [word.strip() for word in os.environ.get("OMP_NUM_THREADS", "").split(",")]
    if words == [""]:
        return max(1, allowed)
    if not all(word.isascii() and word.isdecimal() and int(word[:MAX_DIGITS]) for word in words):
        text = os.environ["OMP_NUM_THREADS"]
        raise UsageError(f"OMP_NUM_THREADS={text}: set in the environment — expected a number of threads — correct it, or unset it")
    return max(1, min(allowed, int(words[0][:MAX_DIGITS])))


def check() -> None:
    """Refuse an environment that does not say which of several processes this is, and where the others are.

    Raises:
        UsageError: names the variable.
    """
    cpu_count()
    rank()
    local_rank()
    if world_size() > 1:
        whole_number("MASTER_PORT", 0, 1, 65535)
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            if not os.environ.get(name, "").strip():
                found = f"not set, with WORLD_SIZE={world_size()}"
                raise UsageError(f"{name}: {found} — expected both or neither — start with torchrun, or unset RANK and WORLD_SIZE")


def allows_bfloat16() -> bool:
    """Whether `ONEDNN_MAX_CPU_ISA`, where it is set, leaves oneDNN its bfloat16 instructions."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return not limit or any(word in limit for word in ("BF16", "AMX", "DEFAULT", "ALL", "AVX10", "FP16"))


def claim_cpus() -> None:
    """Let `cpu_count` include the cores of the other local processes, once those have finished."""
    os.environ["OMP_NUM_THREADS"] = str(cpu_count() * local_world_size())
