"""Arrays that the user brings for the rows of the input: features, and class probabilities of another model. No torch.

They come as a file, as columns of the input, or in Python as an array or a data frame; row by row, or matched by `--id`.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.digest import array_digest
from zcurate.config.array_source import IN_MEMORY, column_named, is_array, is_file
from zcurate.config.options import ScanOptions
from zcurate.data import given_probabilities
from zcurate.data.columns import numpy_array
from zcurate.data.dataset import Column, Dataset
from zcurate.data.features import read_column
from zcurate.data.given_probabilities import Matrix
from zcurate.data.limits import MemoryLimit
from zcurate.data.memory import read_memory
from zcurate.data.named_columns import named_columns
from zcurate.data.schema import PANDAS_INDEX
from zcurate.data.values import decode_column, key_text
from zcurate.data.vectors import is_list, is_vector
from zcurate.errors import InputError, UsageError, listed


@dataclass(frozen=True)
class RowArrays:
    """Arrays passed in Python; None where none was."""

    features: Any = None
    """(N, V) numbers: an array, a tensor, a data frame."""
    probabilities: Any = None
    """(N, C) probabilities, or a data frame with a column for each class."""


def attach(data: Dataset, options: ScanOptions, arrays: RowArrays) -> Dataset:
    """Join the user's features and probabilities to the rows.

    Args:
        data: N rows, all of the input.
        options: `features`, `probabilities`, `id`.
        arrays: those passed in Python.

    Raises:
        UsageError: other rows than those of the input, no probabilities, or other classes.
        InputError: a file that cannot be read.
    """
    wanted = options.features
    if is_array(wanted) or (data.pictures is not None and column_named(wanted) is not None):
        data = with_features(data, read_matrix(data, wanted, arrays.features, "--features", options))
    elif (column := column_named(wanted)) is not None:
        need_vector(data, column)
    if options.probabilities is not None:
        data = given_probabilities.with_probabilities(data, read_matrix(data, options.probabilities, arrays.probabilities, "--probabilities", options))
    return data


def need_vector(data: Dataset, name: str) -> None:
    """Refuse a column of features that holds no vectors.

    Raises:
        UsageError: says what it holds.
    """
    kind: str | None = next((column.kind for column in data.roles.features if column.name == name), None)
    if kind != "vector":
        left_out = next((column.why for column in data.roles.left_out if column.name == name), "not used")
        raise UsageError(f"--features {name}: the column is {kind or left_out} — expected a list of numbers in each row, all of one length — name another")


def read_matrix(data: Dataset, wanted: str, array: Any, flag: str, options: ScanOptions) -> Matrix:
    """Read the array that an option names, one row for each of the input's.

    Args:
        data: N rows.
        wanted: value of the option.
        array: the array passed in Python.
        flag: for messages.
        options: `id`, `memory`.

    Raises:
        UsageError: other rows than those of the input.
        InputError: no numbers, or a file that cannot be read.
    """
    location = f"{flag} {wanted}"
    if wanted == IN_MEMORY:
        location = flag.lstrip("-")
        found = as_table(array, location) if is_tabular(array) else matrix_of(array, location)
    elif is_file(wanted):
        found = read_file(wanted, location, options)
    else:
        found = data.table.select(named_columns(data.table.column_names, wanted, flag, data.origin.path))
    if isinstance(found, pa.Table):
        key = options.id if options.id in found.column_names and is_array(wanted) else None
        if key is None and options.id is not None and is_array(wanted):
            raise UsageError(f"{location}: has no column '{options.id}' — expected that of --id, by which rows are matched — add it, or save the rows as .npy")
        rows = None if key is None else matched_rows(data, found, key, location)
        found = table_matrix(found.drop_columns([key]) if key else found, location)
        found = found if rows is None else dataclasses.replace(found, values=found.values[rows])
    if len(found.values) != len(data.given):
        by_id = " — a .parquet file may hold the column of --id, by which rows are matched" if is_file(wanted) else ""
        raise UsageError(f"{location}: {len(found.values)} rows — expected {len(data.given)}, one for each row of {data.origin.path}{by_id}")
    return found


def is_tabular(array: Any) -> bool:
    """Whether an object passed in Python has named columns."""
    return hasattr(array, "columns") or isinstance(array, (pa.Table, pa.RecordBatch, dict))


def as_table(array: Any, location: str) -> pa.Table:
    """Convert a data frame that was passed in Python.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return read_memory(array).table
    except UsageError as error:
        raise UsageError(str(error).replace("scan:", f"{location}:", 1)) from error


