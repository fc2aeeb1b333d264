"""What each column is for, and which task the labels make: from a raw Arrow table to a `Dataset`.

Leaves: `Dataset`. Enters: the table that a reader made. One rule for every format, so that the same data gives the same
roles as CSV, JSON or Parquet. No torch.
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
from zcurate.errors import InputError, UsageError, did_you_mean, listed

USUAL_LABELS = ("label", "target", "class", "y")
MISSING_WORDS = ("", "na", "n/a", "null", "nan")
"""What counts as missing (DESIGN section 3), in any case; `none` may well be a class."""
MAX_CLASSES = 1000
"""More classes than this are refused: one softmax of that width per row no longer fits the purpose."""
FEW_VALUES = 10_000
"""Above so many, repeated strings are looked at once each."""
MANY_VALUES, MANY_SHARE = 50, 0.05
"""Whole numbers with more distinct values than both are a quantity, not classes (DESIGN section 3)."""
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""Characters of scripts that put no space between words."""
MAX_SENTENCES = 1000
"""Strings of several words with more distinct values are text, however many rows repeat them; by taste."""


def find_label(names: list[str], wanted: str | None, place: str) -> str:
    """The label column: the one asked for, else the only one with a usual name.

    Raises:
        UsageError: no such column, or none or several with a usual name; lists the columns and the nearest match.
    """
    columns = f"columns: {listed(names)}"
    if wanted is not None:
        if wanted in names:
            return wanted
        raise UsageError(f"{place}: no column '{wanted}' — {columns}{did_you_mean(wanted, names, '--label {}')}")
    usual = [name for name in names if name.strip().lower() in USUAL_LABELS]
    if len(usual) == 1:
        return usual[0]
    if len(usual) > 1:
        raise UsageError(f"{place}: {listed(usual)} could each be the label — {columns} — name one, as in --label {usual[0]}")
    hint = next((f" — did you mean --label {name}?" for word in USUAL_LABELS for name in names if word in name.lower() and word != "y"), "")
    raise UsageError(f"{place}: which column holds the labels? — {columns} — name it with --label COL{hint}")


def need_column(names: list[str], wanted: str | None, flag: str, place: str) -> None:
    """Refuse an option that names a column that is not there.

    Raises:
        UsageError: lists the columns and the nearest match.
    """
    if wanted is not None and wanted not in names:
        raise UsageError(f"{place}: no column '{wanted}' — columns: {listed(names)}{did_you_mean(wanted, names, flag + ' {}')}")


def need_roles(names: list[str], options: ScanOptions, place: str) -> str:
    """The label column, where all columns that options name are there.

    Raises:
        UsageError: one is not.
    """
    label = find_label(names, options.label, place)
    need_column(names, options.id, "--id", place)
    need_column(names, options.group, "--group", place)
    return label


def decode_column(column: pa.ChunkedArray) -> pa.Array:
    """One array, dictionaries decoded, string views and large strings made plain strings."""
    # Arrow copies even a single chunk.
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or str(array.type) == "string_view":
        array = array.cast(pa.string())
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_decimal(array.type) or pa.types.is_float16(array.type):
        array = array.cast(pa.float64())
    if pa.types.is_duration(array.type):
        array = array.cast(pa.int64())
    return array


def without_missing_words(array: pa.Array) -> pa.Array:
    """A string array with the usual spellings of "missing" made null and outer spaces cut."""
    if len(array) > FEW_VALUES:
        coded = array.dictionary_encode()
        if len(coded.dictionary) < len(array) / 4:
            return without_missing_words(coded.dictionary).take(coded.indices)
    trimmed = pc.utf8_trim_whitespace(array)
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING_WORDS))
    return pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)


def as_numbers(array: pa.Array) -> pa.Array | None:
    """A string array as float64 if every value that is there is a number, else None."""
    head = array.drop_null().slice(0, 64)
    for part in (head, array):
        try:
            numbers = pc.cast(part, pa.float64())
        except pa.ArrowInvalid:
            return None
    return numbers


