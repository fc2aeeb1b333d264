"""Start-up optimizations that must run before torch or Arrow is imported."""

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
"""Module that only torch's compiler and meta tensors need, a quarter of torch's import time; versions of torch known to load without it."""
DEPENDENTS = ("torch._decomp", "torch._refs")
"""Modules that build on `DEFERRED`; it must be imported before them."""
REQUIRED = "torch._prims.rng_prims"
"""Module that `DEFERRED` imports and that random generators need."""
LIBRARIES = ("libtorch_global_deps.so", "libtorch_cpu.so")
"""Torch's shared libraries in the order in which torch loads them, except the small Python binding."""


def start() -> None:
    """Apply the optimizations that precede the import of Arrow and torch."""
    limit_spinning()
    skip_pandas_import()


def limit_spinning() -> None:
    """Limit the busy-waiting of idle OpenMP threads, which slows a busy machine down; takes effect before torch loads GNU OpenMP."""
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def skip_pandas_import() -> None:
    """Keep Arrow from importing pandas at its first array.

    Arrow looks for pandas once; here it finds a stub whose version is too old for it.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow

    stub = types.ModuleType("pandas")
    stub.__version__ = "0"  # type: ignore[attr-defined]
    sys.modules["pandas"] = stub
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pyarrow.array([0])
    finally:
        del sys.modules["pandas"]


def load_libraries() -> None:
    """Load torch's shared libraries without holding the GIL, which torch's own `ctypes.CDLL` keeps during the load."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    folder = os.path.join(os.path.dirname(spec.origin), "lib")
    with contextlib.suppress(OSError, TypeError, AttributeError):
        load = ctypes.CDLL(None).dlopen
        load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        for name in LIBRARIES:
            if not load(os.fsencode(os.path.join(folder, name)), os.RTLD_NOW | (os.RTLD_GLOBAL if "global" in name else os.RTLD_LOCAL)):
                return


def load_torch(owns_process: bool) -> None:
    """Import torch without garbage collection and, in zcurate's own process, without the module that only the compiler needs.

    Args:
        owns_process: the process is zcurate's own; otherwise torch is imported in full and the garbage collector's generations stay as they are.
    """
    if "torch" in sys.modules:
        return
    collects, defers = gc.isenabled(), owns_process and DEFERRED not in sys.modules and is_tested_torch()
    gc.disable()
    if defers:
        sys.modules[DEFERRED] = types.ModuleType(DEFERRED)
    try:
        importlib.import_module("torch")
        if defers:
            importlib.import_module(REQUIRED)
    finally:
        if defers:
            del sys.modules[DEFERRED]
            sys.meta_path.insert(0, DeferredImport())
        if owns_process:
            gc.freeze()
        if collects:
            gc.enable()


class DeferredImport:
    """Meta path finder that imports `DEFERRED` before the first of `DEPENDENTS`; in the other order their imports are circular."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return this loader for one of `DEPENDENTS`, once.

        Args:
            name: the module to import.
            path: of its package.
            target: module to fill.
        """
        if name not in DEPENDENTS:
            return None
        sys.meta_path.remove(self)
        return importlib.util.spec_from_loader(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        """Use the default module object."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Import `DEFERRED`, then replace the empty module with the real one."""
        del sys.modules[module.__name__]
        import_deferred()
        importlib.import_module(module.__name__)


def is_tested_torch() -> bool:
    """Return whether the installed torch is one of `TESTED_VERSIONS`."""
    spec = importlib.util.find_spec("torch")
    with contextlib.suppress(OSError):
        if spec is not None and spec.origin is not None:
            with open(os.path.join(os.path.dirname(spec.origin), "version.py"), encoding="utf-8") as file:
                return any(f"'{version}" in file.read(1000) for version in TESTED_VERSIONS)
    return False


def import_deferred() -> None:
    """Import what `load_torch` deferred, for a user's model that may call the compiler."""
    importlib.import_module(DEFERRED)


def load_torch_in_background(owns_process: bool) -> None:
    """Start importing torch in a background thread.

    Args:
        owns_process: as for `load_torch`.
    """

    def load() -> None:
        load_libraries()
        load_torch(owns_process)

    threading.Thread(target=load).start()
