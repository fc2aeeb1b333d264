"""Start-up: what heavy libraries would do though nobody asked, which of several processes this is, memory handed back; before Arrow or torch is imported.

Leaves: numbers. Enters: the environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
import threading
import types
import warnings


def start() -> None:
    """`spin_little` and `without_pandas`."""
    spin_little()
    without_pandas()


def spin_little() -> None:
    """Before torch loads GNU OpenMP: idle threads that spin for long starve the others when the machine is busy, 5- to 40-fold."""
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def without_pandas() -> None:
    """Keep Arrow from importing pandas at its first array, .4 s for nothing: it looks once, and finds a version too old for it."""
    if "pandas" in sys.modules:
        return
    import pyarrow

    found = types.ModuleType("pandas")
    found.__version__ = "0"  # type: ignore[attr-defined]
    sys.modules["pandas"] = found
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pyarrow.array([0])
    finally:
        del sys.modules["pandas"]


def processes() -> int:
    """How many processes `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def rank() -> int:
    """Which of them this is: only the first talks and writes; 0 without `torchrun`."""
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0


def processes_here() -> int:
    """How many of them share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", processes())) if processes() > 1 else 1


def threads() -> int:
    """CPU threads to compute with: the cores this process may use, or fewer where `OMP_NUM_THREADS` says so."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, int(os.environ.get("OMP_NUM_THREADS", allowed) or allowed)))


def spare_memory() -> None:
    """Give what Arrow and glibc keep for later back to the system."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def torch_beside() -> None:
    """Begin to import torch on another thread."""
    threading.Thread(target=importlib.import_module, args=("torch",)).start()
