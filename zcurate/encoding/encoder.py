"""The door in: from a `Dataset` to tensors that stay on the device, and from there to a batch by row number alone.

Leaves: `Encoded`, `Inputs`. Enters: `Dataset`. Numbers get a quantile-bin piecewise-linear encoding (Gorishniy et
al. 2022, arXiv:2203.05556, eq. 1), made per batch from the resident floats; categories become codes for embeddings; text a sparse
TF-IDF row, a sentence embedding or both; pictures stay uint8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from zcurate.config.model_config import ModelConfig
from zcurate.data.dataset import Dataset
from zcurate.data.table import StreamedTable
from zcurate.encoding.categorical import MAX_CATEGORIES, MIN_CATEGORY_ROWS, as_text, category_fields
from zcurate.encoding.dates import all_time_parts, time_parts
from zcurate.encoding.encoded import EncodedRows, dtype_for
from zcurate.encoding.groups import fold_keys
from zcurate.encoding.images import order_by_content, take_in_order
from zcurate.encoding.numeric import MAX_NUMBER, bin_fields, number_columns, number_fields, quantile_bins, subtract_median, to_numbers
from zcurate.encoding.targets import MAX_TARGET, TargetScale, encode_labels, fit_target_scale
from zcurate.encoding.text import text_fields
from zcurate.encoding.vectors import standardize, to_matrix
from zcurate.runtime.store import MemoryMappedStore


def encode(data: Dataset, spec: ModelConfig, device: torch.device, room: MemoryMappedStore | None = None) -> EncodedRows:
    """Every readable row as tensors on `device`.

    Args:
        data: N rows.
        spec: `bins`, `text`.
        device: where the tensors stay.
        room: takes the pixels of pictures, which a CPU then reads from there; None for memory.
    """
    row = np.flatnonzero(data.readable()).astype(np.int64)
    if data.pictures is not None:
        row = order_by_content(data, row, room)
    y, target = encode_labels(data, row)
    parts: dict[str, Any] = (
        feature_fields(data, row, spec, device) if data.pictures is None else {"images": torch.from_numpy(take_in_order(data.pictures, row, room))}
    )
    moved: dict[str, Any] = {name: part.to(device) if isinstance(part, Tensor) else part for name, part in parts.items()}
    n_outputs = data.n_classes if target is None else 2
    dtype, mapped = dtype_for(spec, len(row), device), room if device.type == "cpu" else None
    return EncodedRows(torch.from_numpy(y).to(device), row, fold_keys(data, row), n_outputs, target=target, dtype=dtype, mapped=mapped, **moved)


def feature_fields(data: Dataset, row: np.ndarray, spec: ModelConfig, device: torch.device) -> dict[str, Any]:
    """The fields of `Encoded` that hold a table's features."""
    numbers: list[np.ndarray] = []
    vectors: list[np.ndarray] = []
    categories: list[pa.Array] = []
    prose: list[pa.Array] = []
    all_rows = len(row) == data.n_rows
    for column in data.roles.features:
        array = data.arrays[column.name] if all_rows else data.arrays[column.name].take(pa.array(row))
        if column.kind == "number":
            numbers.append(to_numbers(array))
        elif column.kind == "time":
            numbers += time_parts(array)
        elif column.kind == "category":
            categories.append(array)
        elif column.kind == "text":
            prose.append(array)
        else:
            vectors.append(to_matrix(array))
    fields: dict[str, Any] = {}
    if numbers:
        fields |= number_fields(numbers, spec.bins)
    if vectors:
        fields["dense"] = torch.from_numpy(standardize(np.concatenate(vectors, 1)))
    if categories:
        fields |= category_fields(categories)
    if prose:
        made = text_fields(prose, spec, data.n_classes or 2, device)
        if "dense" in made and "dense" in fields:
            made["dense"] = torch.cat([fields["dense"], made["dense"]], 1)
        fields |= made
    return fields