def matrix_of(array: Any, location: str) -> Matrix:
    """Convert an array, a tensor or a list of rows that was passed in Python.

    Raises:
        UsageError: it is none of numbers, or not two-dimensional.
    """
    try:
        array = array.detach().cpu().float().numpy() if hasattr(array, "detach") else array
    except (RuntimeError, NotImplementedError, TypeError) as error:
        raise UsageError(f"{location}: a tensor that cannot be read ({str(error)[:80]}) — expected an array of rows x columns") from error
    if hasattr(array, "toarray"):
        raise UsageError(f"{location}: a sparse matrix — expected a dense array — pass {location}.toarray()")
    try:
        values = np.asarray(array)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{location}: {str(error)[:80]} — expected an array of rows x columns") from error
    return check_matrix(values, location, UsageError)


def check_matrix(values: np.ndarray, location: str, error: type[UsageError] | type[InputError]) -> Matrix:
    """Refuse an array that is no matrix of numbers.

    Args:
        values: any array.
        location: where it comes from.
        error: to raise.

    Raises:
        UsageError: where that is `error`.
        InputError: where that is `error`.
    """
    if values.dtype.kind not in "fiub":
        raise error(f"{location}: an array of type {values.dtype} — expected numbers — convert it")
    if values.ndim != 2 or 0 in values.shape:
        hint = " — for two classes: numpy.stack([1 - p, p], 1)" if values.ndim == 1 and "probabilities" in location else ""
        raise error(f"{location}: an array of shape {'x'.join(map(str, values.shape)) or 'one number'} — expected rows x columns{hint}")
    with np.errstate(over="ignore"):
        return Matrix(values.astype(np.float32), (), location)


def read_file(path: str, location: str, options: ScanOptions) -> Matrix | pa.Table:
    """Read a .npy file, or a Parquet file with a column of vectors or with columns of numbers.

    Args:
        path: of the file.
        location: for messages.
        options: `memory`.

    Raises:
        InputError: it cannot be read, or takes more memory than there is.
    """
    limit = MemoryLimit.of(options.memory)
    if not path.lower().endswith(".npy"):
        from zcurate.data.discovery import source_of
        from zcurate.data.readers import parquet

        table = parquet.read_table(source_of(path, dataclasses.replace(options, input_format="parquet")))
        # The index of a shuffled pandas frame.
        return table.drop_columns([name for name in table.column_names if PANDAS_INDEX.fullmatch(name)])
    limit.check(os.path.getsize(path), path, "the array")
    try:
        # A file that declares more than it holds is refused when it is mapped.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, OverflowError, SyntaxError, TypeError, MemoryError) as error:
        reason = str(error).partition("\n")[0][:100] or type(error).__name__
        raise InputError(f"{location}: not a whole .npy file of plain numbers — {reason} — save it with numpy.save") from error
    if not isinstance(values, np.ndarray):
        raise InputError(f"{location}: several arrays — expected one — save it with numpy.save")
    return check_matrix(values, location, InputError)


def matched_rows(data: Dataset, found: pa.Table, key: str, location: str) -> np.ndarray:
    """Find each row of the input in a table by the column of `--id`.

    Args:
        data: N rows.
        found: M rows with the column `key`.
        key: name of the column.
        location: for messages.

    Returns:
        (N,) int64 rows of the table.

    Raises:
        UsageError: an id is missing, or there twice.
    """
    ours, theirs = (key_text(decode_column(table.column(key)), f"--id {key}", location) for table in (data.table, found))
    if len(pc.unique(theirs)) < len(theirs):
        counted = pc.value_counts(theirs)
        twice = counted.field("values").filter(pc.greater(counted.field("counts"), 1))[0].as_py()
        raise UsageError(f"{location}: {key} '{twice}' is there more than once — expected one row for each — drop the others")
    if len(pc.unique(ours)) < len(ours):
        counted = pc.value_counts(ours)
        twice = counted.field("values").filter(pc.greater(counted.field("counts"), 1))[0].as_py()
        what = f"{key} is missing in some rows" if twice is None else f"{key} '{twice}' is there more than once"
        raise UsageError(f"{data.origin.path}: {what} — expected one row for each, as {location} is matched by it — leave --id out to match row by row")
    rows = pc.index_in(ours, value_set=theirs)
    if rows.null_count:
        first = ours.filter(pc.is_null(rows))[0].as_py()
        raise UsageError(f"{location}: {rows.null_count} rows of the input are missing, such as {key} '{first}' — expected one row for each {key}")
    return rows.to_numpy(zero_copy_only=False).astype(np.int64)