def as_times(array: pa.Array) -> pa.Array | None:
    """A string array as timestamps if every value that is there is an ISO date or time, else None."""
    if not array.drop_null().slice(0, 1).to_pylist():
        return None
    head = array.drop_null().slice(0, 64)
    for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC"), pa.time64("us")):
        try:
            pc.cast(head, kind)
            return pc.cast(array, kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return None


def as_written(array: pa.Array) -> pa.Array:
    """Labels as the input writes them: text as it stands, `true`/`false`, a whole number's digits."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_boolean(kind):
        return pc.if_else(array, "true", "false")
    if pa.types.is_floating(kind):
        return pa.array([None if v is None or v != v else repr(v) for v in array.to_pylist()], pa.string())
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        return array.cast(pa.string())
    if pa.types.is_null(kind):
        return array.cast(pa.string())
    raise InputError(f"the label column is of type {kind} — expected text, numbers or booleans — convert it first")


def label_task(labels: pa.Array, wanted: str, place: str, column: str, n_labelled: int | None = None) -> tuple[pa.Array, Task]:
    """The labels as the report gives them, and the task they make.

    Args:
        labels: (N) any plain type.
        wanted: `auto` or a task to force.
        place: the input, for messages.
        column: the labels' name, for messages.
        n_labelled: rows with a label, where `labels` are only the distinct ones; None to count them.

    Returns:
        (N) string, or float64 for regression, null where there is no label; and the task with its reason.

    Raises:
        InputError: no label at all, one class, or more than `MOST_CLASSES`.
        UsageError: the forced task does not fit the labels.
    """
    try:
        text = without_missing_words(as_written(labels))
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    n_labelled = len(text) - text.null_count if n_labelled is None else n_labelled
    if n_labelled == 0:
        raise InputError(f"{place}: column '{column}' is empty — 0 of {len(text)} rows have a label — name another with --label COL")
    numbers = as_numbers(text)
    values = pc.unique(text.drop_null())
    kind, why = wanted, "as asked for by --task"
    if wanted == "auto":
        kind, why = infer_task(numbers, len(values), n_labelled)
    if kind == "regression":
        return regression_task(text, numbers, why, place, column)
    if len(values) == 1:
        raise InputError(f"{place}: column '{column}' has one class, {values[0]} — expected two or more — name another with --label COL")
    if len(values) > MAX_CLASSES:
        raise InputError(
            f"{place}: column '{column}' has {len(values)} classes in {n_labelled} rows — at most {MAX_CLASSES} can be judged"
            " — name another with --label COL, or try --task regression"
        )
    if wanted == "binary" and len(values) != 2:
        raise UsageError(f"{place}: --task binary, but column '{column}' has {len(values)} classes — expected two — try --task multiclass")
    key = (lambda v: (float(v), v)) if numbers is not None else (lambda v: (v.lower(), v))
    classes = tuple(sorted((str(v) for v in values.to_pylist()), key=key))
    return text, Task("binary" if len(classes) == 2 else "multiclass", why, classes)


def infer_task(numbers: pa.Array | None, n_values: int, n_labelled: int) -> tuple[str, str]:
    """The task and its reason (DESIGN section 3).

    Args:
        numbers: (N) float64 labels, or None when they are text.
        n_values: distinct labels.
        n_labelled: rows with a label.
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


def regression_task(text: pa.Array, numbers: pa.Array | None, why: str, place: str, column: str) -> tuple[pa.Array, Task]:
    """Targets as float64.

    Raises:
        UsageError: they are no numbers.
        InputError: they are all equal.
    """
    if numbers is None:
        bad = next(v for v in text.to_pylist() if v is not None and as_numbers(pa.array([v])) is None)
        raise UsageError(f"{place}: --task regression, but column '{column}' holds '{bad}' — expected numbers — try --task multiclass")
    finite = pc.is_finite(numbers)
    numbers = pc.if_else(finite, numbers, pa.scalar(None, pa.float64()))
    if len(pc.unique(numbers.drop_null())) < 2:
        raise InputError(f"{place}: column '{column}' holds one value — expected a target that varies — name another with --label COL")
    return numbers, Task("regression", why)


def normalised(array: pa.Array) -> pa.Array:
    """A feature column with text that is really numbers or times turned into them, so that formats agree."""
    if not pa.types.is_string(array.type):
        return array
    array = without_missing_words(array)
    if array.null_count == len(array):
        return array
    for turn in (as_numbers, as_times):
        turned = turn(array)
        if turned is not None:
            return turned
    words = pc.utf8_lower(array)
    if len(pc.unique(words.drop_null())) == 2 and pc.all(pc.is_in(words.drop_null(), value_set=pa.array(["true", "false"]))).as_py():
        return pc.equal(words, "true")
    return array


def column_kind(array: pa.Array) -> tuple[ColumnKind | None, str]:
    """How a feature column is read, or None and why it is left out.

    Args:
        array: (N) one normalised column.
    """
    kind = array.type
    there = array.drop_null() if array.null_count else array
    if pa.types.is_floating(kind) and pc.any(pc.is_nan(there)).as_py():
        there = there.filter(pc.invert(pc.is_nan(there)))
    if len(there) == 0:
        return None, "all missing"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return vector_kind(there)
    if not (kind_is_plain(kind) or pa.types.is_boolean(kind)):
        return None, f"values of type {kind} are not read"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        ends = pc.min_max(there)
        if ends["min"] == ends["max"] and array.null_count == 0:
            return None, "constant"
        return (None, "identifier: unique whole numbers") if len(there) >= 20 and all_whole(there) and all_unique(there) else ("number", "")
    n_values = len(pc.unique(there))
    if n_values == 1 and array.null_count == 0:
        return None, "constant"
    if pa.types.is_boolean(kind):
        return "number", ""
    if pa.types.is_temporal(kind):
        return "time", ""
    return text_kind(there, n_values, n_values == len(there) and len(there) >= 20)


def all_whole(there: pa.Array) -> bool:
    """Whether every number is whole; a glance at the first thousand settles it for most columns."""
    return pa.types.is_integer(there.type) or all(pc.all(pc.equal(part, pc.floor(part))).as_py() for part in (there.slice(0, HEAD_ROWS), there))


def all_unique(there: pa.Array) -> bool:
    """Whether no two values are equal; a glance at the first thousand settles it for most columns."""
    return all(len(pc.unique(part)) == len(part) for part in (there.slice(0, HEAD_ROWS), there))


def kind_is_plain(kind: pa.DataType) -> bool:
    """Types that Arrow can count, compare and cast: numbers, text, dates and times."""
    points = pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind)
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_string(kind) or points


