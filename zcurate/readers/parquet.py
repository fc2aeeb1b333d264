"""Parquet: one file, a folder of parts, or a glob; pictures in a column of bytes too.

Sees every column with its own type. Wrong when: parts disagree on types; the error names the part.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from zcurate import columns
from zcurate.dataset import Dataset
from zcurate.errors import InputError
from zcurate.options import ScanOptions
from zcurate.source import Source


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all parts in the order of their names.

    Raises:
        InputError: a part is truncated, no Parquet, or does not fit the others.
    """
    parts: list[pa.Table] = []
    for name in source.files or (source.path,):
        try:
            reader = source.open(name) if source.content is None else pa.BufferReader(source.content)
            parts.append(pq.read_table(pa.BufferReader(reader.read()) if source.content is None else reader))
        except (pa.ArrowInvalid, pa.ArrowException, OSError, ValueError) as error:
            short = str(error).splitlines()[0][:120]
            raise InputError(f"{name}: not a whole Parquet file — {short} — is the download complete?") from error
    return columns.dataset(columns.joined(parts, source.path), source.origin(), options)