def table_matrix(found: pa.Table, location: str) -> Matrix:
    """Convert a table of one column of vectors, or of columns of numbers.

    Args:
        found: N rows.
        location: for messages.

    Raises:
        UsageError: a column of another type, or vectors of several lengths.
    """
    columns = {name: decode_column(found.column(name)) for name in found.column_names}
    if len(columns) == 1 and pa.types.is_string(next(iter(columns.values())).type):
        name = next(iter(columns))
        try:
            columns[name] = read_column(name, found.column(name), "vector", False, (), location).array
        except UsageError as error:
            raise UsageError(f"{location}: column '{name}' is text — expected numbers, or one column of lists of them") from error
    if len(columns) == 1 and is_list(next(iter(columns.values())).type):
        return Matrix(vector_matrix(next(iter(columns.values())), location), (), location)
    for name, column in columns.items():
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
            raise UsageError(f"{location}: column '{name}' is of type {str(column.type)[:40]} — expected numbers, or one column of lists of them")
    if not columns:
        raise UsageError(f"{location}: no column of numbers — expected one for each class, or one column of lists of them")
    arrays = [np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float32) for column in columns.values()]
    return Matrix(np.stack(arrays, 1), tuple(columns), location)


def vector_matrix(column: pa.Array, location: str) -> np.ndarray:
    """Convert a column of lists of numbers, (N, V) float32; rows without a list become NaN.

    Raises:
        UsageError: lists of several lengths, or of no numbers.
    """
    if not is_vector(column.type):
        raise UsageError(f"{location}: {str(column.type)[:40]} — expected lists of numbers")
    lengths = pc.unique(pc.list_value_length(column).drop_null()).to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        raise UsageError(f"{location}: lists of {listed(map(str, sorted(lengths)), 5) or 'no'} numbers — expected one length in all rows")
    known = ~np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    out = np.full((len(column), lengths[0]), np.nan, np.float32)
    flat = column.drop_null().flatten()
    numbers = (flat.cast(pa.uint8()) if pa.types.is_boolean(flat.type) else flat).cast(pa.float32(), safe=False)
    out[known] = numbers.to_numpy(zero_copy_only=False).reshape(-1, lengths[0])
    return out


def with_features(data: Dataset, found: Matrix) -> Dataset:
    """Add the user's features: of pictures beside them, of a table as one more column of vectors.

    Args:
        data: N rows.
        found: (N, V).

    Raises:
        UsageError: a number is missing or infinite.
    """
    readable = data.readable()
    bad = np.flatnonzero(readable & ~np.isfinite(found.values).all(1))
    if len(bad):
        raise UsageError(f"{found.location}: row {bad[0]} holds NaN or infinity, {len(bad)} rows do — expected finite numbers — fill or leave them out")
    if data.pictures is not None:
        values = np.where(readable[:, None], found.values, 0.0).astype(np.float32)
        return dataclasses.replace(data, features=values, row_arrays={"features": array_digest(found.values)})
    name, taken = "features", set(data.table.column_names)
    while name in taken:
        name += "_"
    array = pa.FixedSizeListArray.from_arrays(numpy_array(np.ascontiguousarray(found.values).ravel(), name), found.values.shape[1])
    roles = dataclasses.replace(data.roles, features=(*data.roles.features, Column(name, "vector")))
    return dataclasses.replace(data, roles=roles, arrays={**data.arrays, name: array}, row_arrays={"features": array_digest(found.values)})
