"""Find and read any input: a path, a pandas DataFrame or an Arrow table."""

from __future__ import annotations

from typing import Any

from zcurate.config.options import ScanOptions
from zcurate.data import discovery, readers, tables
from zcurate.data.dataset import Dataset, InputInfo
from zcurate.data.source import Source
from zcurate.errors import UsageError


def locate_input(data: Any, options: ScanOptions) -> Any:
    """Find the files of an input, without reading them; what is not a path is returned as it is.

    Args:
        data: as for `read_input`.
        options: `input_format`.

    Raises:
        InputError: there is no such file, or it has no reader.
    """
    is_path = isinstance(data, str) or hasattr(data, "__fspath__")
    return discovery.locate(str(data), options.input_format) if is_path else data


def read_input(data: Any, options: ScanOptions) -> Dataset:
    """Read any input into a `Dataset`.

    Args:
        data: path, `Source`, pandas DataFrame or Arrow table.
        options: column roles and task.

    Raises:
        InputError: the input cannot be read.
        UsageError: data of another type, or a column that does not exist.
    """
    data = locate_input(data, options)
    if isinstance(data, Source):
        return readers.read(data, options)
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return tables.dataset(data, InputInfo("memory", "arrow"), options)
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return tables.dataset(tables.from_frame(data), InputInfo("memory", "pandas"), options)
    raise UsageError(f"scan: data of type {type(data).__name__} — expected a path, a pandas DataFrame or an Arrow table")
