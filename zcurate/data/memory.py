"""Tables in memory: data frames, Arrow data, dictionaries of columns, records and arrays, with or without labels of their own, as one Arrow table."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.data.columns import UNREADABLE, column_array
from zcurate.data.tables import unique_names
from zcurate.errors import UsageError, listed

ACCEPTED = (
    "a path; a pandas, polars or other data frame; an Arrow table; a dictionary of columns; a list of records; "
    "or, with labels y, a 2-D array or list of rows"
)  # fmt: skip
"""What `zcurate.scan` reads."""
ROLES = ("label", "id", "group", "image")
"""Settings that name one column."""


@dataclass(frozen=True)
class MemoryTable:
    """A table in memory."""

    table: pa.Table
    """(N) every column; names are distinct."""
    names: tuple[Hashable, ...]
    """The columns' names as the user's object has them."""
    kind: str
    """Where it comes from, for the run card: `pandas`, `arrow`, `polars`, `numpy`, ..."""
    warnings: tuple[str, ...] = ()
    """One line each."""

    def settle(self, wanted: Any, setting: str) -> str:
        """Return the name in the table of a column that the user named as in their object.

        Args:
            wanted: as given.
            setting: for messages.

        Raises:
            UsageError: several columns have this name, or the name is no text and there is no such column.
        """
        same = [place for place, name in enumerate(self.names) if type(name) is type(wanted) and name == wanted]
        same = same or [place for place, name in enumerate(self.names) if column_name(name) == column_name(wanted)]
        if len(same) > 1:
            raise UsageError(f"scan: {setting} = {wanted!r} — {len(same)} columns have this name — expected one — rename or drop the others")
        if same:
            return self.table.column_names[same[0]]
        if not isinstance(wanted, str):
            raise UsageError(f"scan: {setting} = {wanted!r} — expected the name of a column — columns: {listed(map(str, self.names))}")
        return wanted


def column_name(name: Hashable) -> str:
    """Write a column's name as text: the levels of a MultiIndex are joined by underscores."""
    if isinstance(name, tuple):
        return "_".join(str(part) for part in name if str(part))
    return str(name)


def with_settings(table: MemoryTable, settings: dict[str, Any]) -> dict[str, Any]:
    """Translate the columns that settings name to their names in the table.

    Args:
        table: the data.
        settings: options of the scan by name.

    Raises:
        UsageError: several columns have a name.
    """
    settings = dict(settings)
    for name in ROLES:
        if isinstance(settings.get(name), Hashable) and settings.get(name) is not None:
            settings[name] = table.settle(settings[name], name)
    excluded = settings.get("exclude")
    if excluded is not None:
        many = excluded if isinstance(excluded, (list, tuple, set)) and excluded not in table.names else [excluded]
        settings["exclude"] = [table.settle(one, "exclude") if one in table.names or not isinstance(one, str) else one for one in many]
    return settings


def read_memory(data: Any, is_alone: bool = True) -> MemoryTable:
    """Convert any table in memory.

    Args:
        data: see `ACCEPTED`.
        is_alone: labels are a column of it; False where they are given apart, so that a single column is a table too.

    Raises:
        UsageError: data of another type, or columns that do not fit together.
    """
    if isinstance(data, MemoryTable):
        return data
    names, columns, kind = columns_of(data, is_alone)
    arrays = [column_array(values, f"column '{column_name(name)}'") for name, values in zip(names, columns, strict=True)]
    check_lengths([column_name(name) for name in names], [len(array) for array in arrays])
    unique = unique_names([column_name(name) for name in names])
    repeated = [name for name, one in zip(names, unique, strict=True) if one != column_name(name).strip() and column_name(name).strip()]
    told = dict.fromkeys(map(column_name, repeated))
    warnings = tuple(f"several columns are named '{name}': all but the first are called {name}.1 and so on" for name in told)
    metadata = data.schema.metadata if isinstance(data, (pa.Table, pa.RecordBatch)) else None
    return MemoryTable(pa.Table.from_arrays(arrays, names=unique, metadata=metadata), tuple(names), kind, warnings)


