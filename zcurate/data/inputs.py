"""Read any input: a path, a pandas DataFrame or an Arrow table."""

from __future__ import annotations

from typing import Any

from zcurate.config.options import ScanOptions
from zcurate.data.dataset import Dataset
from zcurate.errors import UsageError


def read_input(data: Any, options: ScanOptions) -> Dataset:
    """Read any input into a `Dataset`.

    Args:
        data: path, `Source`, pandas DataFrame or Arrow table.
        options: column roles and task.

    Raises:
        InputError: the input cannot be read.
        UsageError: data of another type, or a column that does not exist.
    """
    from zcurate.data import discovery, readers, source, tables
    from zcurate.data.dataset import InputInfo

    if isinstance(data, source.Source):
        return readers.read(data, options)
    if isinstance(data, str) or hasattr(data, "__fspath__"):
        return readers.read(discovery.source_of(str(data), options), options)
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return tables.dataset(data, InputInfo("memory", "arrow"), options)
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return tables.dataset(tables.from_frame(data), InputInfo("memory", "pandas"), options)
    raise UsageError(f"scan: data of type {type(data).__name__} — expected a path, a pandas DataFrame or an Arrow table")
