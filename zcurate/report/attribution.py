"""The few columns of a row that speak against its label, to show beside it.

Leaves: lists of `column=value`. Enters: `Dataset` and verdicts. Numbers count by how much better the suggested class's median
and spread explain them than the given class's; categories by the logarithm of their shares; a text shows its beginning.
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
TEXT_LENGTH = 60
DIGITS = 6
PROFILE_ROWS = 25_000
"""Rows that medians, spreads and shares are taken over, at most."""
FEW_VALUES = 1000
"""Numbers up to which each is written by Python, which rounds exactly."""


class ColumnProfiles:
    """Rows that medians, spreads and shares are taken over, of numbers once for all rows that are set against them."""

    def __init__(self, arrays: dict[str, pa.Array], given: np.ndarray, n_classes: int) -> None:
        """Rows.

        Args:
            arrays: their columns, (S,) each.
            given: (S,) int64 given classes, -1 = none.
            n_classes: C.
        """
        self.arrays, self.given, self.n_classes = arrays, given, n_classes
        self.centres: dict[str, np.ndarray] = {}

    @staticmethod
    def of(data: Dataset, given: np.ndarray | None = None, n_classes: int | None = None) -> ColumnProfiles:
        """An even sample of the rows of a data set.

        Args:
            data: N rows.
            given: (N,) int64 given classes, -1 = none; None for `classes_given`.
            n_classes: C; None for the task's.
        """
        given = class_codes(data) if given is None else given
        some = sample(data.n_rows, PROFILE_ROWS)
        whole = len(some) == data.n_rows
        arrays = data.arrays if whole else {name: array.take(pa.array(some)) for name, array in data.arrays.items()}
        return ColumnProfiles(arrays, given[some], max(1, len(data.task.classes)) if n_classes is None else n_classes)

    def centres_of(self, name: str) -> np.ndarray:
        """(C + 1, 2) float64 median and spread of a column of numbers in each class; a class that no row has, and the last place, which -1 points
        at, stand for all rows.

        Args:
            name: of the column.
        """
        if name not in self.centres:
            x = numbers_of(self.arrays[name])
            table = np.tile(centre(x), (self.n_classes + 1, 1))
            for label in np.flatnonzero(np.bincount(self.given[self.given >= 0])):
                table[label] = centre(x[self.given == label])
            self.centres[name] = table
        return self.centres[name]


def attribute(data: Dataset, row: np.ndarray, given: np.ndarray, suggested: np.ndarray, backdrop: ColumnProfiles | None = None) -> pa.ListArray:
    """(M,) list<string>: for each wanted row its most telling columns, most telling first.

    Args:
        data: N rows.
        row: (M,) rows wanted.
        given: (N,) int64 given classes, -1 = none; all 0 for regression.
        suggested: (N,) int64 classes to compare with; -1 compares with the rest of the data.
        backdrop: rows that the wanted ones are set against; None for an even sample of these.
    """
    columns = [] if data.pictures is not None else [column for column in data.roles.features if column.kind != "vector"]
    n_shown = min(MAX_COLUMNS, len(columns))
    if n_shown == 0 or len(row) == 0:
        return pa.ListArray.from_arrays(pa.array(np.zeros(len(row) + 1, np.int32)), pa.array([], pa.string()))
    backdrop = backdrop or ColumnProfiles.of(data, given, int(max(given.max(), suggested.max())) + 1)
    best = top_attributions(data, columns, row, AttributionRows(given[row], suggested[row]), backdrop)
    words, percentiles = [], []
    for k, column in enumerate(columns):
        place = np.flatnonzero(best.reshape(-1) == k)
        if len(place):
            values = shown_values(data, column, pa.array(row[place // n_shown]))
            words.append(pc.binary_join_element_wise(pa.scalar(f"{column.name}="), values, ""))
            percentiles.append(place)
    order = np.argsort(np.concatenate(percentiles))
    return pa.ListArray.from_arrays(pa.array(np.arange(len(row) + 1, dtype=np.int32) * n_shown), pa.concat_arrays(words).take(pa.array(order)))


class AttributionRows(NamedTuple):
    """Classes of the rows wanted."""

    given: np.ndarray
    """(M,) int64 given classes, -1 = none."""
    suggested: np.ndarray
    """(M,) int64 classes to compare with, -1 = the rest of the data."""


def top_attributions(data: Dataset, columns: list[Column], row: np.ndarray, asked: AttributionRows, backdrop: ColumnProfiles) -> np.ndarray:
    """(M, n_shown) int64: which columns tell most, most telling first, the earlier ones first among equals.

    Args:
        data: N rows.
        columns: those to choose from.
        row: (M,) rows wanted.
        asked: their classes.
        backdrop: as for `telling`.
    """
    n_shown = min(MAX_COLUMNS, len(columns))
    strength, best = np.full((n_shown, len(row)), -np.inf), np.zeros((n_shown, len(row)), np.int64)
    for k, column in enumerate(columns):
        mine, number = column_evidence(data.arrays[column.name], column, row, asked, backdrop), np.full(len(row), k)
        more = np.zeros(len(row), bool)
        for at in range(n_shown):
            # What is pushed down stays before its equals.
            more |= mine > strength[at]
            strength[at], mine = np.where(more, mine, strength[at]), np.where(more, strength[at], mine)
            best[at], number = np.where(more, number, best[at]), np.where(more, best[at], number)
    return best.T


def column_evidence(array: pa.Array, column: Column, row: np.ndarray, asked: AttributionRows, backdrop: ColumnProfiles) -> np.ndarray:
    """(M,) float64: how much better the other class explains the value.

    Args:
        array: (N,) the column.
        column: its name and how it is read.
        row: (M,) int64 rows wanted.
        asked: their classes.
        backdrop: as for `telling`.
    """
    if column.kind == "text":
        return np.full(len(row), 0.5)
    if column.kind == "category":
        known = backdrop.arrays[column.name]
        if known is array:
            code, n_values = codes_of(array)
            return category_evidence(code, code[row], n_values, asked, backdrop)
        code, n_values = codes_of(pa.concat_arrays([known, array.take(pa.array(row))]))
        return category_evidence(code[: len(known)], code[len(known) :], n_values, asked, backdrop)
    return number_evidence(backdrop.centres_of(column.name), numbers_of(array)[row], asked)


def numbers_of(array: pa.Array) -> np.ndarray:
    """(N,) float64 of a column of numbers or times, NaN where missing."""
    kind = array.type
    if pa.types.is_temporal(kind):
        array = array.cast(pa.int32() if pa.types.is_date32(kind) or pa.types.is_time32(kind) else pa.int64())
    return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def codes_of(array: pa.Array) -> tuple[np.ndarray, int]:
    """(N,) int64 number of each value, a missing one like a value of its own; and how many numbers there are."""
    coded = array.dictionary_encode()
    coded = coded if isinstance(coded, pa.DictionaryArray) else coded.combine_chunks()
    n_values = len(coded.dictionary)
    return pc.fill_null(coded.indices.cast(pa.int64()), n_values).to_numpy(zero_copy_only=False), n_values + 1


def number_evidence(centres: np.ndarray, x: np.ndarray, asked: AttributionRows) -> np.ndarray:
    """(M,) difference of absolute robust z-scores under the two classes; 0 where the value is missing.

    Args:
        centres: (C + 1, 2) median and spread of each class and of all rows.
        x: (M,) float64 values of the rows wanted.
        asked: their classes.
    """
    own, other = centres[asked.given], centres[asked.suggested]
    alone = np.abs((x - own[:, 0]) / own[:, 1])
    gain = alone - np.abs((x - other[:, 0]) / other[:, 1])
    gain = np.where((asked.given == asked.suggested) | (asked.suggested < 0), alone, gain)
    return np.clip(np.nan_to_num(gain, nan=-1.0), -20.0, 20.0)


def centre(x: np.ndarray) -> tuple[float, float]:
    """Median and a spread that is never zero."""
    known = x[~np.isnan(x)]
    if len(known) == 0:
        return 0.0, 1.0
    middle = float(np.median(known))
    return middle, float(1.4826 * np.median(np.abs(known - middle))) or float(known.std()) or 1.0


def category_evidence(of_some: np.ndarray, code: np.ndarray, n_values: int, asked: AttributionRows, backdrop: ColumnProfiles) -> np.ndarray:
    """(M,) log share of the value in the suggested class minus in the given class.

    Args:
        of_some: (S,) int64 values that shares are counted over.
        code: (M,) int64 values of the rows wanted.
        n_values: V.
        asked: their classes.
        backdrop: whose classes those values have.
    """
    labelled, n_classes = backdrop.given >= 0, backdrop.n_classes
    count = np.full((n_classes + 1, n_values), 0.5)
    count[:n_classes] += np.bincount(backdrop.given[labelled] * n_values + of_some[labelled], minlength=n_classes * n_values).reshape(n_classes, n_values)
    count[n_classes] += count[:n_classes].sum(0)
    share = np.log(count / count.sum(1, keepdims=True))
    other = np.where(asked.suggested >= 0, asked.suggested, n_classes)
    own = np.where(asked.given >= 0, asked.given, n_classes)
    return share[other, code] - share[own, code]


def shown_values(data: Dataset, column: Column, take: pa.Array) -> pa.Array:
    """(M,) string: the values as a person reads them, texts cut short.

    Args:
        data: N rows.
        column: of its features.
        take: (M,) int64 rows.
    """
    values = data.arrays[column.name].take(take)
    if pa.types.is_floating(values.type) and len(values) > FEW_VALUES:
        return numbers_shown(values)
    distinct = pc.dictionary_encode(values, null_encoding="encode")
    return pa.array([shown(value) for value in distinct.dictionary.to_pylist()], pa.string()).take(distinct.indices)


def numbers_shown(values: pa.Array) -> pa.Array:
    """(M,) string: as `shown`, many numbers at once; a last digit that lies just between two may fall to the other side.

    Args:
        values: (M,) of any floating type.
    """
    x = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    finite = np.isfinite(x) & (x != 0)
    size = np.abs(np.where(finite, x, 1.0))
    power = np.floor(np.log10(size)).astype(np.int64)
    plain = (size >= 1e-4) & (size < 999_999.5)
    digits = np.clip(np.where(plain, DIGITS - 1 - power, DIGITS - 1), 0, 22)
    shift = 10.0**digits
    rounded = np.where(finite, np.rint(np.where(plain, x, 0.0) * shift) / shift, x)
    words = pc.cast(pa.array(rounded), pa.string())
    wild = np.flatnonzero((finite & ~plain) | ~np.isfinite(x))
    if len(wild):
        other = pa.array([shown(value) for value in values.take(pa.array(wild)).to_pylist()], pa.string())
        mask = np.zeros(len(x), bool)
        mask[wild] = True
        words = pc.replace_with_mask(words, pa.array(mask), other)
    return words


def shown(value: object) -> str:
    """One value in few characters."""
    if value is None:
        return "(missing)"
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    text = " ".join(str(value).split())
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"