def columns_of(data: Any, is_alone: bool) -> tuple[list[Hashable], list[Any], str]:
    """Return the names and the values of the columns of any object, and its kind.

    Args:
        data: as for `read_memory`.
        is_alone: as for `read_memory`.

    Raises:
        UsageError: it is no table.
    """
    package = type(data).__module__.partition(".")[0]
    package = "arrow" if package in ("__main__", "builtins", "pyarrow") else package
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return list(data.schema.names), list(data.columns), "arrow"
    if hasattr(data, "iloc") and hasattr(data, "columns") and not hasattr(data, "compute"):
        return list(data.columns), [data.iloc[:, place] for place in range(len(data.columns))], "pandas"
    if hasattr(data, "iloc") and not is_alone:
        return [name_of_series(data, "x0")], [data], "pandas"
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return arrow_columns(data, package, is_alone)
    if isinstance(data, Mapping):
        return list(data), list(data.values()), "dict"
    if isinstance(data, (list, tuple, Iterator)):
        return list_columns(list(data), is_alone)
    if hasattr(data, "toarray"):
        raise UsageError("scan: a sparse matrix — expected a dense array or a data frame — pass X.toarray()")
    if hasattr(data, "__array__") and not np.isscalar(data):
        return array_columns(np.ma.asarray(data) if isinstance(data, np.ma.MaskedArray) else np.asarray(data), package, is_alone)
    if package == "zcurate" and type(data).__name__.startswith("Report"):
        raise UsageError("scan: a zcurate report, not data — expected the data that it is a report of — report.top(100) lists its rows")
    converter = next((name for name in ("toPandas", "collect", "compute", "to_pandas", "to_arrow", "to_table") if callable(getattr(data, name, None))), None)
    hint = f" — pass .{converter}() of it" if converter else ""
    raise UsageError(f"scan: data of type {type(data).__name__} — expected {ACCEPTED}{hint}")


def arrow_columns(data: Any, package: str, is_alone: bool) -> tuple[list[Hashable], list[Any], str]:
    """Return the columns of an object with Arrow's C stream or C array interface.

    Raises:
        UsageError: it is one column, or cannot be exported.
    """
    try:
        column = pa.chunked_array(data) if hasattr(data, "__arrow_c_stream__") else pa.chunked_array([pa.array(data)])
    except UNREADABLE as error:
        if isinstance(names := getattr(data, "columns", None), list):
            return list(names), [data[name] for name in names], package
        raise UsageError(f"scan: data of type {type(data).__name__} cannot be read as Arrow ({error}) — expected a table — convert it first") from error
    if pa.types.is_struct(column.type):
        return [field.name for field in column.type], list(pa.Table.from_struct_array(column).columns), package
    if is_alone:
        raise UsageError(f"scan: one column of type {type(data).__name__} — expected {ACCEPTED}")
    return [name_of_series(data, "x0")], [column], package


def list_columns(rows: list[Any], is_alone: bool) -> tuple[list[Hashable], list[Any], str]:
    """Return the columns of a list: of records (all their keys, in the order they first appear), of rows, or of the values of one column.

    Raises:
        UsageError: a list of other things, or rows of different lengths.
    """
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return names, [[row.get(name) for row in rows] for name in names], "records"
    if rows and all(hasattr(row, "_fields") for row in rows):
        return list_columns([dict(zip(row._fields, row, strict=True)) for row in rows], is_alone)
    if rows and all(isinstance(row, (list, tuple)) or getattr(row, "ndim", 0) == 1 for row in rows):
        for number, row in enumerate(rows):
            if len(row) != len(rows[0]):
                raise UsageError(f"scan: row {number} has {len(row)} values — expected {len(rows[0])} as in row 0 — make the rows equally long")
        return [f"x{place}" for place in range(len(rows[0]))], [[row[place] for row in rows] for place in range(len(rows[0]))], "list"
    if is_alone or any(isinstance(row, (Mapping, list, tuple)) for row in rows):
        found = f"data of type list, of {type(rows[0]).__name__}" if rows else "data of type list, which is empty"
        raise UsageError(f"scan: {found} — expected {ACCEPTED}")
    return ["x0"], [rows], "list"


def array_columns(array: np.ndarray, package: str, is_alone: bool) -> tuple[list[Hashable], list[Any], str]:
    """Return the columns of an array: the fields of a structured one, the columns x0, x1, ... of a 2-D one.

    Raises:
        UsageError: it has other dimensions.
    """
    if array.dtype.names and array.ndim == 1:
        return list(array.dtype.names), [array[name] for name in array.dtype.names], package
    if array.ndim == 2 and not array.dtype.names:
        return [f"x{place}" for place in range(array.shape[1])], [array[:, place] for place in range(array.shape[1])], package
    if array.ndim == 1 and not is_alone:
        return ["x0"], [array], package
    shape = "x".join(map(str, array.shape)) or "no dimension"
    hint = "save pictures as .npz with images and labels" if array.ndim > 2 else "pass a 2-D array, X.reshape(-1, 1)"
    raise UsageError(f"scan: an array of shape {shape} — expected rows x columns, or a structured array — {hint}")


def name_of_series(values: Any, default: str) -> Hashable:
    """Return the name of a series, or the default where it has none."""
    name = getattr(values, "name", None)
    return name if isinstance(name, Hashable) and name not in (None, "") else default


def check_lengths(names: list[str], sizes: list[int]) -> None:
    """Refuse columns of different lengths.

    Raises:
        UsageError: names two of them.
    """
    for name, size in zip(names, sizes, strict=True):
        if size != sizes[0]:
            raise UsageError(f"scan: column '{name}' has {size} values, '{names[0]}' has {sizes[0]} — expected columns of one length")


