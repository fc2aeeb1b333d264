"""Errors of the local file system in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from zcurate.data.file_names import printable
from zcurate.errors import InputError


@contextmanager
def local_errors(name: str) -> Iterator[None]:
    """Convert the system's errors into errors that name the local file.

    Raises:
        InputError: it has disappeared, or cannot be opened.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"{printable(name)}: was listed and is gone — expected it to exist until it is read — check what else writes there, then run again"
        ) from error
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{printable(name)}: cannot be opened ({error}) — check the path and its permissions") from error
