"""Read the label column: missing labels, the task, classes that are spelled in several ways, targets with exceptions. No torch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.options import ScanOptions
from zcurate.data.conversions import HEAD_VALUES, Conversion, convert_text, is_grouped, misfits, without_markers
from zcurate.data.dataset import DeclaredClasses, Task
from zcurate.data.declared_classes import label_text
from zcurate.data.ordering import compare_orderings
from zcurate.data.values import MISSING_WORDS, as_numbers, as_written, without_missing_words
from zcurate.errors import InputError, UsageError, listed

MAX_CLASSES = 1000
"""Maximum number of classes; a wider softmax per row is out of scope."""
MAX_TARGET = 1e150
"""Largest target: variances are computed of them."""
MAX_NAMES = 200_000
"""Characters of all names of classes together, at most: the run card repeats them."""
MANY_VALUES = 50
"""Whole numbers with more distinct values are taken for a quantity where the columns do not tell; by taste."""
CLEAR_EVIDENCE = 0.02
"""Difference of the mean log-likelihoods [nats] from which the columns tell whether whole numbers are names or a quantity; chosen on simulated data."""
NEAR, NAMES_ARE_APART, MIN_UNEQUAL, FEW_LABELS = 0.7, 0.87, 50, 5
"""`Ordering.nearness` below which labels are a quantity, and below which they may be; pairs that it needs, and labels up to which they stay classes; chosen on
simulated data, where names have .85 to 1.25."""
MAX_CHANCE = 0.02
"""`Ordering.by_chance` up to which the labels may be a quantity."""
MIN_COVERED = 0.8
"""`Ordering.covered` above which the order of the labels is not that of a few classes that happen to touch."""
MIN_ROWS_PER_CLASS = 8
"""Rows per class below which many classes come with a warning; by taste."""
MIN_JUDGED_ROWS = 20
"""Labeled rows below which a table is too small to be judged, and classes of single rows are no error."""
EMPTY = ("",)
"""Words that mean a missing label where labels are typed: the empty string."""

Matrix = Callable[[], "np.ndarray | None"]
"""Makes the (N, F) matrix of the feature columns, without missing values; None where no column has numbers or categories."""


@dataclass(frozen=True)
class LabelContext:
    """What reading labels depends on besides the labels."""

    location: str
    """The input, for messages."""
    column: str
    """Name of the label column, for messages."""
    options: ScanOptions
    """`task`, `missing`, `keep_spelling`."""
    is_text: bool = False
    """The labels come from a text format, where words such as NA stand for missing ones."""
    declared: DeclaredClasses | None = None
    """What the input itself says of its labels, such as that they are names of folders; None where nothing."""
    decimal_comma: bool = False
    """The file has decimal commas."""
    matrix: Matrix = field(default=lambda: None)
    """The feature columns."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Words, in lower case, that mean a missing label."""
        return missing_words(self.options, self.is_text)


@dataclass(frozen=True)
class Labels:
    """The labels of all rows and the task."""

    given: pa.Array
    """(N) string as written, or float64 for regression; null where missing."""
    task: Task
    """The task."""
    warnings: tuple[str, ...] = ()
    """What may mislead, one line each."""


def missing_words(options: ScanOptions, is_text: bool) -> tuple[str, ...]:
    """Return the words, in lower case, that mean a missing value: those of `--missing`, else the usual ones in text formats."""
    if options.missing is not None:
        return (*EMPTY, *(word.strip().lower() for word in options.missing.split(",")))
    return MISSING_WORDS if is_text else EMPTY


