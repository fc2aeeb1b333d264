"""The few columns of a row that speak against its label, to show beside it.

Leaves: (N,) lists of `column=value`. Enters: `Dataset` and verdicts. Numbers count by how much better the suggested class's median
and spread explain them than the given class's; categories by the logarithm of their shares; a text shows its beginning.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.dataset import Column, Dataset

MOST_COLUMNS = 3
TEXT_LENGTH = 60


def telling(data: Dataset, row: np.ndarray, given: np.ndarray, suggested: np.ndarray) -> list[list[str]]:
    """For each wanted row its most telling columns, most telling first.

    Args:
        data: N rows.
        row: (M,) rows wanted.
        given: (N,) int64 given classes, -1 = none; all 0 for regression.
        suggested: (N,) int64 classes to compare with; -1 compares with the rest of the data.
    """
    if data.pictures is not None or len(row) == 0:
        return [[] for _ in row]
    columns = [column for column in data.roles.features if column.kind != "vector"]
    evidence = np.stack([column_evidence(data, column, row, given, suggested) for column in columns]) if columns else np.zeros((0, len(row)))
    order = np.argsort(-evidence, axis=0, kind="stable")[:MOST_COLUMNS]
    take = pa.array(row)
    shown = [shown_values(data, column, take) for column in columns]
    return [[f"{columns[k].name}={shown[k][at]}" for k in order[:, at]] for at in range(len(row))]


def column_evidence(data: Dataset, column: Column, row: np.ndarray, given: np.ndarray, suggested: np.ndarray) -> np.ndarray:
    """(M,) float64: how much better the other class explains the value."""
    array = data.arrays[column.name]
    if column.kind == "text":
        return np.full(len(row), 0.5)
    if column.kind == "category":
        return category_evidence(array, row, given, suggested)
    kind = array.type
    values = array.cast(pa.int64()) if pa.types.is_temporal(kind) and not pa.types.is_date32(kind) and not pa.types.is_time32(kind) else array
    values = values.cast(pa.int32()) if pa.types.is_date32(kind) or pa.types.is_time32(kind) else values
    return number_evidence(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), row, given, suggested)


def number_evidence(x: np.ndarray, row: np.ndarray, given: np.ndarray, suggested: np.ndarray) -> np.ndarray:
    """Difference of absolute robust z-scores under the two classes; 0 where the value is missing."""
    whole = centre(x)
    by_class = {int(label): centre(x[given == label]) for label in np.unique(given[given >= 0])}
    own = np.array([by_class.get(int(given[at]), whole) for at in row]).reshape(-1, 2)
    other = np.array([by_class.get(int(suggested[at]), whole) for at in row]).reshape(-1, 2)
    gain = np.abs((x[row] - own[:, 0]) / own[:, 1]) - np.abs((x[row] - other[:, 0]) / other[:, 1])
    same = given[row] == suggested[row]
    gain = np.where(same | (suggested[row] < 0), np.abs((x[row] - own[:, 0]) / own[:, 1]), gain)
    return np.clip(np.nan_to_num(gain, nan=-1.0), -20.0, 20.0)


def centre(x: np.ndarray) -> tuple[float, float]:
    """Median and a spread that is never zero."""
    known = x[~np.isnan(x)]
    if len(known) == 0:
        return 0.0, 1.0
    middle = float(np.median(known))
    return middle, float(1.4826 * np.median(np.abs(known - middle))) or float(known.std()) or 1.0


def category_evidence(array: pa.Array, row: np.ndarray, given: np.ndarray, suggested: np.ndarray) -> np.ndarray:
    """log share of the value in the suggested class minus in the given class."""
    coded = array.dictionary_encode()
    coded = coded if isinstance(coded, pa.DictionaryArray) else coded.combine_chunks()
    code = pc.fill_null(coded.indices.cast(pa.int64()), len(coded.dictionary)).to_numpy(zero_copy_only=False)
    n_values, n_classes = len(coded.dictionary) + 1, int(max(given.max(), suggested.max())) + 1
    labelled = given >= 0
    count = np.full((n_classes + 1, n_values), 0.5)
    np.add.at(count, (given[labelled], code[labelled]), 1)
    count[n_classes] += count[:n_classes].sum(0)
    share = np.log(count / count.sum(1, keepdims=True))
    other = np.where(suggested[row] >= 0, suggested[row], n_classes)
    own = np.where(given[row] >= 0, given[row], n_classes)
    return share[other, code[row]] - share[own, code[row]]


def shown_values(data: Dataset, column: Column, take: pa.Array) -> list[str]:
    """The values as a person reads them, texts cut short."""
    values = data.arrays[column.name].take(take).to_pylist()
    return [shown(value) for value in values]


def shown(value: object) -> str:
    """One value in few characters."""
    if value is None:
        return "(missing)"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join(str(value).split())
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"
