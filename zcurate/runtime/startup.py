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

DEFERRED, TESTED_VERSIONS = "torch._meta_registrations", ("2.13.",)
"""What torch's compiler and tensors without data need and a scan does not, a quarter of its import; and the versions of torch that load without it."""
DEPENDENTS = ("torch._decomp", "torch._refs")
REQUIRED = "torch._prims.rng_prims"
"""What `SPARED` would have imported and generators cannot do without."""
LIBRARIES = ("libtorch_global_deps.so", "libtorch_cpu.so")
"""Of torch, in the order in which it loads them itself: all but the small one that knows Python."""


def start() -> None:
    """`spin_little` and `without_pandas`."""
    limit_spinning()
    skip_pandas_import()


def limit_spinning() -> None:
    """Before torch loads GNU OpenMP: idle threads that spin for long starve the others when the machine is busy, 5- to 40-fold."""
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def skip_pandas_import() -> None:
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
    collecting, spared = gc.isenabled(), ours and DEFERRED not in sys.modules and is_tested_torch()
    gc.disable()
    if spared:
        sys.modules[DEFERRED] = types.ModuleType(DEFERRED)
    try:
        importlib.import_module("torch")
        if spared:
            importlib.import_module(REQUIRED)
    finally:
        if spared:
            del sys.modules[DEFERRED]
            sys.meta_path.insert(0, DeferredImport())
        if ours:
            gc.freeze()
        if collecting:
            gc.enable()


class DeferredImport:
    """Imports what was spared before anything that builds on it: the other way round their imports go in a circle."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """This loader for one of `BUILDS_ON_IT`, once.

        Args:
            name: of the module wanted.
            path: of its package.
            target: to be filled.
        """
        if name not in DEPENDENTS:
            return None
        sys.meta_path.remove(self)
        return importlib.util.spec_from_loader(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        """An empty one."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Have the real module take its place."""
        del sys.modules[module.__name__]
        import_deferred()
        importlib.import_module(module.__name__)


def is_tested_torch() -> bool:
    """Whether torch is of a version that was tried without `SPARED`."""
    found = importlib.util.find_spec("torch")
    with contextlib.suppress(OSError):
        if found is not None and found.origin is not None:
            with open(os.path.join(os.path.dirname(found.origin), "version.py"), encoding="utf-8") as file:
                return any(f"'{version}" in file.read(1000) for version in TESTED_VERSIONS)
    return False


def import_deferred() -> None:
    """Import what `load_torch` spared, for a module of the user's own that may compile itself."""
    importlib.import_module(DEFERRED)


def load_torch_in_background(ours: bool) -> None:
    """Begin to import torch on another thread.

    Args:
        ours: as for `load_torch`.
    """

    def load() -> None:
        load_libraries()
        load_torch(ours)

    threading.Thread(target=load).start()