def read_labels(labels: pa.Array, context: LabelContext, counts: dict[str, int] | None = None) -> Labels:
    """Convert labels to the report's form and infer the task.

    Args:
        labels: (N) any basic type; only the distinct ones if `counts` is given.
        context: what else matters.
        counts: label -> number of rows, for labels read batch by batch; None to count them.

    Raises:
        InputError: no label at all, one class, too many classes, or classes of one row each.
        UsageError: the wanted task does not fit the labels.
    """
    where = f"{context.location}: column '{context.column}'"
    declared = context.declared
    try:
        text = label_text(labels, declared, context.missing)
    except InputError as error:
        raise InputError(f"{context.location}: {error}") from error
    counts = count_labels(text) if counts is None else counts
    n_labelled = sum(counts.values())
    if n_labelled == 0:
        raise InputError(f"{where} is empty — 0 of {len(text)} rows have a label — name another with --label COL")
    may_be_words = context.is_text and declared is None and context.options.missing is None and text.null_count > 0
    warnings = missing_warning(as_written(labels), context) if may_be_words else []
    numbers, conversion = (None, None) if declared is not None and context.options.task != "regression" else as_targets(text, context)
    missing = context.missing
    if numbers is not None and conversion is not None and len(counts) <= MIN_JUDGED_ROWS and context.options.task != "regression":
        markers = [] if context.options.missing is not None else [label for label in counts if is_marker(label)]
        if markers:
            warnings.append(markers_warning(markers, counts, context))
            missing = (*missing, *(marker.lower() for marker in markers))
            text, counts = without_missing_words(text, missing), {label: n for label, n in counts.items() if label not in markers}
            n_labelled = sum(counts.values())
    # The names that an input declares itself are apart by its own words.
    keep = context.options.keep_spelling or (declared is not None and bool(declared.names))
    variants = {} if keep else spelling_variants(counts)
    kind, why = context.options.task, "as asked for by --task"
    if kind == "auto":
        kind, why, doubt = infer_task(numbers, conversion, len(counts) - len(variants), context)
        warnings += doubt
    if kind == "regression":
        return regression_labels(text, numbers, conversion, why, warnings, context)
    classes = [value for value in counts if value not in variants]
    advice = "name another with --label COL"
    if variants:
        advice = f"--keep-spelling keeps {listed(map(repr, [*variants, *classes]), 3)} apart"
    elif warnings:
        advice = "--missing '' makes the words that are taken for missing a class, or name another with --label COL"
    warnings += check_classes(classes, n_labelled, numbers is not None, context, advice)
    if kind == "binary" and len(classes) != 2:
        raise UsageError(f"{context.location}: --task binary, but column '{context.column}' has {len(classes)} classes — expected two — try --task multiclass")
    if variants:
        warnings.append(variants_warning(variants, counts, where))
    is_number = all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value) for value in classes)
    key = (lambda value: (float(value), value)) if is_number else (lambda value: (value.lower(), value))
    ordered = sorted(classes, key=key)
    if declared is not None and declared.names:
        ordered = [name for name in dict.fromkeys(declared.names) if name in classes]
    task = Task("binary" if len(classes) == 2 else "multiclass", why, tuple(ordered), declared, variants, missing)
    return Labels(text, task, tuple(warnings))


def is_marker(label: str) -> bool:
    """Return whether a label is a marker of a missing value among numbers, such as `?` beside 0 and 1."""
    return without_markers(pa.array([label])).null_count == 1


def markers_warning(markers: list[str], counts: dict[str, int], context: LabelContext) -> str:
    """Say which markers among labels that are numbers otherwise were taken for missing labels."""
    n = sum(counts[label] for label in markers)
    return f"column '{context.column}': {n} labels {listed(map(repr, markers), 3)} among numbers are taken for missing — --missing '' makes them classes"


def count_labels(text: pa.Array) -> dict[str, int]:
    """Count the rows of each label."""
    counted = pc.value_counts(text.drop_null())
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def missing_warning(written: pa.Array, context: LabelContext) -> list[str]:
    """Say which words of a text format were taken for missing labels."""
    trimmed = pc.utf8_trim_whitespace(written).drop_null()
    words = trimmed.filter(pc.and_(pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING_WORDS)), pc.not_equal(trimmed, "")))
    if not len(words):
        return []
    found = sorted(pc.unique(words).to_pylist())
    return [
        f"column '{context.column}': {len(words)} labels are taken for missing, as they are written {listed(found, 4)}"
        f" — --missing '' makes {'it a class' if len(found) == 1 else 'them classes'}"
    ]


def as_targets(text: pa.Array, context: LabelContext) -> tuple[pa.Array | None, Conversion | None]:
    """Convert labels to numbers if nearly all of them are.

    Returns:
        (N) float64 or None; and how they were converted where some do not fit, or have units; None for plain numbers.
    """
    plain = None if context.decimal_comma or is_grouped(text) else as_numbers(text)
    if plain is not None:
        return plain, None
    forced = "number" if context.options.task == "regression" else None
    # Most labels are words, which their first values tell.
    head = text.drop_null().slice(0, HEAD_VALUES).to_pylist()
    if forced is None and not any(character.isdigit() for value in head for character in value):
        return None, None
    converted, conversion = convert_text(without_markers(text), context.decimal_comma, forced)  # type: ignore[arg-type]
    if conversion is None or conversion.kind != "number":
        return None, None
    return converted.cast(pa.float64()), conversion


