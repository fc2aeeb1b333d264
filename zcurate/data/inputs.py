"""Find and read any input: a path, or a table in memory."""

from __future__ import annotations

import dataclasses
from typing import Any

from zcurate.config.options import ScanOptions
from zcurate.data import discovery, preview, profile, readers, sizes, tables
from zcurate.data.dataset import Dataset, InputInfo
from zcurate.data.memory import read_memory
from zcurate.data.row_arrays import RowArrays, attach
from zcurate.data.source import Source
from zcurate.plugins import READERS


def is_path(data: Any) -> bool:
    """Return whether an input is a path, an address, or `-`."""
    return isinstance(data, str) or hasattr(data, "__fspath__")


def locate_input(data: Any, options: ScanOptions) -> Any:
    """Find the files of an input, without reading them; what is not a path is returned as it is.

    Args:
        data: as for `read_input`.
        options: `input_format`.

    Raises:
        InputError: there is no such file, or it has no reader.
    """
    return discovery.source_of(str(data), options) if is_path(data) else data


def read_input(data: Any, options: ScanOptions, arrays: RowArrays | None = None) -> Dataset:
    """Read any input into a `Dataset`, with the features and probabilities that the user brings for its rows.

    Args:
        data: path, `Source`, or a table in memory (see `memory.ACCEPTED`).
        options: column roles and task, features, probabilities.
        arrays: those passed in Python; None for none.

    Raises:
        InputError: the input cannot be read.
        UsageError: data of another type, or a column that does not exist.
    """
    data = locate_input(data, options)
    if isinstance(data, Source):
        return attach(readers.read(data, options), options, arrays or RowArrays())
    table = read_memory(data)
    dataset = tables.dataset(table.table, InputInfo("memory", table.kind), options)
    return attach(dataclasses.replace(dataset, warnings=table.warnings + dataset.warnings), options, arrays or RowArrays())


def describe_input(path: str, options: ScanOptions) -> Dataset:
    """Read an input as far as needed to describe it: all of it, or of a table that may not fit into memory a sample, with exact counts.

    Args:
        path: of the input.
        options: column roles and task.

    Raises:
        InputError: the input cannot be read.
        UsageError: a column that does not exist.
    """
    source = discovery.source_of(path, options)
    is_local_table = source.content is None and source.remote is None and READERS[source.format].streams
    if not is_local_table or not sizes.is_large(source):
        return readers.read(source, options)
    found = preview.preview_input(source, options)
    return found.data if profile.why_not_streamed(found, source, allow_text=True) else profile.profile_table(source, found, options).sample
