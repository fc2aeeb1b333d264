"""Feather and Arrow IPC, file or stream.

Sees every column with its own type. Wrong when: the file is of Feather version 1, which pyarrow reads but few still write.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.feather

from zcurate import columns
from zcurate.dataset import Dataset
from zcurate.errors import InputError
from zcurate.options import ScanOptions
from zcurate.source import Source


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: a file is truncated or no Arrow file.
    """
    parts: list[pa.Table] = []
    for name in source.files or (source.path,):
        content = source.open(name if source.content is None else None).read()
        try:
            parts.append(table_of(content))
        except (pa.ArrowInvalid, OSError) as error:
            short = str(error).splitlines()[0][:120]
            raise InputError(f"{name}: not a whole Feather or Arrow file — {short} — is the download complete?") from error
    return columns.dataset(columns.joined(parts, source.path), source.origin(), options)


def table_of(content: bytes) -> pa.Table:
    """An Arrow file, else an Arrow stream."""
    if content[:6] in (b"ARROW1", b"FEA1\x00\x00") or content[:4] == b"FEA1":
        return pyarrow.feather.read_table(pa.BufferReader(content))
    return pa.ipc.open_stream(pa.BufferReader(content)).read_all()
