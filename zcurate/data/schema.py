"""Infer column roles and the task from an Arrow table. No torch.

One rule for all formats, so that the same data gets the same roles as CSV, JSON or Parquet.
"""

from __future__ import annotations

import fnmatch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.sample import HEAD_ROWS
from zcurate.config.options import ScanOptions
from zcurate.data.dataset import Column, ColumnKind, Dataset, ExcludedColumn, InputInfo, Roles, SkippedRow, Task
from zcurate.data.leakage import is_leak
from zcurate.data.values import as_numbers, as_written, decode_column, normalize_column, without_missing_words
from zcurate.errors import InputError, UsageError, did_you_mean, listed

USUAL_LABELS = ("label", "target", "class", "y")
"""Names, in any case, by which a label column is recognized."""
MAX_CLASSES = 1000
"""Maximum number of classes; a wider softmax per row is out of scope."""
MANY_VALUES, MANY_SHARE = 50, 0.05
"""Integers with more distinct values than this number and this share of the rows are a quantity, not classes (DESIGN section 3)."""
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""Characters of scripts without spaces between words."""
MAX_SENTENCES = 1000
"""Distinct multi-word strings above which a column is text, however often values repeat; by taste."""


def find_label(names: list[str], wanted: str | None, location: str) -> str:
    """Find the label column: the named one, else the only one with a usual name.

    Args:
        names: all columns.
        wanted: `--label`, or None.
        location: the input, for messages.

    Raises:
        UsageError: the column does not exist, or none or several have a usual name; lists the columns and the nearest match.
    """
    columns = f"columns: {listed(names)}"
    if wanted is not None:
        if wanted in names:
            return wanted
        raise UsageError(f"{location}: no column '{wanted}' — {columns}{did_you_mean(wanted, names, '--label {}')}")
    usual = [name for name in names if name.strip().lower() in USUAL_LABELS]
    if len(usual) == 1:
        return usual[0]
    if len(usual) > 1:
        raise UsageError(f"{location}: {listed(usual)} could each be the label — {columns} — name one, as in --label {usual[0]}")
    hint = next((f" — did you mean --label {name}?" for word in USUAL_LABELS for name in names if word in name.lower() and word != "y"), "")
    raise UsageError(f"{location}: which column holds the labels? — {columns} — name it with --label COL{hint}")


def need_column(names: list[str], wanted: str | None, flag: str, location: str) -> None:
    """Check that the column named by an option exists.

    Args:
        names: all columns.
        wanted: the option's value, or None.
        flag: name of the option, for the message.
        location: the input, for the message.

    Raises:
        UsageError: it does not; lists the columns and the nearest match.
    """
    if wanted is not None and wanted not in names:
        raise UsageError(f"{location}: no column '{wanted}' — columns: {listed(names)}{did_you_mean(wanted, names, flag + ' {}')}")


def need_roles(names: list[str], options: ScanOptions, location: str) -> str:
    """Check the columns that options name and return the label column.

    Raises:
        UsageError: a column does not exist, or the label is ambiguous.
    """
    label = find_label(names, options.label, location)
    need_column(names, options.id, "--id", location)
    need_column(names, options.group, "--group", location)
    return label


def need_groups(table: pa.Table, group: str | None, location: str) -> None:
    """Check that `--group` tells rows apart: with one group, no member would be trained without the others.

    Raises:
        InputError: all rows are in one group.
    """
    if group is None or table.num_rows < 2:
        return
    values = decode_column(table.column(group))
    if values.null_count == 0 and len(pc.unique(values)) == 1:
        one = f"'{values[0].as_py()}' in all {table.num_rows} rows"
        raise InputError(f"{location}: --group {group} is {one} — expected two groups or more — leave it out, or name another column")


def label_task(labels: pa.Array, wanted: str, location: str, column: str, n_labelled: int | None = None) -> tuple[pa.Array, Task]:
    """Convert the labels to the report's form and infer the task.

    Args:
        labels: (N) any basic type.
        wanted: `auto` or the task to use.
        location: the input, for messages.
        column: name of the label column, for messages.
        n_labelled: number of labeled rows if `labels` are only the distinct values; None to count them.

    Returns:
        (N) string, or float64 for regression, null where missing; and the task with its reason.

    Raises:
        InputError: no label at all, one class, or more than `MAX_CLASSES`.
        UsageError: the wanted task does not fit the labels.
    """
    try:
        text = without_missing_words(as_written(labels))
    except InputError as error:
        raise InputError(f"{location}: {error}") from error
    n_labelled = len(text) - text.null_count if n_labelled is None else n_labelled
    if n_labelled == 0:
        raise InputError(f"{location}: column '{column}' is empty — 0 of {len(text)} rows have a label — name another with --label COL")
    numbers = as_numbers(text)
    values = pc.unique(text.drop_null())
    kind, why = wanted, "as asked for by --task"
    if wanted == "auto":
        kind, why = infer_task(numbers, len(values), n_labelled)
    if kind == "regression":
        return regression_task(text, numbers, why, location, column)
    if len(values) == 1:
        raise InputError(f"{location}: column '{column}' has one class, {values[0]} — expected two or more — name another with --label COL")
    if len(values) > MAX_CLASSES:
        raise InputError(
            f"{location}: column '{column}' has {len(values)} classes in {n_labelled} rows — at most {MAX_CLASSES} can be judged"
            " — name another with --label COL, or try --task regression"
        )
    if wanted == "binary" and len(values) != 2:
        raise UsageError(f"{location}: --task binary, but column '{column}' has {len(values)} classes — expected two — try --task multiclass")
    key = (lambda v: (float(v), v)) if numbers is not None else (lambda v: (v.lower(), v))
    classes = tuple(sorted((str(v) for v in values.to_pylist()), key=key))
    return text, Task("binary" if len(classes) == 2 else "multiclass", why, classes)


def infer_task(numbers: pa.Array | None, n_values: int, n_labelled: int) -> tuple[str, str]:
    """Infer the task and its reason (DESIGN section 3).

    Args:
        numbers: (N) float64 labels; None for text.
        n_values: number of distinct labels.
        n_labelled: number of labeled rows.
    """
    plural = "s" if n_values != 1 else ""
    if numbers is None:
        return ("binary" if n_values == 2 else "multiclass"), f"labels are text with {n_values} distinct value{plural}"
    fractional = pc.any(pc.not_equal(numbers, pc.floor(numbers))).as_py()
    if fractional:
        return "regression", "labels are numbers with a fractional part"
    if n_values > MANY_VALUES and n_values > MANY_SHARE * n_labelled:
        return "regression", f"labels are whole numbers with {n_values} distinct values in {n_labelled} rows"
    return ("binary" if n_values == 2 else "multiclass"), f"labels are whole numbers with {n_values} distinct value{plural}"


def regression_task(text: pa.Array, numbers: pa.Array | None, why: str, location: str, column: str) -> tuple[pa.Array, Task]:
    """Return float64 targets, non-finite ones as null, and the regression task.

    Raises:
        UsageError: the targets are not numbers.
        InputError: the targets are all equal.
    """
    if numbers is None:
        bad = next(v for v in text.to_pylist() if v is not None and as_numbers(pa.array([v])) is None)
        raise UsageError(f"{location}: --task regression, but column '{column}' holds '{bad}' — expected numbers — try --task multiclass")
    finite = pc.is_finite(numbers)
    numbers = pc.if_else(finite, numbers, pa.scalar(None, pa.float64()))
    if len(pc.unique(numbers.drop_null())) < 2:
        raise InputError(f"{location}: column '{column}' holds one value — expected a target that varies — name another with --label COL")
    return numbers, Task("regression", why)


def column_kind(array: pa.Array) -> tuple[ColumnKind | None, str]:
    """Infer a feature column's kind, or return None and the reason for leaving it out.

    Args:
        array: (N) a normalized column.
    """
    kind = array.type
    values = array.drop_null() if array.null_count else array
    if pa.types.is_floating(kind) and pc.any(pc.is_nan(values)).as_py():
        values = values.filter(pc.invert(pc.is_nan(values)))
    if len(values) == 0:
        return None, "all missing"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return vector_kind(values)
    if not (is_basic_type(kind) or pa.types.is_boolean(kind)):
        return None, f"values of type {kind} are not read"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        extremes = pc.min_max(values)
        if extremes["min"] == extremes["max"] and array.null_count == 0:
            return None, "constant"
        return (None, "identifier: unique whole numbers") if len(values) >= 20 and all_integers(values) and all_unique(values) else ("number", "")
    n_values = len(pc.unique(values))
    if n_values == 1 and array.null_count == 0:
        return None, "constant"
    if pa.types.is_boolean(kind):
        return "number", ""
    if pa.types.is_temporal(kind):
        return "time", ""
    return text_kind(values, n_values, n_values == len(values) and len(values) >= 20)


def all_integers(values: pa.Array) -> bool:
    """Return whether every number is an integer; the leading rows settle it for most columns."""
    return pa.types.is_integer(values.type) or all(pc.all(pc.equal(part, pc.floor(part))).as_py() for part in (values.slice(0, HEAD_ROWS), values))


def all_unique(values: pa.Array) -> bool:
    """Return whether no two values are equal; the leading rows settle it for most columns."""
    return all(len(pc.unique(part)) == len(part) for part in (values.slice(0, HEAD_ROWS), values))


def is_basic_type(kind: pa.DataType) -> bool:
    """Return whether Arrow can count, compare and cast a type: numbers, text, dates and times."""
    is_temporal = pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind)
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_string(kind) or is_temporal


def vector_kind(values: pa.Array) -> tuple[ColumnKind | None, str]:
    """Classify a list column: a vector if all lists have the same length and hold numbers."""
    value = values.type.value_type
    lengths = pc.unique(pc.list_value_length(values))
    if not (pa.types.is_floating(value) or pa.types.is_integer(value)):
        return None, f"lists of {value} are not read"
    return ("vector", "") if len(lengths) == 1 and lengths[0].as_py() > 0 else (None, "lists of differing lengths")


def text_kind(values: pa.Array, n_values: int, unique: bool) -> tuple[ColumnKind | None, str]:
    """Classify a string column as text, category or identifier by words per value and distinct values; the thresholds are by taste.

    In scripts without spaces two characters count as a word.

    Args:
        values: (n) string, no nulls.
        n_values: number of distinct values.
        unique: all values differ, and there are enough of them to tell.
    """
    n_words = pc.mean(pc.add(pc.add(pc.count_substring(values, " "), 1), pc.divide(pc.count_substring_regex(values, UNSPACED), 2))).as_py()
    if n_values > max(20, min(MAX_SENTENCES, 0.2 * len(values))) and n_words >= 2.5:
        return "text", ""
    if unique and n_words < 1.5:
        return None, "identifier: unique strings without spaces"
    if n_values > 0.5 * len(values) and n_values > 50:
        return "text", ""
    return "category", ""


def features(table: pa.Table, names: list[str], given: pa.Array, task: Task) -> tuple[dict[str, pa.Array], list[Column], list[ExcludedColumn], list[str]]:
    """Return the normalized feature columns, their kinds, the columns left out and warnings of label leaks.

    Args:
        table: (N) the input.
        names: candidate columns.
        given: (N) labels.
        task: of the labels.
    """
    arrays, columns, left_out, warnings = {}, [], [], []
    label = given.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) if task.classes else np.zeros(0, np.int64)
    for name in names:
        array = normalize_column(decode_column(table.column(name)))
        kind, why = column_kind(array)
        if kind is None:
            left_out.append(ExcludedColumn(name, why))
            continue
        arrays[name] = array
        columns.append(Column(name, kind))
        if task.classes and is_leak(array, kind, label):
            warnings.append(f"column '{name}' alone determines the label: wrong labels may look right — leave it out with --exclude {name}")
    return arrays, columns, left_out, warnings


def dataset(
    table: pa.Table,
    origin: InputInfo,
    options: ScanOptions,
    pictures: np.ndarray | None = None,
    paths: pa.Array | None = None,
    skipped: tuple[SkippedRow, ...] = (),
    root: str | None = None,
    task: Task | None = None,
) -> Dataset:
    """Infer roles and task; the last step of every reader.

    Args:
        table: (N) every column of the input; for images the columns other than the images.
        origin: identity of the input.
        options: `label`, `id`, `group`, `exclude`, `task`.
        pictures: (N, C, H, W) uint8 images; None for tables.
        paths: (N) string, path of each image.
        skipped: rows that could not be read.
        root: folder that `paths` are relative to.
        task: inferred from more rows than these; None to infer it.

    Raises:
        InputError: no rows, no usable labels.
        UsageError: a column that does not exist.
    """
    location, names = origin.path, table.column_names
    if table.num_rows == 0:
        raise InputError(f"{location}: no rows — expected a header and data — is this the right file?")
    label = need_roles(names, options, location)
    need_groups(table, options.group, location)
    excluded = excluded_columns(names, options.exclude, location)
    if task is None:
        given, task = label_task(decode_column(table.column(label)), options.task, location, label)
    else:
        given = without_missing_words(as_written(decode_column(table.column(label))))
        given = given if task.classes else as_numbers(given)
    left_out = [ExcludedColumn(name, "excluded") for name in excluded if name != label]
    reserved = {label, *excluded} | {name for name in (options.id, options.group) if name}
    candidates = [name for name in names if name not in reserved] if pictures is None else []
    arrays, columns, rest, warnings = features(table, candidates, given, task)
    if pictures is None and not columns:
        why = "; ".join(f"{out.name}: {out.why}" for out in rest) or "there are none"
        raise InputError(f"{location}: no column is left to learn from — {why}")
    roles = Roles(label, tuple(columns), options.id, options.group, tuple(left_out + rest))
    return Dataset(table, roles, task, given, origin, pictures, paths, root, skipped, tuple(warnings), arrays)


def excluded_columns(names: list[str], patterns: tuple[str, ...], location: str) -> list[str]:
    """Return the columns that match `--exclude`.

    Raises:
        UsageError: a pattern matches no column.
    """
    excluded: list[str] = []
    # A pattern with commas that is no column is a list of patterns.
    parts = [part for pattern in patterns for part in ([pattern] if pattern in names else pattern.split(","))]
    for pattern in (part.strip() if part not in names else part for part in parts):
        matches = [name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)]
        if not matches:
            raise UsageError(f"{location}: --exclude {pattern} matches no column — columns: {listed(names)}{did_you_mean(pattern, names, '--exclude {}')}")
        excluded += [name for name in matches if name not in excluded]
    return excluded
