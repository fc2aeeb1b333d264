"""Change Arrow tables (Parquet, Feather): types, column order and metadata stay. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pyarrow.parquet as pq

from zcurate.errors import InputError
from zcurate.report.apply.changes import Changes, text_of


def change_table(table: pa.Table, label: str, changes: Changes, location: str) -> pa.Table:
    """Return the table with the changes.

    Args:
        table: of the file.
        label: name of the column of labels.
        changes: of its rows.
        location: name of the file, for messages.

    Raises:
        InputError: it has other rows than were scanned, or a label that its type cannot hold.
    """
    if table.num_rows != changes.n_rows:
        raise InputError(f"{location}: {table.num_rows} rows where {changes.n_rows} were scanned — expected the file as it was scanned")
    if changes.label:
        at = table.column_names.index(label)
        column = new_labels(table.column(label), changes, f"{location} column '{label}'")
        table = table.set_column(at, table.schema.field(label), column)
    for name, values in changes.added.items():
        table = table.append_column(name, values)
    return table.filter(pa.array(~changes.drop)) if changes.drop.any() else table


def new_labels(column: pa.ChunkedArray, changes: Changes, location: str) -> pa.ChunkedArray:
    """Replace labels, each by the value that rows with that label have, else by its text in the column's type.

    Raises:
        InputError: the type cannot hold a new label.
    """
    wanted, known = set(changes.label.values()), dict[str, Any]()
    for row, given in enumerate(changes.given):
        name = text_of(given)
        if name in wanted and name not in known:
            known[name] = column[row].as_py()
            if len(known) == len(wanted):
                break
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    plain = column.cast(kind) if pa.types.is_dictionary(column.type) else column
    rows = sorted(changes.label)
    try:
        for name in wanted - known.keys():
            known[name] = pa.array([name]).cast(pa.float64()).cast(kind)[0].as_py() if pa.types.is_integer(kind) else pa.array([name]).cast(kind)[0].as_py()
        values = pa.array([known[changes.label[row]] for row in rows], kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{location}: {kind} cannot hold the label ({str(error)[:80]}) — expected labels of its type") from error
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    replaced = pc.replace_with_mask(plain.combine_chunks(), pa.array(mask), values)
    replaced = pa.chunked_array([replaced]) if isinstance(replaced, pa.Array) else replaced
    return replaced.dictionary_encode().cast(column.type) if pa.types.is_dictionary(column.type) else replaced


def read_table(path: str, kind: str) -> pa.Table:
    """Read a file as it is.

    Args:
        path: of the file.
        kind: `parquet` or `feather`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return pq.ParquetFile(path).read() if kind == "parquet" else pyarrow.feather.read_table(path, memory_map=False)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0][:100]}) — expected the file as it was scanned") from error


def write_table(table: pa.Table, path: str, kind: str, original: str) -> None:
    """Write a table in the format, compression and row groups of the original.

    Args:
        table: to write.
        path: of the file to fill.
        kind: `parquet` or `feather`.
        original: path of the file that it is a changed copy of.
    """
    if kind == "feather":
        pyarrow.feather.write_feather(table, path)
        return
    metadata = pq.read_metadata(original)
    codec = metadata.row_group(0).column(0).compression.lower() if metadata.num_row_groups and metadata.num_columns else "snappy"
    group_rows = max((metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)), default=0)
    known = {"uncompressed": "none"}
    pq.write_table(table, path, compression=known.get(codec, codec), row_group_size=group_rows or None)