def vector_kind(there: pa.Array) -> tuple[ColumnKind | None, str]:
    """A list column is a vector when every list has the same length and holds numbers."""
    value = there.type.value_type
    lengths = pc.unique(pc.list_value_length(there))
    if not (pa.types.is_floating(value) or pa.types.is_integer(value)):
        return None, f"lists of {value} are not read"
    return ("vector", "") if len(lengths) == 1 and lengths[0].as_py() > 0 else (None, "lists of differing lengths")


def text_kind(there: pa.Array, n_values: int, unique: bool) -> tuple[ColumnKind | None, str]:
    """Text, category or identifier, by words per value and distinct values; the cuts are by taste.

    Scripts without spaces count two characters as a word.
    """
    n_words = pc.mean(pc.add(pc.add(pc.count_substring(there, " "), 1), pc.divide(pc.count_substring_regex(there, UNSPACED), 2))).as_py()
    if n_values > max(20, min(MAX_SENTENCES, 0.2 * len(there))) and n_words >= 2.5:
        return "text", ""
    if unique and n_words < 1.5:
        return None, "identifier: unique strings without spaces"
    if n_values > 0.5 * len(there) and n_values > 50:
        return "text", ""
    return "category", ""


def features(table: pa.Table, names: list[str], given: pa.Array, task: Task) -> tuple[dict[str, pa.Array], list[Column], list[ExcludedColumn], list[str]]:
    """Normalised feature columns, how each is read, those left out and warnings of leaks."""
    arrays, columns, left_out, warnings = {}, [], [], []
    label = given.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) if task.classes else np.zeros(0, np.int64)
    for name in names:
        array = normalised(decode_column(table.column(name)))
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
    """Decide roles and task; the last step of every reader.

    Args:
        table: (N) every column of the input; for pictures whatever columns stand beside them.
        origin: where it came from.
        options: `label`, `id`, `group`, `exclude`, `task`.
        pictures: (N, C, H, W) uint8, or None for tables.
        paths: (N) string, path of each picture.
        skipped: rows that could not be read.
        root: folder that `paths` start from.
        task: already decided, by more rows than these; None to decide it.

    Raises:
        InputError: no rows, no usable labels.
        UsageError: a column that is not there.
    """
    place, names = origin.path, table.column_names
    if table.num_rows == 0:
        raise InputError(f"{place}: no rows — expected a header and data — is this the right file?")
    label = need_roles(names, options, place)
    excluded = excluded_columns(names, options.exclude, place)
    if task is None:
        given, task = label_task(decode_column(table.column(label)), options.task, place, label)
    else:
        given = without_missing_words(as_written(decode_column(table.column(label))))
        given = given if task.classes else as_numbers(given)
    left_out = [ExcludedColumn(name, "excluded") for name in excluded if name != label]
    reserved = {label, *excluded} | {name for name in (options.id, options.group) if name}
    candidates = [name for name in names if name not in reserved] if pictures is None else []
    arrays, columns, rest, warnings = features(table, candidates, given, task)
    if pictures is None and not columns:
        why = "; ".join(f"{out.name}: {out.why}" for out in rest) or "there are none"
        raise InputError(f"{place}: no column is left to learn from — {why}")
    roles = Roles(label, tuple(columns), options.id, options.group, tuple(left_out + rest))
    return Dataset(table, roles, task, given, origin, pictures, paths, root, skipped, tuple(warnings), arrays)


def excluded_columns(names: list[str], patterns: tuple[str, ...], place: str) -> list[str]:
    """The columns that `--exclude` names or matches.

    Raises:
        UsageError: a pattern that matches no column.
    """
    found: list[str] = []
    for pattern in patterns:
        matches = [name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)]
        if not matches:
            raise UsageError(f"{place}: --exclude {pattern} matches no column — columns: {listed(names)}{did_you_mean(pattern, names, '--exclude {}')}")
        found += [name for name in matches if name not in found]
    return found