def with_labels(data: Any, y: Any, label: Any) -> tuple[MemoryTable, str]:
    """Join labels that are given apart from the rows.

    Args:
        data: rows, see `ACCEPTED`.
        y: (N,) labels: an array, a series, a list, or a table of one column.
        label: name for their column; None for their own name, or `label`.

    Returns:
        The table with the labels as its last column, and the name of that column.

    Raises:
        UsageError: `y` is no list of labels, or there are not as many as rows.
    """
    rows = read_memory(data, is_alone=False)
    labels, own_name = label_values(y)
    if label is not None and label in rows.names:
        raise UsageError(f"scan: label = {label!r} names a column, and y holds labels too — expected one of them — leave one out")
    array = column_array(labels, "y")
    if not rows.names:
        raise UsageError(f"scan: data of type {type(data).__name__} without columns — expected at least one to learn from")
    if len(array) != rows.table.num_rows:
        raise UsageError(f"scan: y has {len(array)} labels, the data have {rows.table.num_rows} rows — expected one label for each row")
    base = column_name(label if label is not None else own_name if own_name is not None else "label").strip() or "label"
    name = unique_names([*rows.table.column_names, base])[-1]
    warnings = rows.warnings + check_index(data, y)
    table = rows.table.append_column(name, array)
    return dataclasses.replace(rows, table=table, names=(*rows.names, name), warnings=warnings), name


def label_values(y: Any) -> tuple[Any, Hashable | None]:
    """Return the labels and their own name; a table or array of one column is that column.

    Raises:
        UsageError: no list of labels, or several columns.
    """
    if isinstance(y, (str, bytes)):
        raise UsageError(f"scan: y = {y!r} — expected one label for each row — to name a column of the data: label={y!r}")
    if isinstance(y, (Mapping, set, frozenset)) or y is None or np.isscalar(y):
        raise UsageError(f"scan: y of type {type(y).__name__} — expected one label for each row: an array, a series or a list")
    n_columns = y.shape[1] if len(getattr(y, "shape", ())) == 2 else 1
    if n_columns != 1:
        raise UsageError(f"scan: y has {n_columns} columns — expected one label for each row — for one column per class: y.argmax(1)")
    if len(getattr(y, "shape", ())) == 2 or isinstance(y, (pa.Table, pa.RecordBatch)):
        names, columns, _ = columns_of(y, is_alone=False)
        return np.asarray(columns[0]) if isinstance(y, np.ndarray) else columns[0], names[0] if hasattr(y, "columns") else None
    if isinstance(y, Iterator):
        return list(y), None
    if not (hasattr(y, "__len__") or hasattr(y, "__arrow_c_stream__") or hasattr(y, "__arrow_c_array__")):
        raise UsageError(f"scan: y of type {type(y).__name__} — expected one label for each row: an array, a series or a list")
    name = name_of_series(y, "")
    return y, name if name != "" and not callable(name) else None


def check_index(data: Any, y: Any) -> tuple[str, ...]:
    """Compare the indexes of a pandas frame and a pandas series of labels, which are joined row by row.

    Returns:
        A warning where they differ, else nothing.

    Raises:
        UsageError: they have the same entries in another order.
    """
    ours, theirs = getattr(data, "index", None), getattr(y, "index", None)
    if ours is None or theirs is None or callable(ours) or callable(theirs) or ours.equals(theirs):
        return ()
    if len(ours) == len(theirs) and not ours.has_duplicates and ours.isin(theirs).all():
        raise UsageError("scan: the index of y has the entries of the data's in another order — expected the same rows — pass y.loc[X.index]")
    return ("the data and y have different indexes: labels are joined to rows by position",)


def prepare(data: Any, y: Any, settings: dict[str, Any]) -> tuple[MemoryTable, dict[str, Any]]:
    """Convert data in memory, join labels given apart, and translate the columns that settings name.

    Args:
        data: see `ACCEPTED`, but no path.
        y: labels, or None.
        settings: options of the scan by name.

    Raises:
        UsageError: data of another type, labels that do not fit, or an ambiguous column.
    """
    if y is None:
        table = read_memory(data)
        check_label(data, table, settings)
        return table, with_settings(table, settings)
    table, label = with_labels(data, y, settings.get("label"))
    return table, with_settings(table, {**settings, "label": label})


def check_label(data: Any, table: MemoryTable, settings: dict[str, Any]) -> None:
    """Refuse an array without labels, and a setting that names a level of a pandas index.

    Raises:
        UsageError: says what to pass.
    """
    if settings.get("label") is None and not hasattr(data, "columns") and all(name == f"x{place}" for place, name in enumerate(table.names)) and table.names:
        raise UsageError(f"scan: rows without labels — expected them as y, or as a column — pass scan(X, y), or label='x{len(table.names) - 1}'")
    levels = getattr(getattr(data, "index", None), "names", None) or ()
    for name in ROLES:
        wanted = settings.get(name)
        if wanted is not None and isinstance(wanted, Hashable) and wanted in list(levels) and wanted not in table.names:
            raise UsageError(f"scan: {name} = {wanted!r} is in the index — expected a column — pass frame.reset_index()")
