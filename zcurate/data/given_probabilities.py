"""Class probabilities of another model that the user brings: checked, and in the order of the task's classes. No torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import sqrt

import numpy as np

from zcurate.arrays.digest import array_digest
from zcurate.arrays.sample import sample
from zcurate.data.dataset import Dataset
from zcurate.data.labels import class_codes
from zcurate.errors import UsageError, listed

MAX_SUM_ERROR = 0.025
"""Difference from 1 up to which probabilities of a row are taken to add to 1, as those in half precision or of two digits do."""
MIN_LABELS, MIN_AGREEING = 20, 100
"""Labels from which probabilities that agree with fewer of them than chance, and with all of them, are in doubt."""
DEVIATIONS = 4.0
"""Standard errors below chance from which probabilities belong to other rows or classes."""


@dataclass(frozen=True)
class Matrix:
    """Numbers of each row."""

    values: np.ndarray
    """(N, V) float32; NaN where missing."""
    names: tuple[str, ...]
    """Names of the V columns; empty where they have none."""
    location: str
    """Where they come from, for messages."""


def with_probabilities(data: Dataset, found: Matrix) -> Dataset:
    """Add the user's class probabilities, in the order of the task's classes.

    Args:
        data: N rows of classes.
        found: (N, V).

    Raises:
        UsageError: regression, other classes, no probabilities, or probabilities that know less than chance.
    """
    location, classes = found.location, data.task.classes
    if not classes:
        raise UsageError(f"{location}: the labels are numbers to predict (regression) — expected classes — try --task multiclass")
    order, how = class_order(found, classes)
    names = list(classes)
    if how == "sorted" and (other := sorted(classes)) != sorted_classes(classes):
        # Numbers that were text: the labels tell by which of the two orders the model had its classes.
        orders = [sorted_classes(classes), other]
        names = max(orders, key=lambda one: agreement_of(found.values[:, [one.index(name) for name in classes]], data))
        order = [names.index(name) for name in classes]
    elif how == "sorted":
        names = sorted_classes(classes)
    values = found.values[:, order]
    check_probabilities(values, data.readable(), location)
    values = values / np.maximum(values.sum(1, keepdims=True), 1e-12)
    warnings = [] if found.names else [f"{location}: its columns are taken for the classes in sorted order: {listed(names, 6)}"]
    warnings += agreement_warnings(values, data, location)
    described = {**data.row_arrays, "probabilities": array_digest(found.values), "columns": how}
    return dataclasses.replace(data, probabilities=values, warnings=(*data.warnings, *warnings), row_arrays=described)


def agreement_of(values: np.ndarray, data: Dataset) -> float:
    """Compute the share of the labels that are the most probable class.

    Args:
        values: (N, C) in the order of the classes.
        data: N rows.
    """
    given = class_codes(data.given, data.task)
    return float((values.argmax(1) == given)[given >= 0].mean()) if (given >= 0).any() else 0.0


def sorted_classes(classes: tuple[str, ...]) -> list[str]:
    """Sort the names of classes as `numpy.unique` sorts the labels: by value where all are numbers, else by code point."""
    try:
        return sorted(classes, key=float)
    except ValueError:
        return sorted(classes)


def class_order(found: Matrix, classes: tuple[str, ...]) -> tuple[list[int], str]:
    """Find the column of each class.

    Args:
        found: (N, V).
        classes: names of the C classes.

    Returns:
        C columns, and how they were found: `by name` or `sorted`.

    Raises:
        UsageError: other columns than one for each class.
    """
    n = found.values.shape[1]
    if found.names and n > len(classes):
        extra = [name for name in found.names if not any(loose_name(name).endswith(loose_name(one)) for one in classes)]
        hint = f" — no label is {listed(map(repr, extra), 3)}: drop these columns and divide by the sum of the others" if extra else ""
        raise UsageError(f"{found.location}: {n} columns — expected {len(classes)}, one for each class: {listed(classes, 8)}{hint}")
    if n != len(classes):
        raise UsageError(f"{found.location}: {n} columns — expected {len(classes)}, one for each class: {listed(classes, 8)}")
    if not found.names:
        place = {name: at for at, name in enumerate(sorted_classes(classes))}
        return [place[name] for name in classes], "sorted"
    # Columns such as p_cat and p_dog: without what their names begin with.
    for start in range(min(map(len, found.names))):
        if len({name[:start] for name in found.names}) > 1:
            break
        for spell in (str, number_name, loose_name):
            names, wanted = [spell(name[start:]) for name in found.names], [spell(name) for name in classes]
            if sorted(names) == sorted(wanted) and len(set(names)) == len(names):
                return [names.index(name) for name in wanted], "by name"
    missing = next(name for name in classes if name not in found.names)
    raise UsageError(f"{found.location}: no column for class '{missing}' — columns: {listed(found.names, 8)} — expected the names of the classes")


def loose_name(name: str) -> str:
    """Write a name without regard to case and blanks, as labels are compared."""
    return number_name(name.strip().lower())


def number_name(name: str) -> str:
    """Write a name that is a whole number as labels are written, `1` for `1.0`; other names unchanged."""
    try:
        return str(int(float(name))) if float(name).is_integer() else name
    except (ValueError, OverflowError):
        return name


def check_probabilities(values: np.ndarray, readable: np.ndarray, location: str) -> None:
    """Refuse numbers that are no probabilities.

    Args:
        values: (N, C).
        readable: (N,) bool rows that matter.
        location: for messages.

    Raises:
        UsageError: names the first such row.
    """
    rows = np.flatnonzero(readable)
    with np.errstate(invalid="ignore", over="ignore"):
        total = values.sum(1, dtype=np.float64)
        missing = rows[~np.isfinite(values[rows]).all(1)]
        if len(missing):
            raise UsageError(f"{location}: row {missing[0]} holds NaN or infinity, {len(missing)} rows do — expected probabilities — predict these rows too")
        outside = rows[((values[rows] < -MAX_SUM_ERROR) | (values[rows] > 1 + MAX_SUM_ERROR)).any(1)]
        if len(outside):
            found = values[outside[0]]
            shown = found[np.abs(found - 0.5).argmax()]
            raise UsageError(f"{location}: row {outside[0]} holds {shown:.4g} — expected probabilities from 0 to 1 — of logits take the softmax")
        wrong = rows[np.abs(total[rows] - 1) > MAX_SUM_ERROR]
    if len(wrong):
        raise UsageError(f"{location}: row {wrong[0]} adds to {total[wrong[0]]:.4g}, {len(wrong)} rows do not add to 1 — expected probabilities of all classes")


def agreement_warnings(values: np.ndarray, data: Dataset, location: str) -> list[str]:
    """Compare probabilities with the labels: they must know more than chance, and must not come from a model that was trained on the same rows.

    Args:
        values: (N, C) in the order of the classes.
        data: N rows.
        location: for messages.

    Raises:
        UsageError: they agree with fewer labels than chance.
    """
    given = class_codes(data.given, data.task)
    rows = np.flatnonzero((given >= 0) & data.readable())
    rows = rows[sample(len(rows))]
    if not len(rows):
        return []
    best = values[rows].argmax(1)
    agreement = float((best == given[rows]).mean())
    chance = float((np.bincount(best, minlength=values.shape[1]) / len(rows)) @ (np.bincount(given[rows], minlength=values.shape[1]) / len(rows)))
    if len(rows) >= MIN_LABELS and agreement < chance - DEVIATIONS * sqrt(chance * (1 - chance) / len(rows)):
        advice = "check the order of rows and of columns"
        raise UsageError(f"{location}: agrees with {agreement:.1%} of the labels, by chance {chance:.1%} — expected more — {advice}")
    if len(rows) >= MIN_AGREEING and agreement == 1:
        return [f"{location}: agrees with every label — a model that was trained on these rows does too — out-of-sample probabilities find more"]
    return []
