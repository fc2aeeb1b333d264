"""Start-up: what heavy libraries would do though nobody asked, which of several processes this is, memory handed back; before Arrow or torch is imported.

Leaves: numbers. Enters: the environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import os
import sys
import threading
import types
import warnings
from importlib.machinery import ModuleSpec
from typing import Any

SPARED, TRIED = "torch._meta_registrations", ("2.13.",)
"""What torch's compiler and tensors without data need and a scan does not, a quarter of its import; and the versions of torch that load without it."""
BUILDS_ON_IT = ("torch._decomp", "torch._refs")
NEEDED = "torch._prims.rng_prims"
"""What `SPARED` would have imported and generators cannot do without."""
LIBRARIES = ("libtorch_global_deps.so", "libtorch_cpu.so")
"""Of torch, in the order in which it loads them itself: all but the small one that knows Python."""


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


def others_left() -> None:
    """The other processes on this machine are done: from now on `threads` counts theirs too."""
    os.environ["OMP_NUM_THREADS"] = str(threads() * processes_here())


def spare_memory() -> None:
    """Give what Arrow and glibc keep for later back to the system."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def load_libraries() -> None:
    """Load torch's libraries as it would itself, but without Python's lock, which `ctypes.CDLL` keeps for the third of a second that it takes."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return
    folder = os.path.join(os.path.dirname(found.origin), "lib")
    with contextlib.suppress(OSError, TypeError, AttributeError):
        load = ctypes.CDLL(None).dlopen
        load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        for name in LIBRARIES:
            if not load(os.fsencode(os.path.join(folder, name)), os.RTLD_NOW | (os.RTLD_GLOBAL if "global" in name else os.RTLD_LOCAL)):
                return


def load_torch(ours: bool) -> None:
    """Import torch in half the time: without collecting garbage meanwhile, and without what only its compiler asks for.

    Args:
        ours: the process is the program's own: nobody else's torch is cut short, and nobody else's garbage is kept for good.
    """
    if "torch" in sys.modules:
        return
    collecting, spared = gc.isenabled(), ours and SPARED not in sys.modules and known_torch()
    gc.disable()
    if spared:
        sys.modules[SPARED] = types.ModuleType(SPARED)
    try:
        importlib.import_module("torch")
        if spared:
            importlib.import_module(NEEDED)
    finally:
        if spared:
            del sys.modules[SPARED]
            sys.meta_path.insert(0, Later())
        if ours:
            gc.freeze()
        if collecting:
            gc.enable()


class Later:
    """Imports what was spared before anything that builds on it: the other way round their imports go in a circle."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """This loader for one of `BUILDS_ON_IT`, once.

        Args:
            name: of the module wanted.
            path: of its package.
            target: to be filled.
        """
        if name not in BUILDS_ON_IT:
            return None
        sys.meta_path.remove(self)
        return importlib.util.spec_from_loader(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        """An empty one."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Have the real module take its place."""
        del sys.modules[module.__name__]
        whole_torch()
        importlib.import_module(module.__name__)


def known_torch() -> bool:
    """Whether torch is of a version that was tried without `SPARED`."""
    found = importlib.util.find_spec("torch")
    with contextlib.suppress(OSError):
        if found is not None and found.origin is not None:
            with open(os.path.join(os.path.dirname(found.origin), "version.py"), encoding="utf-8") as file:
                return any(f"'{version}" in file.read(1000) for version in TRIED)
    return False


def whole_torch() -> None:
    """Import what `load_torch` spared, for a module of the user's own that may compile itself."""
    importlib.import_module(SPARED)


def torch_beside(ours: bool) -> None:
    """Begin to import torch on another thread.

    Args:
        ours: as for `load_torch`.
    """

    def load() -> None:
        load_libraries()
        load_torch(ours)

    threading.Thread(target=load).start()