def infer_task(numbers: pa.Array | None, conversion: Conversion | None, n_values: int, context: LabelContext) -> tuple[str, str, list[str]]:
    """Infer the task, its reason, and what to say where the labels leave it open (DESIGN section 3).

    Args:
        numbers: (N) float64 labels; None for text.
        conversion: how text became numbers; None for plain numbers.
        n_values: number of distinct labels, spelling aside.
        context: the feature columns.
    """
    plural = "s" if n_values != 1 else ""
    classes = "binary" if n_values == 2 else "multiclass"
    if context.declared is not None:
        return classes, f"{context.declared.why} with {n_values} distinct value{plural}", []
    if numbers is None:
        return classes, f"labels are text with {n_values} distinct value{plural}", []
    known = numbers.drop_null()
    distinct = pc.unique(known)
    few = conversion is not None and n_values <= MIN_JUDGED_ROWS
    if pc.any(pc.and_(pc.is_finite(distinct), pc.not_equal(distinct, pc.floor(distinct)))).as_py() and not few:
        hint = f"column '{context.column}' has only {n_values} values: taken for a quantity — if they name classes, add --task multiclass"
        return "regression", "labels are numbers with a fractional part", [hint] if n_values <= FEW_LABELS else []
    if n_values <= 2 or few:
        return classes, f"labels are {'text' if few else 'whole numbers'} with {n_values} distinct value{plural}", []
    return infer_from_order(numbers, n_values, classes, context)


def infer_from_order(numbers: pa.Array, n_values: int, classes: str, context: LabelContext) -> tuple[str, str, list[str]]:
    """Tell whole numbers that name classes from those that measure something.

    Args:
        numbers: (N) float64, null where missing.
        n_values: number of distinct labels.
        classes: name of the task if they are classes.
        context: the feature columns.
    """
    matrix, words = context.matrix(), f"labels are whole numbers with {n_values} distinct values"
    y = numbers.to_numpy(zero_copy_only=False)
    known = np.isfinite(y)
    if matrix is not None and len(matrix) == len(y) and known.sum() >= MIN_JUDGED_ROWS:
        found = compare_orderings(matrix[known], y[known])
        is_near = found.n_unequal >= MIN_UNEQUAL and found.by_chance == 0 and found.covered > MIN_COVERED
        if found.evidence > CLEAR_EVIDENCE or (is_near and found.nearness < NEAR and n_values > FEW_LABELS):
            return "regression", f"{words} that measure something: similar rows have labels next to each other", []
        if found.by_chance <= MAX_CHANCE and found.covered > MIN_COVERED and found.nearness < NAMES_ARE_APART:
            hint = f"column '{context.column}': similar rows have labels next to each other — if the numbers measure something, add --task regression"
            return classes, words, [hint]
        if found.evidence < -CLEAR_EVIDENCE or (found.as_names > CLEAR_EVIDENCE and found.evidence < 0):
            return classes, f"{words} that name classes: similar rows have equal labels, not labels next to each other", []
    if n_values > MANY_VALUES:
        doubt = f"column '{context.column}' has {n_values} different whole numbers: taken for a quantity — if they name classes, add --task multiclass"
        return "regression", words, [doubt]
    doubt = f"column '{context.column}' has {n_values} different whole numbers: taken for classes — if they measure something, add --task regression"
    return classes, words, [doubt] if n_values > 10 else []


def check_classes(classes: list[str], n_labelled: int, are_numbers: bool, context: LabelContext, one_class_advice: str) -> list[str]:
    """Refuse labels that cannot be classes, and return what to say of those that hardly can.

    Args:
        classes: distinct labels.
        n_labelled: rows with a label.
        are_numbers: nearly all labels are numbers.
        context: location and column.
        one_class_advice: what to do if there is one class.

    Raises:
        InputError: one class, more classes than half the rows, or more than `MAX_CLASSES`.
    """
    where = f"{context.location}: column '{context.column}'"
    if len(classes) == 1:
        raise InputError(f"{where} has one class, {classes[0]} — expected two or more — {one_class_advice}")
    advice = "try --task regression, or name another with --label COL" if are_numbers else "name another with --label COL"
    if n_labelled > MIN_JUDGED_ROWS and len(classes) > n_labelled / 2:
        raise InputError(f"{where} has {len(classes)} different labels in {n_labelled} rows — expected labels that many rows share — {advice}")
    if len(classes) > MAX_CLASSES:
        raise InputError(f"{where} has {len(classes)} classes in {n_labelled} rows — at most {MAX_CLASSES} can be judged — {advice}")
    if sum(map(len, classes)) > MAX_NAMES:
        longest = max(map(len, classes))
        raise InputError(f"{where} has {len(classes)} labels of up to {longest} characters — expected names of classes — is it a text? {advice}")
    if len(classes) > MANY_VALUES and len(classes) * MIN_ROWS_PER_CLASS > n_labelled:
        return [
            f"column '{context.column}' has {len(classes)} classes in {n_labelled} rows: few rows to judge each by — is it the label? --label COL names another"
        ]
    return []


