"""Where rows are kept: in memory or in memory-mapped files."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import itertools
import os
from math import ceil
from typing import TYPE_CHECKING, Any

from zcurate.config import units
from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError
from zcurate.pipeline.checks import check_first
from zcurate.runtime import environment, startup
from zcurate.runtime.progress import Progress

if TYPE_CHECKING:
    from zcurate.data.preview import Preview
    from zcurate.data.source import Source
    from zcurate.runtime.store import MemoryMappedStore

LARGE_FILE, ENDS, MANY_PARTS = 1_000_000, 1 << 16, 100
"""Bytes from which reading takes long enough to import torch beside it; bytes of a file's beginning and end, and parts of a folder, that are looked at."""


def too_large(data: Any, options: ScanOptions, progress: Progress, room: MemoryMappedStore | None = None) -> tuple[Source, Preview] | None:
    """The input and its beginning where a scan would take more memory than `--memory` allows, or than there is; None where it fits.

    Args:
        data: as for `scan`.
        options: `memory` and how to read.
        progress: told of what follows.
        room: takes the pixels of pictures that are decoded for a look; None for memory.

    Raises:
        UsageError: `--memory` is less than a scan needs whatever it does, or the input can only be read as a whole.
    """
    check_first(options)
    limit = units.parse_size(options.memory)
    is_path = isinstance(data, str) or hasattr(data, "__fspath__")
    if not is_path or (limit is None and not may_be_large(str(data))):
        return None
    from zcurate.data import discovery, preview, profile
    from zcurate.pipeline import cost_model
    from zcurate.pipeline.plan import make_plan

    where = dataclasses.replace(discovery.locate(str(data), options.input_format), store=room)
    if where.content is not None and limit is None:
        return None
    seen = preview.preview_input(where, options)
    what = make_plan(options, seen.data)
    shape = cost_model.shape_of(seen.data, what.spec)
    own = dataclasses.replace(shape, n_rows=ceil(shape.n_rows / environment.world_size()))
    most, least = cost_model.peak_bytes(what, shape), cost_model.min_bytes(what, own)
    allowed = limit or cost_model.available_bytes() // environment.local_world_size()
    if most <= allowed:
        return None
    asked = f"--memory {options.memory}" if limit else f"this machine has {cost_model.format_size(allowed)}"
    why = profile.why_not_streamed(seen, where)
    if limit and (why or least > allowed):
        needed = f"the scan needs about {cost_model.format_size(most if why else least)}" + (f", as {why}" if why else " even piece by piece")
        raise UsageError(f"{asked}: {needed} — expected at least that much — try --memory {ceil((most if why else least) / 1e8) * 100}MB")
    if why:
        progress.warn(f"the scan needs about {cost_model.format_size(most)} of memory and {asked}; it cannot be read piece by piece, as {why}")
        return None
    if not limit:
        kept = "rows" if seen.data.pictures is None else "pictures"
        progress.note(f"the scan would need about {cost_model.format_size(most)} of memory and {asked}: {kept} are kept in files; --memory sets another limit")
    return where, seen


def may_be_large(path: str) -> bool:
    """Whether a local input may not fit into memory: a fortieth of what there is, so that most inputs are not looked at twice."""
    from zcurate.pipeline import cost_model

    try:
        if os.path.isdir(path):
            size = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)
        else:
            size = sum(os.path.getsize(name) for name in glob.glob(path, recursive=True)) if not os.path.isfile(path) else os.path.getsize(path)
    except OSError:
        return False
    return size > cost_model.available_bytes() / 40


def preload_torch(data: Any, named: tuple[str | None, ...], ours: bool) -> None:
    """`lean.torch_beside` where a large file, or a folder of files, is going to be read: Arrow parses meanwhile. A small file's faults come first.

    Args:
        data: as for `scan`.
        named: columns that options name; where one is nowhere in the file's first and last bytes, the reading is likely to fail.
        ours: as for `lean.load_torch`.
    """
    with contextlib.suppress(OSError, TypeError, ValueError):
        if os.path.isdir(data):
            some = itertools.islice((entry for entry in os.scandir(data)), MANY_PARTS)
            if sum(LARGE_FILE // 10 if entry.is_dir() else entry.stat().st_size for entry in some) >= LARGE_FILE:
                startup.load_torch_in_background(ours)
            return
        if not os.path.isfile(data) or os.path.getsize(data) < LARGE_FILE:
            return
        with open(data, "rb") as file:
            ends = file.read(ENDS)
            # Parquet names its columns at the end.
            file.seek(-ENDS, os.SEEK_END)
            ends += file.read()
        if all(name is None or name.encode() in ends for name in named):
            startup.load_torch_in_background(ours)
