"""Decide whether rows are kept in memory or in memory-mapped files, and whether torch is loaded while they are read."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from math import ceil
from typing import TYPE_CHECKING, Any

from zcurate.config import units
from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError
from zcurate.pipeline.checks import check_first
from zcurate.runtime import environment, memory, startup
from zcurate.runtime.progress import Progress

if TYPE_CHECKING:
    from zcurate.data.preview import Preview
    from zcurate.data.source import Source
    from zcurate.runtime.store import MemoryMappedStore

LARGE_FILE, SNIFFED_BYTES, MANY_PARTS = 1_000_000, 1 << 16, 100
"""Bytes of a file from which torch is imported while it is read; bytes searched at its beginning and end; files counted in a folder."""


def too_large(data: Any, options: ScanOptions, progress: Progress, store: MemoryMappedStore | None = None) -> tuple[Source, Preview] | None:
    """Find out whether a scan needs more memory than `--memory` allows, or than the machine has.

    Args:
        data: as `inputs.locate_input` returns it.
        options: `memory` and how to read.
        progress: receives warnings and notes.
        store: takes the pixels of pictures decoded for the preview; None for memory.

    Returns:
        The input and its preview where it does, and can be streamed; otherwise None.

    Raises:
        UsageError: `--memory` is less than any scan of this input needs.
    """
    check_first(options)
    limit = units.parse_size(options.memory)
    from zcurate.data.source import Source

    if not isinstance(data, Source) or (limit is None and not may_be_large(data)):
        return None
    from zcurate.data import preview, profile
    from zcurate.pipeline import cost_model
    from zcurate.pipeline.plan import make_plan

    source = dataclasses.replace(data, store=store)
    if source.content is not None and limit is None:
        return None
    found = preview.preview_input(source, options)
    plan = make_plan(options, found.data)
    shape = cost_model.shape_of(found.data, plan.spec)
    local_shape = dataclasses.replace(shape, n_rows=ceil(shape.n_rows / environment.world_size()))
    in_memory, streamed = cost_model.peak_bytes(plan, shape), cost_model.min_bytes(plan, local_shape)
    allowed = limit or memory.available_bytes() // environment.local_world_size()
    if in_memory <= allowed:
        return None
    bound = f"--memory {options.memory}" if limit else f"this machine has {units.format_size(allowed)}"
    why = profile.why_not_streamed(found, source)
    if limit and (why or streamed > allowed):
        n_bytes = in_memory if why else min(in_memory, streamed)
        needed = f"the scan needs about {units.format_size(n_bytes)}" + (f", as {why}" if why else " even with rows in files")
        raise UsageError(f"{bound}: {needed} — expected at least that much — try --memory {ceil(n_bytes / 1e8) * 100}MB")
    size = units.format_size(in_memory)
    if why:
        progress.warn(f"the scan needs about {size} of memory and {bound}; rows cannot be kept in files, as {why}")
        return None
    if not limit:
        kept = "rows" if found.data.pictures is None else "pictures"
        progress.note(f"the scan would need about {size} of memory and {bound}: {kept} are kept in files; --memory sets another limit")
    return source, found


def may_be_large(source: Source) -> bool:
    """Whether a local input may not fit into memory, so that it is worth a preview.

    Args:
        source: the input.
    """
    from zcurate.data import sizes

    if source.remote is not None:
        return False
    if source.format != "folder":
        return sizes.is_large(source)
    files = (os.path.join(folder, name) for folder, _, names in os.walk(source.path) for name in names)
    try:
        # A link may lead nowhere.
        n_bytes = sum(os.path.getsize(name) for name in files if os.path.isfile(name))
    except OSError:
        return False
    return n_bytes > sizes.LARGE_SHARE * memory.available_bytes()


def preload_torch(data: Any, named: tuple[str | None, ...], owns_process: bool) -> None:
    """Load torch in the background while a large file or folder is read. Errors in a small file are reported before torch is loaded.

    Args:
        data: as for `zcurate.scan`, or a `Source`.
        named: columns named by options; where one is in neither the first nor the last bytes of the file, reading is likely to fail.
        owns_process: as in `RunContext`.
    """
    from zcurate.data.source import Source

    data = data.path if isinstance(data, Source) else data
    with contextlib.suppress(OSError, TypeError, ValueError):
        if os.path.isdir(data):
            entries = itertools.islice((entry for entry in os.scandir(data)), MANY_PARTS)
            if sum(LARGE_FILE // 10 if entry.is_dir() else entry.stat().st_size for entry in entries) >= LARGE_FILE:
                startup.load_torch_in_background(owns_process)
            return
        if not os.path.isfile(data) or os.path.getsize(data) < LARGE_FILE:
            return
        with open(data, "rb") as file:
            content = file.read(SNIFFED_BYTES)
            # Parquet names its columns at the end.
            file.seek(-SNIFFED_BYTES, os.SEEK_END)
            content += file.read()
        if all(name is None or name.encode() in content for name in named):
            startup.load_torch_in_background(owns_process)