@dataclass(frozen=True)
class ColumnEncoder:
    """How the columns of a table become numbers, read off a sample, so that any piece of it can be encoded alone."""

    centres: list[tuple[float, bool]]
    """Of each column of numbers its median, and whether values were missing; NaN where none was known."""
    order: list[int]
    """Which of the columns so made comes first in `x`."""
    parts: dict[str, list[int]]
    """Of each column of times, which of its parts vary."""
    values: dict[str, tuple[pa.Array, int]]
    """Of each column of categories its common values, and where its codes begin."""
    scale: tuple[np.ndarray, np.ndarray] | None
    """Mean and deviation of the numbers in vectors."""
    fields: dict[str, Any]
    """The fields of `Encoded` that are the same for all rows."""
    target: TargetScale | None
    """Regression: how targets are standardised."""

    def numbers(self, data: Dataset) -> np.ndarray:
        """(n, F) float32 `x` of some rows; (n, 0) where there are no numbers."""
        columns = []
        for values, (centre, has_missing) in zip(number_columns(data, self.parts), self.centres, strict=True):
            if np.isnan(centre):
                continue
            columns.append(subtract_median(values, centre).astype(np.float32))
            if has_missing:
                columns.append((~np.isfinite(values)).astype(np.float32))
        return np.stack([columns[at] for at in self.order], 1) if columns else np.zeros((len(data.given), 0), np.float32)

    def categories(self, data: Dataset) -> np.ndarray:
        """(n, Q) int64 `codes` of some rows."""
        columns = []
        for name, (common, offset) in self.values.items():
            text = as_text(data.arrays[name])
            code = pc.add(pc.fill_null(pc.index_in(text, value_set=common), -1), 2).to_numpy(zero_copy_only=False).astype(np.int64)
            columns.append(np.where(text.is_null().to_numpy(zero_copy_only=False), 0, code) + offset)
        return np.stack(columns, 1) if columns else np.zeros((len(data.given), 0), np.int64)

    def dense(self, data: Dataset) -> np.ndarray:
        """(n, V) float32 `dense` of some rows."""
        vectors = [to_matrix(data.arrays[column.name]) for column in data.roles.features if column.kind == "vector"]
        if self.scale is None or not vectors:
            return np.zeros((len(data.given), 0), np.float32)
        middle, deviation = self.scale
        return ((np.concatenate(vectors, 1) - middle) / deviation).astype(np.float32)

    def labels(self, data: Dataset) -> np.ndarray:
        """(n,) int64 classes or float32 standardised targets of some rows."""
        if self.target is None:
            return encode_labels(data, np.arange(len(data.given)))[0]
        y = data.given.to_numpy(zero_copy_only=False).astype(np.float64)
        return np.clip(self.target.forward(y), -MAX_TARGET, MAX_TARGET).astype(np.float32)


def fit_encoder(found: StreamedTable, spec: ModelConfig) -> ColumnEncoder:
    """How a surveyed table becomes numbers.

    Args:
        found: its sample and the counts of its categories.
        spec: `bins`.
    """
    sample = found.data
    kinds: dict[str, list[str]] = {kind: [column.name for column in sample.roles.features if column.kind == kind] for kind in ("time", "category", "vector")}
    every = {name: all_time_parts(sample.arrays[name]) for name in kinds["time"]}
    parts = {name: [at for at, part in enumerate(made) if np.nanmin(part) < np.nanmax(part)] or [0] for name, made in every.items()}
    centres, bins = [], []
    for values in number_columns(sample, parts):
        known = np.clip(values[np.isfinite(values)], -MAX_NUMBER, MAX_NUMBER)
        centres.append((float(np.median(known)) if len(known) else float("nan"), len(known) < len(values)))
        if len(known):
            bins.append(quantile_bins((known - centres[-1][0]).astype(np.float32), spec.bins))
            bins += [[(0.0, 1.0)]] if centres[-1][1] else []
    order, fields = bin_fields(bins, spec.bins) if bins else ([], {})
    taken, offset = {}, 0
    for name in kinds["category"]:
        counted = found.counts.get(name) or {
            entry["values"]: entry["counts"] for entry in pc.value_counts(as_text(sample.arrays[name]).drop_null()).to_pylist()
        }
        pairs = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
        common = sorted(value for value, n in pairs[:MAX_CATEGORIES] if n >= MIN_CATEGORY_ROWS)
        taken[name] = pa.array(common, pa.string()), offset
        offset += len(common) + 2
    scale = None
    if kinds["vector"]:
        wide = np.concatenate([to_matrix(sample.arrays[name]) for name in kinds["vector"]], 1).astype(np.float64)
        deviation = wide.std(0)
        scale = wide.mean(0), np.where(deviation > 1e-12, deviation, np.inf)
    target = None
    if not sample.task.classes:
        y = sample.given.to_numpy(zero_copy_only=False).astype(np.float64)
        target = fit_target_scale(y[~np.isnan(y)])
    return ColumnEncoder(centres, order, parts, taken, scale, fields | ({"n_codes": offset} if taken else {}), target)
