"""Infer column roles and the task from an Arrow table. No torch.

One rule for all formats, so that the same data gets the same roles as CSV, JSON or Parquet.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.digest import array_digest
from zcurate.config.array_source import is_array
from zcurate.config.options import ScanOptions
from zcurate.config.verdicts import ADDED_COLUMNS
from zcurate.data.annotators import annotator_columns, consensus_name, consensus_of, is_answers, merged_spellings, read_annotations, unknown_labels
from zcurate.data.answers import annotations_of
from zcurate.data.dataset import Column, Dataset, ExcludedColumn, FileNotes, InputInfo, Leak, Roles, Task
from zcurate.data.declared_classes import label_column
from zcurate.data.earlier import EarlierColumns, ReadLikeEarlier, earlier_columns
from zcurate.data.feature_matrix import feature_matrix
from zcurate.data.features import FeatureColumn, forced_kinds, misfit_warnings, read_column
from zcurate.data.labels import LabelContext, class_codes, labels_of_task, missing_words, read_labels
from zcurate.data.leakage import find_leaks, find_target_leaks
from zcurate.data.named_columns import named_columns
from zcurate.data.slices import read_slices
from zcurate.data.values import decode_column, key_text
from zcurate.errors import InputError, UsageError, did_you_mean, listed

NO_VALUES = {"number": pa.float64(), "time": pa.timestamp("us"), "category": pa.string(), "text": pa.string(), "vector": pa.list_(pa.float32())}
"""Kind of a column -> type of it where all values are missing."""
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
"""Matches the columns in which pandas keeps an index."""
USUAL_LABELS = ("label", "target", "class", "y")
"""Names, in any case, by which a label column is recognized."""


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


def label_name(names: list[str], options: ScanOptions, location: str) -> str:
    """Return the label column; where a consensus takes its place, the first annotator's.

    Raises:
        UsageError: as `find_label`, and for columns of annotators that do not exist.
    """
    if isinstance(options, ReadLikeEarlier) and options.columns is not None and options.label is None and options.columns.label not in names:
        return options.columns.label
    if is_answers(options.annotators) and options.label is None:
        return consensus_name(names)
    annotators = annotator_columns(names, options.annotators, location)
    return find_label(names, annotators[0] if annotators and options.label is None else options.label, location)


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
    label = label_name(names, options, location)
    need_column(names, options.id, "--id", location)
    need_column(names, options.group, "--group", location)
    need_column(names, options.slices, "--slices", location)
    return label


def need_ids(table: pa.Table, name: str | None, location: str) -> None:
    """Check that the column of `--id` holds single values.

    Raises:
        InputError: it holds lists, structures or the like.
    """
    kind = None if name is None else table.schema.field(name).type
    if kind is not None and (pa.types.is_nested(kind) or pa.types.is_interval(kind)):
        raise InputError(f"{location}: --id {name} is of type {str(kind)[:60]} — expected single values such as text or numbers — name another column")


def need_groups(table: pa.Table, group: str | None, location: str) -> None:
    """Check that `--group` tells rows apart: with one group, no member would be trained without the others.

    Raises:
        InputError: all rows are in one group, or its type cannot be one.
    """
    if group is None:
        return
    values = decode_column(table.column(group))
    key_text(values.slice(0, 1), f"--group {group}", location)
    if table.num_rows < 2:
        return
    if values.null_count == 0 and len(pc.unique(values)) == 1:
        one = f"'{values[0].as_py()}' in all {table.num_rows} rows"
        raise InputError(f"{location}: --group {group} is {one} — expected two groups or more — leave it out, or name another column")


def read_features(table: pa.Table, names: list[str], options: ScanOptions, notes: FileNotes, location: str) -> list[FeatureColumn]:
    """Convert the candidate columns to their final types and infer their kinds.

    Args:
        table: (N) the input.
        names: candidate columns.
        options: `kind`.
        notes: of the reader.
        location: the input, for messages.
    """
    named_columns(table.column_names, options.features, "--features", location)
    forced = forced_kinds(table.column_names, options.kind, location)
    missing = missing_words(options, is_text=True)
    return [read_column(name, table.column(name), forced.get(name), notes.decimal_comma, missing, location) for name in names]


def brought_columns(names: list[str], options: ScanOptions, pictures: bool, location: str) -> dict[str, str]:
    """Find the columns that hold what the user brings for each row, which no model is trained on as columns: name -> what it holds.

    Args:
        names: all columns.
        options: `features`, `probabilities`.
        pictures: the input's rows are pictures.
        location: the input, for messages.

    Raises:
        UsageError: there is no such column.
    """
    found = dict.fromkeys(named_columns(names, options.probabilities, "--probabilities", location), "class probabilities")
    return found | (dict.fromkeys(named_columns(names, options.features, "--features", location), "features of the pictures") if pictures else {})


def own_columns(names: list[str], options: ScanOptions) -> list[str]:
    """Find the columns that `zcurate apply` added, by their names: they say what an earlier scan made of the label.

    Args:
        names: all columns.
        options: `label`, `id`, `group`, `kind`; a column named there is the user's own.
    """
    own = [name for name in names if name.rstrip("_") in ADDED_COLUMNS.values()]
    return [name for name in own if name not in (options.label, options.id, options.group) and name not in (kind.rpartition("=")[0] for kind in options.kind)]


def leaks_of(columns: list[FeatureColumn], given: pa.Array, task: Task) -> list[Leak]:
    """Find the columns that give the label away.

    Args:
        columns: features.
        given: (N) labels.
        task: of the labels.
    """
    arrays = {column.name: column.array for column in columns}
    kinds = [Column(column.name, column.kind) for column in columns if column.kind is not None]
    if not task.classes:
        return find_target_leaks(arrays, kinds, given.to_numpy(zero_copy_only=False))
    return find_leaks(arrays, kinds, class_codes(given, task), task.classes)


def dataset(
    table: pa.Table,
    origin: InputInfo,
    options: ScanOptions,
    pictures: np.ndarray | None = None,
    paths: pa.Array | None = None,
    notes: FileNotes | None = None,
    root: str | None = None,
    label_counts: dict[str, int] | None = None,
) -> Dataset:
    """Infer roles and task; the last step of every reader.

    Args:
        table: (N) every column of the input; for images the columns other than the images.
        origin: identity of the input.
        options: `label`, `id`, `group`, `exclude`, `kind`, `task`, `missing`.
        pictures: (N, C, H, W) uint8 images; None for tables.
        paths: (N) string, path of each image.
        notes: what the reader found: rows that could not be read, warnings.
        root: folder that `paths` are relative to.
        label_counts: label -> number of rows, if `table` is a sample of more rows; None if these are all.

    Raises:
        InputError: no rows, no usable labels.
        UsageError: a column that does not exist.
    """
    location, names, notes = origin.path, table.column_names, notes or FileNotes()
    if table.num_rows == 0:
        raise InputError(f"{location}: no rows — expected a header and data — is this the right file?")
    earlier = earlier_columns(options)
    if earlier is not None:
        return like_earlier(table, origin, options, earlier, pictures, paths, notes, root)
    label = need_roles(names, options, location)
    need_ids(table, options.id, location)
    need_groups(table, options.group, location)
    excluded = excluded_columns(names, options.exclude, location)
    brought = brought_columns(names, options, pictures is not None, location)
    own = own_columns(names, options)
    index = [name for name in names if PANDAS_INDEX.fullmatch(name) and name not in excluded and name not in (label, options.id, options.group)]
    annotators = annotator_columns(names, options.annotators, location)
    annotations, doubts = (
        annotations_of(table, options, location, paths) if is_answers(options.annotators) else (read_annotations(table, annotators, location), [])
    )
    annotations = annotations if annotations is None or options.keep_spelling else merged_spellings(annotations)
    reserved = {label, *excluded, *brought, *own, *annotators, *index} | {name for name in (options.id, options.group) if name}
    candidates = [name for name in names if name not in reserved] if pictures is None else []
    columns = read_features(table, candidates, options, notes, location)
    features = [column for column in columns if column.kind is not None]
    left_out = [ExcludedColumn(name, "excluded") for name in excluded if name != label]
    left_out += [ExcludedColumn(name, "written by zcurate apply") for name in own if name not in (*excluded, *brought)]
    left_out += [ExcludedColumn(name, "index of a pandas frame") for name in index]
    left_out += [ExcludedColumn(name, why) for name, why in brought.items()]
    left_out += [ExcludedColumn(name, "labels of an annotator") for name in annotators if name not in excluded]
    left_out += [ExcludedColumn(column.name, column.why) for column in columns if column.kind is None]
    if annotations is not None and options.label is None:
        label, written, declared = consensus_name(names), consensus_of(annotations), None
    else:
        written, declared = label_column(table, label)
    context = dataclasses.replace(label_context(label, location, options, notes, features, pictures), declared=declared)
    labels = read_labels(written, context, label_counts)
    if pictures is None and not features and not is_array(options.features) and options.probabilities is None:
        raise nothing_left(left_out, location)
    leaks = leaks_of(features, labels.given, labels.task)
    warnings = [*notes.warnings, *doubts, *labels.warnings, *misfit_warnings(columns, table.num_rows), *(leak.text() for leak in leaks)]
    roles = Roles(label, tuple(Column(column.name, column.kind) for column in features if column.kind), options.id, options.group, tuple(left_out))
    arrays = {column.name: column.array for column in features}
    conversions = {column.name: column.conversion for column in features if column.conversion is not None}
    missing, given, task = missing_words(options, is_text=True), labels.given, labels.task
    slices = read_slices(table, options.slices, location)
    data = Dataset(
        table, roles, task, given, origin, pictures, paths, root, notes.skipped, tuple(warnings), tuple(leaks), arrays, conversions, missing,
        slices=slices, annotations=annotations, row_arrays={} if annotations is None else {"annotators": array_digest(annotations.code)},
    )  # fmt: skip
    return data if annotations is None else with_known_votes(data, location)


def with_known_votes(data: Dataset, location: str) -> Dataset:
    """Warn of annotators' labels that are no class of the data.

    Args:
        data: with annotations.
        location: the input, for messages.

    Raises:
        InputError: none of them is a class.
    """
    assert data.annotations is not None  # crack: narrows types only
    votes = data.votes()
    unknown = unknown_labels(data.annotations, votes) if data.task.classes else {}
    pairs = listed((f"'{name}' ({n})" for name, n in unknown.items()), 4)
    if unknown and not (votes >= 0).any():
        raise InputError(f"{location}: --annotators: no label is a class of '{data.roles.label}': {pairs} — expected {listed(data.task.classes, 4)}")
    text = f"--annotators: labels that are no class of '{data.roles.label}' do not count: {pairs}"
    return dataclasses.replace(data, warnings=(*data.warnings, text)) if unknown else data


def like_earlier(
    table: pa.Table, origin: InputInfo, options: ScanOptions, earlier: EarlierColumns, pictures: np.ndarray | None, paths: pa.Array | None, notes: FileNotes,
    root: str | None,
) -> Dataset:  # fmt: skip
    """Read rows as an earlier scan read its own: the same label, classes, and columns of the same kinds.

    Args:
        table: as for `dataset`, as are the others.
        origin: identity of the input.
        options: `label`, `id`.
        earlier: what the earlier scan learned from.
        pictures: (N, C, H, W) uint8; None for tables.
        paths: (N) string, path of each picture.
        notes: of the reader.
        root: folder of the paths.

    Raises:
        UsageError: a column is missing, or pictures are of another size.
    """
    location, names = origin.path, table.column_names
    if earlier.task.kind == "regression":
        raise UsageError(f"{location}: the earlier scan is of a regression — expected classes for --against — scan both together")
    is_made = isinstance(options, ReadLikeEarlier) and options.label is None and earlier.label not in names
    label = need_roles(names, options if is_made else dataclasses.replace(options, label=options.label or earlier.label), location)
    need_ids(table, options.id, location)
    shape = None if pictures is None else tuple(pictures.shape[1:])
    if shape != earlier.pictures:
        found, expected = ("a table" if one is None else f"pictures of {one[2]}x{one[1]} in {one[0]} channels" for one in (shape, earlier.pictures))
        raise UsageError(f"{location}: {found} — expected {expected} as in the earlier scan — scan it by itself, without --against")
    earlier.check_columns(names, location)
    # Columns of one value, or of none, were something to learn from in the earlier scan.
    try:
        columns = read_features(table, [column.name for column in earlier.features], dataclasses.replace(options, kind=earlier.kinds()), notes, location)
    except UsageError as error:
        reason = str(error).replace("--kind ", "the earlier scan read ").partition(" — ")[0]
        raise UsageError(f"{reason} — expected values as in the earlier scan — mend the column") from error
    given = labels_of_task(label_column(table, label)[0], earlier.task) if label in names else pa.nulls(table.num_rows, pa.string())
    task = earlier.task if options.keep_spelling else earlier.with_spellings(given)
    unknown = earlier.unknown(given, task)
    warnings = [*notes.warnings, *misfit_warnings(columns, table.num_rows)]
    if unknown:
        pairs = listed((f"'{name}' ({n} rows)" for name, n in unknown.items()), 4)
        warnings.append(f"column '{label}': no class of the earlier scan: {pairs} — those rows are not judged")
    used = {label, options.id, options.group, *(column.name for column in earlier.features)}
    left_out = tuple(ExcludedColumn(name, "not in the earlier scan") for name in names if name not in used)
    arrays = {
        column.name: column.array if column.kind is not None else pa.nulls(table.num_rows, NO_VALUES[kept.kind])
        for column, kept in zip(columns, earlier.features, strict=True)
    }
    roles = Roles(label, earlier.features, options.id, options.group, left_out)
    task = dataclasses.replace(task, why="as in the earlier scan")
    missing = missing_words(options, is_text=True)
    return Dataset(table, roles, task, given, origin, pictures, paths, root, notes.skipped, tuple(warnings), (), arrays, {}, missing)


def label_context(
    label: str, location: str, options: ScanOptions, notes: FileNotes, features: list[FeatureColumn], pictures: np.ndarray | None
) -> LabelContext:
    """Collect what reading the labels depends on.

    Args:
        label: the label column.
        location: the input, for messages.
        options: `task`, `missing`, `keep_spelling`.
        notes: of the reader.
        features: feature columns.
        pictures: (N, C, H, W) uint8; None for tables.
    """

    def matrix() -> np.ndarray | None:
        if pictures is None:
            return feature_matrix(features)
        step = max(1, pictures.shape[-1] // 8)
        return pictures[:, :, ::step, ::step].reshape(len(pictures), -1).astype(np.float32)

    return LabelContext(location, label, options, notes.is_text, None, notes.decimal_comma, matrix)


def nothing_left(left_out: list[ExcludedColumn], location: str) -> InputError:
    """Create the error for an input without features: what was left out, and how to use it all the same."""
    if not left_out:
        return InputError(f"{location}: no column is left to learn from — there is only the label — expected columns that describe each row")
    why = listed((f"{column.name} ({column.why})" for column in left_out), 6)
    forced = next((column.name for column in left_out if column.why.startswith("identifier")), None)
    advice = f"use one all the same with --kind {forced}=text, =category or =number" if forced else "add columns that describe the rows"
    return InputError(f"{location}: no column is left to learn from — left out: {why} — {advice}")


def excluded_columns(names: list[str], patterns: tuple[str, ...], location: str) -> list[str]:
    """Return the columns that match `--exclude`.

    Raises:
        UsageError: a pattern matches no column.
    """
    excluded: dict[str, None] = {}
    # A pattern with commas that is no column is a list of patterns.
    parts = [part for pattern in patterns for part in ([pattern] if pattern in names else pattern.split(","))]
    for pattern in (part.strip() if part not in names else part for part in parts):
        matches = [name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)]
        if not matches:
            raise UsageError(f"{location}: --exclude {pattern} matches no column — columns: {listed(names)}{did_you_mean(pattern, names, '--exclude {}')}")
        excluded |= dict.fromkeys(matches)
    return list(excluded)