def spelling_key(value: str) -> str:
    """Return what spellings of one label share: without case, repeated blanks, Unicode composition, and `.0` behind whole numbers."""
    visible = re.sub("[\u200b-\u200d\u2060\ufeff]", "", unicodedata.normalize("NFC", value))
    plain = " ".join(visible.split()).casefold()
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", plain)


def spelling_variants(counts: dict[str, int]) -> dict[str, str]:
    """Map each label to the most frequent label that differs from it in spelling only.

    Args:
        counts: label -> number of rows.
    """
    groups: dict[str, list[str]] = {}
    for value in counts:
        groups.setdefault(spelling_key(value), []).append(value)
    variants: dict[str, str] = {}
    for values in groups.values():
        chosen = max(values, key=lambda value: (counts[value], value))
        variants |= {value: chosen for value in values if value != chosen}
    return variants


def variants_warning(variants: dict[str, str], counts: dict[str, int], where: str) -> str:
    """Name the labels that are taken for another spelling of a class."""
    pairs = listed((f"'{value}' ({counts[value]} rows) for '{chosen}'" for value, chosen in variants.items()), 4)
    return f"{where}: labels that differ only in spelling are one class: {pairs} — --keep-spelling keeps them apart"


def regression_labels(text: pa.Array, numbers: pa.Array | None, conversion: Conversion | None, why: str, warnings: list[str], context: LabelContext) -> Labels:
    """Return float64 targets, those that are no finite numbers as null, and the regression task.

    Raises:
        UsageError: the targets are not numbers.
        InputError: the targets are all equal, or too large to compute with.
    """
    where = f"{context.location}: column '{context.column}'"
    if numbers is None or 2 * (len(numbers) - numbers.null_count) < len(text) - text.null_count:
        example = next(value for value in text.to_pylist() if value is not None and as_numbers(pa.array([value])) is None)
        n_values = len(pc.unique(text.drop_null()))
        advice = "try --task multiclass" if n_values <= min(MAX_CLASSES, len(text) // 2) else "name another with --label COL"
        raise UsageError(f"{context.location}: --task regression, but column '{context.column}' holds '{example}' — expected numbers — {advice}")
    if conversion is not None:
        n_lost, example = misfits(text, numbers)
        form = conversion.form.describe()
        if n_lost:
            warnings = [*warnings, f"column '{context.column}': {n_lost} of {len(text)} targets are no numbers, such as '{example}': those rows are unlabelled"]
        if form:
            warnings = [*warnings, f"column '{context.column}': read as numbers with {form}"]
    finite = pc.is_finite(numbers)
    numbers = pc.if_else(finite, numbers, pa.scalar(None, pa.float64()))
    if len(pc.unique(numbers.drop_null())) < 2:
        raise InputError(f"{where} holds one value — expected a target that varies — name another with --label COL")
    largest = pc.max(pc.abs(numbers)).as_py()
    if largest > MAX_TARGET:
        raise InputError(f"{where} holds {largest:g} — expected targets of at most {MAX_TARGET:g}, whose squares are numbers — divide them by a large number")
    return Labels(numbers, Task("regression", why, declared=context.declared, missing=context.missing, conversion=conversion), tuple(warnings))


def labels_of_task(array: pa.Array, task: Task) -> pa.Array:
    """Convert labels to the form of a task that was inferred from other rows; a target that does not fit becomes null.

    Args:
        array: (n) label column of a basic type.
        task: of all rows.

    Returns:
        (n) string, or float64 for regression.
    """
    text = label_text(array, task.declared, task.missing)
    if task.kind != "regression":
        return text
    numbers = as_numbers(text) if task.conversion is None else None
    if numbers is None:
        conversion = task.conversion or convert_text(text, forced="number")[1]
        numbers = pa.nulls(len(text), pa.float64()) if conversion is None else conversion.apply(text).cast(pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def class_codes(given: pa.Array, task: Task) -> np.ndarray:
    """Encode given classes, (n,) int64, -1 = unlabelled; all 0 for regression.

    Args:
        given: (n) labels as written.
        task: of all rows.
    """
    if not task.classes:
        return np.zeros(len(given), np.int64)
    spellings = pa.array([*task.classes, *task.variants], pa.string())
    code = pc.fill_null(pc.index_in(given, value_set=spellings), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.r_[np.arange(len(task.classes)), [task.classes.index(name) for name in task.variants.values()], -1].astype(np.int64)[code]
