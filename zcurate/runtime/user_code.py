"""Functions in a user's own Python file, named by an option as `file.py:function`. Nothing else runs a user's code."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

from zcurate.errors import UsageError, did_you_mean, listed
from zcurate.runtime.startup import import_deferred


def check_function_file(name: str, location: str) -> None:
    """Refuse a function whose file is not there; nothing is run.

    Args:
        name: `file.py:function`.
        location: option or file that names it, for the message.

    Raises:
        UsageError: there is no such file, or no function is named.
    """
    path, _, function = name.rpartition(":")
    if not os.path.isfile(path) or not function:
        raise UsageError(f"{location}: no file {path} — expected file.py:function — check the path")


def load_function(name: str, flag: str) -> Callable[..., Any]:
    """Load the function that `file.py:function` names.

    Args:
        name: as typed.
        flag: option that names it, for messages.

    Raises:
        UsageError: the file or the function does not exist, or the file does not run.
    """
    check_function_file(name, f"{flag} {name}")
    path, _, function = name.rpartition(":")
    spec = importlib.util.spec_from_file_location("zcurate_user_code", path)
    assert spec is not None and spec.loader is not None  # crack: narrows types only
    module = importlib.util.module_from_spec(spec)
    import_deferred()
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{flag} {name}: {path} does not run — {type(error).__name__}: {error} — run it with python first") from error
    if not callable(getattr(module, function, None)):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"{flag} {name}: no function '{function}' in {path} — it has {listed(functions)}{did_you_mean(function, functions)}")
    loaded: Callable[..., Any] = getattr(module, function)
    return loaded
