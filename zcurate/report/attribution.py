"""Find the few columns of each row that speak most against its label.

Source of the scores: a number counts by how much better the suggested class's median and spread explain it than the given class's
(difference of absolute robust z-scores); a category by the difference of its log shares in the two classes; a text has a constant score.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.sample import sample
from zcurate.data.dataset import Column, Dataset
from zcurate.encoding.targets import class_codes

MAX_COLUMNS = 3
"""Columns listed for a row."""
TEXT_LENGTH = 60
"""Characters shown of a text."""
DIGITS = 6
"""Significant digits shown of a number."""
PROFILE_ROWS = 25_000
"""Rows over which medians, spreads and shares are computed, at most."""
FEW_VALUES = 1000
"""Numbers up to which each is formatted by Python, which rounds exactly."""


class ColumnProfiles:
    """Class-wise statistics of columns over a sample of rows, computed once per column of numbers and reused for all rows."""

    def __init__(self, arrays: dict[str, pa.Array], given: np.ndarray, n_classes: int) -> None:
        """Profile some rows.

        Args:
            arrays: their columns, (S,) each.
            given: (S,) int64 given classes, -1 = none.
            n_classes: C.
        """
        self.arrays, self.given, self.n_classes = arrays, given, n_classes
        self.centers: dict[str, np.ndarray] = {}

    @staticmethod
    def of(data: Dataset, given: np.ndarray | None = None, n_classes: int | None = None) -> ColumnProfiles:
        """Profile an even sample of the rows of a data set.

        Args:
            data: N rows.
            given: (N,) int64 given classes, -1 = none; None takes `class_codes`.
            n_classes: C; None takes the number of the task's classes.
        """
        given = class_codes(data) if given is None else given
        rows = sample(data.n_rows, PROFILE_ROWS)
        is_all = len(rows) == data.n_rows
        arrays = data.arrays if is_all else {name: array.take(pa.array(rows)) for name, array in data.arrays.items()}
        return ColumnProfiles(arrays, given[rows], max(1, len(data.task.classes)) if n_classes is None else n_classes)

    def centers_of(self, name: str) -> np.ndarray:
        """Compute median and spread of a column of numbers in each class.

        Args:
            name: of the column.

        Returns:
            (C + 1, 2) float64; the last entry, which class -1 indexes, and the entries of classes without rows are those of all rows.
        """
        if name not in self.centers:
            x = to_floats(self.arrays[name])
            table = np.tile(median_and_spread(x), (self.n_classes + 1, 1))
            for label in np.flatnonzero(np.bincount(self.given[self.given >= 0])):
                table[label] = median_and_spread(x[self.given == label])
            self.centers[name] = table
        return self.centers[name]


class AttributionRows(NamedTuple):
    """Classes of the rows to attribute."""

    given: np.ndarray
    """(M,) int64 given classes, -1 = none."""
    suggested: np.ndarray
    """(M,) int64 classes to compare with, -1 = the rest of the data."""


def attribute(data: Dataset, row: np.ndarray, given: np.ndarray, suggested: np.ndarray, profiles: ColumnProfiles | None = None) -> pa.ListArray:
    """List the columns of each row that speak most against its label.

    Args:
        data: N rows.
        row: (M,) rows to attribute.
        given: (N,) int64 given classes, -1 = none; all 0 for regression.
        suggested: (N,) int64 classes to compare with; -1 compares with the rest of the data.
        profiles: statistics to compare the rows with; None computes those of an even sample of `data`.

    Returns:
        (M,) list<string> of `column=value`, strongest first.
    """
    columns = [] if data.pictures is not None else [column for column in data.roles.features if column.kind != "vector"]
    n_shown = min(MAX_COLUMNS, len(columns))
    if n_shown == 0 or len(row) == 0:
        return pa.ListArray.from_arrays(pa.array(np.zeros(len(row) + 1, np.int32)), pa.array([], pa.string()))
    profiles = profiles or ColumnProfiles.of(data, given, int(max(given.max(), suggested.max())) + 1)
    best = top_attributions(data, columns, row, AttributionRows(given[row], suggested[row]), profiles)
    texts, positions = [], []
    for k, column in enumerate(columns):
        position = np.flatnonzero(best.reshape(-1) == k)
        if len(position):
            values = format_values(data, column, pa.array(row[position // n_shown]))
            texts.append(pc.binary_join_element_wise(pa.scalar(f"{column.name}="), values, ""))
            positions.append(position)
    order = np.argsort(np.concatenate(positions))
    return pa.ListArray.from_arrays(pa.array(np.arange(len(row) + 1, dtype=np.int32) * n_shown), pa.concat_arrays(texts).take(pa.array(order)))


def top_attributions(data: Dataset, columns: list[Column], row: np.ndarray, classes: AttributionRows, profiles: ColumnProfiles) -> np.ndarray:
    """Rank the columns of each row by how much they speak against its label.

    Args:
        data: N rows.
        columns: to choose from.
        row: (M,) rows to attribute.
        classes: of those rows.
        profiles: statistics to compare the rows with.

    Returns:
        (M, n_shown) int64 positions in `columns`, strongest first, earlier columns first among equals.
    """
    n_shown = min(MAX_COLUMNS, len(columns))
    strength, best = np.full((n_shown, len(row)), -np.inf), np.zeros((n_shown, len(row)), np.int64)
    for k, column in enumerate(columns):
        evidence, number = column_evidence(data.arrays[column.name], column, row, classes, profiles), np.full(len(row), k)
        is_stronger = np.zeros(len(row), bool)
        for at in range(n_shown):
            # Once an entry is replaced it moves down one position, and stays before its equals.
            is_stronger |= evidence > strength[at]
            strength[at], evidence = np.where(is_stronger, evidence, strength[at]), np.where(is_stronger, strength[at], evidence)
            best[at], number = np.where(is_stronger, number, best[at]), np.where(is_stronger, best[at], number)
    return best.T


def column_evidence(array: pa.Array, column: Column, row: np.ndarray, classes: AttributionRows, profiles: ColumnProfiles) -> np.ndarray:
    """Score how much better the suggested class explains each value than the given class.

    Args:
        array: (N,) the column.
        column: its name and kind.
        row: (M,) int64 rows to attribute.
        classes: of those rows.
        profiles: statistics to compare the rows with.

    Returns:
        (M,) float64, high = the value speaks against the given label.
    """
    if column.kind == "text":
        return np.full(len(row), 0.5)
    if column.kind == "category":
        profiled = profiles.arrays[column.name]
        if profiled is array:
            code, n_values = to_codes(array)
            return category_evidence(code, code[row], n_values, classes, profiles)
        code, n_values = to_codes(pa.concat_arrays([profiled, array.take(pa.array(row))]))
        return category_evidence(code[: len(profiled)], code[len(profiled) :], n_values, classes, profiles)
    return number_evidence(profiles.centers_of(column.name), to_floats(array)[row], classes)


def to_floats(array: pa.Array) -> np.ndarray:
    """Convert a column of numbers or times to (N,) float64, NaN where missing."""
    kind = array.type
    if pa.types.is_temporal(kind):
        array = array.cast(pa.int32() if pa.types.is_date32(kind) or pa.types.is_time32(kind) else pa.int64())
    return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def to_codes(array: pa.Array) -> tuple[np.ndarray, int]:
    """Number the distinct values of a column, with missing as the last of them; return (N,) int64 codes and the number of codes."""
    coded = array.dictionary_encode()
    coded = coded if isinstance(coded, pa.DictionaryArray) else coded.combine_chunks()
    n_values = len(coded.dictionary)
    return pc.fill_null(coded.indices.cast(pa.int64()), n_values).to_numpy(zero_copy_only=False), n_values + 1


def number_evidence(centers: np.ndarray, x: np.ndarray, classes: AttributionRows) -> np.ndarray:
    """Subtract the absolute robust z-score under the suggested class from that under the given class.

    Args:
        centers: (C + 1, 2) median and spread of each class and of all rows.
        x: (M,) float64 values of the rows.
        classes: of the rows.

    Returns:
        (M,) float64, -1 where the value is missing.
    """
    own, other = centers[classes.given], centers[classes.suggested]
    z_own = np.abs((x - own[:, 0]) / own[:, 1])
    gain = z_own - np.abs((x - other[:, 0]) / other[:, 1])
    gain = np.where((classes.given == classes.suggested) | (classes.suggested < 0), z_own, gain)
    return np.clip(np.nan_to_num(gain, nan=-1.0), -20.0, 20.0)


def median_and_spread(x: np.ndarray) -> tuple[float, float]:
    """Compute the median, and the scaled median absolute deviation or else a spread that is not zero."""
    known = x[~np.isnan(x)]
    if len(known) == 0:
        return 0.0, 1.0
    median = float(np.median(known))
    return median, float(1.4826 * np.median(np.abs(known - median))) or float(known.std()) or 1.0


def category_evidence(profiled: np.ndarray, code: np.ndarray, n_values: int, classes: AttributionRows, profiles: ColumnProfiles) -> np.ndarray:
    """Subtract the log share of the value in the given class from that in the suggested class.

    Args:
        profiled: (S,) int64 codes of the profiled rows, whose shares are counted.
        code: (M,) int64 codes of the rows to attribute.
        n_values: V.
        classes: of the rows to attribute.
        profiles: holds the classes of the profiled rows.

    Returns:
        (M,) float64.
    """
    labelled, n_classes = profiles.given >= 0, profiles.n_classes
    count = np.full((n_classes + 1, n_values), 0.5)
    count[:n_classes] += np.bincount(profiles.given[labelled] * n_values + profiled[labelled], minlength=n_classes * n_values).reshape(n_classes, n_values)
    count[n_classes] += count[:n_classes].sum(0)
    log_share = np.log(count / count.sum(1, keepdims=True))
    other = np.where(classes.suggested >= 0, classes.suggested, n_classes)
    own = np.where(classes.given >= 0, classes.given, n_classes)
    return log_share[other, code] - log_share[own, code]


def format_values(data: Dataset, column: Column, rows: pa.Array) -> pa.Array:
    """Format the values of a column for people, long texts truncated; (M,) string.

    Args:
        data: N rows.
        column: one of its features.
        rows: (M,) int64 rows.
    """
    values = data.arrays[column.name].take(rows)
    if pa.types.is_floating(values.type) and len(values) > FEW_VALUES:
        return format_numbers(values)
    distinct = pc.dictionary_encode(values, null_encoding="encode")
    return pa.array([format_value(value) for value in distinct.dictionary.to_pylist()], pa.string()).take(distinct.indices)


def format_numbers(values: pa.Array) -> pa.Array:
    """Format many numbers at once like `format_value`, except that a last digit half-way between two may round to the other.

    Args:
        values: (M,) of any floating type.

    Returns:
        (M,) string.
    """
    x = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    finite = np.isfinite(x) & (x != 0)
    size = np.abs(np.where(finite, x, 1.0))
    power = np.floor(np.log10(size)).astype(np.int64)
    is_plain = (size >= 1e-4) & (size < 999_999.5)
    digits = np.clip(np.where(is_plain, DIGITS - 1 - power, DIGITS - 1), 0, 22)
    shift = 10.0**digits
    rounded = np.where(finite, np.rint(np.where(is_plain, x, 0.0) * shift) / shift, x)
    texts = pc.cast(pa.array(rounded), pa.string())
    others = np.flatnonzero((finite & ~is_plain) | ~np.isfinite(x))
    if len(others):
        exact = pa.array([format_value(value) for value in values.take(pa.array(others)).to_pylist()], pa.string())
        mask = np.zeros(len(x), bool)
        mask[others] = True
        texts = pc.replace_with_mask(texts, pa.array(mask), exact)
    return texts


def format_value(value: object) -> str:
    """Format one value in few characters."""
    if value is None:
        return "(missing)"
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    text = " ".join(str(value).split())
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"
