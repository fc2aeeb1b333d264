"""How much memory the row groups of a Parquet file take when they are decoded, from their metadata and dictionaries, without decoding them.

Runs and dictionaries make a file of any size out of a few bytes: a million rows that repeat one long text take less than a kilobyte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

WIDTHS = {"BOOLEAN": 1, "INT32": 8, "INT64": 8, "INT96": 8, "FLOAT": 8, "DOUBLE": 8}
"""Physical type -> memory of a value [bytes], at least that of the wider type it may be converted to."""
OFFSET_BYTES = 8
"""Memory of the offset of a text or list."""


def group_bytes(file: pq.ParquetFile, raw: Any, group: int, enough: float | None, columns: Sequence[str] | None = None) -> float:
    """Bound the memory that a row group takes when it is decoded [bytes].

    Args:
        file: opened from `raw`.
        raw: the file.
        group: its number.
        enough: a bound up to this need not be close; the dictionaries are not read then. None for what it takes at least, as if no text came twice.
        columns: names of top-level columns; None for all.
    """
    metadata, schema = file.metadata.row_group(group), file.schema
    total = repeated = 0.0
    texts: dict[str, int] = {}
    for number in range(metadata.num_columns):
        leaf = schema.column(number)
        if columns is not None and leaf.path.partition(".")[0] not in columns and leaf.path not in columns:
            continue
        width = 0 if leaf.physical_type == "BYTE_ARRAY" else WIDTHS.get(leaf.physical_type) or max(8, leaf.length)
        if width and leaf.max_repetition_level == 0:
            # The metadata of each chunk take time to read.
            total += metadata.num_rows * width
            continue
        chunk = metadata.column(number)
        total += chunk.num_values * (width + OFFSET_BYTES * (1 + leaf.max_repetition_level))
        if not width:
            # Where values are not repeated, the file holds them all.
            total += chunk.total_uncompressed_size
            if any("DICTIONARY" in encoding for encoding in chunk.encodings):
                texts[chunk.path_in_schema] = chunk.num_values
                repeated += chunk.num_values * chunk.total_uncompressed_size
    if enough is None or not texts:
        return total
    if total + repeated <= enough:
        return total + repeated
    longest = longest_values(file, raw, group, list(texts))
    return total + sum(n * longest.get(path, 0) for path, n in texts.items())


def longest_values(file: pq.ParquetFile, raw: Any, group: int, paths: list[str]) -> dict[str, int]:
    """Return the size of the longest value of each column's dictionary [bytes].

    Args:
        file: opened from `raw`.
        raw: the file.
        group: number of the row group.
        paths: of leaf columns with dictionaries.
    """
    encoded = pq.ParquetFile(raw, metadata=file.metadata, read_dictionary=paths, pre_buffer=False)
    batch = next(encoded.iter_batches(1, [group], columns=paths, use_threads=False), None)
    found: list[int] = [] if batch is None else [size for column in batch.columns for size in longest_in(column)]
    # Leaf columns stand in the schema's order in both.
    return dict(zip(paths, found, strict=False))


def longest_in(array: pa.Array) -> list[int]:
    """Return the size of the longest value of each dictionary of an array, also within lists and structures [bytes]."""
    if pa.types.is_dictionary(array.type):
        return [int(pc.max(pc.binary_length(array.dictionary)).as_py() or 0)]
    if pa.types.is_struct(array.type):
        return [size for number in range(array.type.num_fields) for size in longest_in(array.field(number))]
    if pa.types.is_map(array.type):
        return longest_in(array.keys) + longest_in(array.items)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type):
        return longest_in(array.values)
    return []
