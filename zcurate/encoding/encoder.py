"""Encode a table or pictures as tensors, from which a batch is then gathered by row number.

Numbers get a quantile-bin piecewise-linear encoding (Gorishniy et al. 2022, arXiv:2203.05556, eq. 1), made per batch from resident floats;
categories become codes for embeddings; text a sparse TF-IDF row, a sentence embedding or both; pictures stay uint8.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from zcurate import plugins
from zcurate.arrays.chunk import chunk_ranges
from zcurate.config.model_config import ModelConfig
from zcurate.data.dataset import Dataset
from zcurate.data.table import ResidentTable, StreamedTable
from zcurate.encoding.categorical import as_text, common_values
from zcurate.encoding.copies import find_copies, find_copies_by_sample, hash_rows, hash_terms
from zcurate.encoding.dates import all_time_parts
from zcurate.encoding.encoded import EncodedRows, dtype_for
from zcurate.encoding.groups import fold_keys, group_codes, hashed_groups, split_codes
from zcurate.encoding.images import order_by_content, take_in_order
from zcurate.encoding.numeric import ENCODE_ROWS, bin_fields, median_and_bins, number_columns, subtract_median
from zcurate.encoding.picture_features import picture_features, standardized
from zcurate.encoding.shuffle import shuffle_rows
from zcurate.encoding.targets import MAX_TARGET, TargetScale, class_codes, fit_target_scale
from zcurate.encoding.text import Vocabulary, text_fields
from zcurate.encoding.vectors import to_matrix
from zcurate.encoding.wide import encode_wide
from zcurate.runtime.context import RunContext
from zcurate.runtime.process_group import SingleProcess
from zcurate.runtime.store import InMemoryStore
from zcurate.runtime.threads import run_in_threads


@dataclass(frozen=True)
class FittedEncoding:
    """How rows in memory were encoded, so that others are encoded alike."""

    encoder: Encoder
    """Of the columns."""
    vocabularies: list[Vocabulary]
    """Of the texts."""
    scale: tuple[np.ndarray, np.ndarray] | None
    """(V,) float32 mean and standard deviation of the features of pictures; infinite for constant ones."""


def encode(table: ResidentTable | StreamedTable, spec: ModelConfig, run: RunContext) -> EncodedRows:
    """Encode every readable row.

    Args:
        table: in memory, or streamed from its files.
        spec: `bins`, `text`, `name`, `dtype`.
        run: device of the tensors; stores of the rows and of the pixels.
    """
    if isinstance(table, StreamedTable):
        return encode_streamed(table, spec, run)
    return encode_resident(table.sample, spec, run)[0]


def encode_resident(data: Dataset, spec: ModelConfig, run: RunContext, fitted: FittedEncoding | None = None) -> tuple[EncodedRows, FittedEncoding]:
    """Encode every readable row of a data set in memory.

    Args:
        data: N rows.
        spec: `bins`, `text`, `name`, `dtype`.
        run: device of the tensors; stores of the rows and of the pixels.
        fitted: how other rows were encoded, as these are to be; None to fit the encoding to these.

    Returns:
        The rows, and how they are encoded.
    """
    device = run.torch_device
    row = np.flatnonzero(data.readable()).astype(np.int64)
    fields: dict[str, Any] = {}
    pixels, scale = None, None
    if data.pictures is not None:
        row = order_by_content(data, row, run.image_store)
        pixels = torch.from_numpy(take_in_order(data.pictures, row, run.image_store))
        fields, scale = picture_fields(data, row, pixels, spec, run, None if fitted is None else fitted.scale)
    rows = take_rows(data, row)
    encoder = Encoder.fit(rows, {}, spec) if fitted is None else fitted.encoder
    arrays = encoder.transform(rows)
    prose = [rows.arrays[column.name] for column in rows.roles.features if column.kind == "text"]
    known = None if fitted is None else fitted.vocabularies
    texts, vocabularies = text_fields(prose, spec, data.n_classes or 2, device, run.download, known) if prose else ({}, [])
    inputs = copy_inputs(arrays, texts, pixels)
    row_hash = hash_rows(inputs)
    copies = find_copies(row_hash, inputs)
    constant = encoder.fields
    if spec.principal:
        # The bins and codes of single columns are used no more.
        arrays, constant = by_rows(arrays), {}
    if "dense" in texts and "dense" in arrays:
        texts["dense"] = torch.cat([torch.from_numpy(arrays.pop("dense")), texts["dense"]], 1)
    fields |= {**constant, **{name: torch.from_numpy(array) for name, array in arrays.items()}, **texts}
    y = fields.pop("y").to(device)
    image_store = run.image_store if device.type == "cpu" else InMemoryStore()
    fold_key, dtype = fold_keys(group_codes(data, row), copies), dtype_for(spec, len(row), device)
    encoded = EncodedRows(
        y, row, fold_key, encoder.n_outputs, row_hash, copies, split_codes(data, row), target=encoder.target, dtype=dtype, image_store=image_store,
        **on_device(fields, device),
    )  # fmt: skip
    return encoded, FittedEncoding(encoder, vocabularies, scale)


def picture_fields(
    data: Dataset, row: np.ndarray, pixels: Tensor, spec: ModelConfig, run: RunContext, scale: tuple[np.ndarray, np.ndarray] | None
) -> tuple[dict[str, Any], tuple[np.ndarray, np.ndarray] | None]:  # fmt: skip
    """Return what the members get of pictures: their pixels, or their features by a pre-trained network or of the user; and the features where there are any.

    Args:
        data: N pictures.
        row: (M,) int64 readable ones, in the order of the encoded rows.
        pixels: (M, C, H, W) uint8.
        spec: `name`, `features`.
        run: device, progress, where features are kept.
        scale: mean and standard deviation of other features, as (V,) each; None for those of these.

    Returns:
        Fields of `EncodedRows`, and the scale; None where there are no features.
    """
    takes_pixels = plugins.model_plugin(spec.name).inputs != "table"
    fields: dict[str, Any] = {"images": pixels} if takes_pixels else {}
    if spec.features != "none":
        found = picture_features(data, spec.features, run.download, run) if data.features is None else data.features
        array, scale = standardized(found, row, scale)
        features = torch.from_numpy(array)
        fields |= {"features": features} if takes_pixels else {"features": features, "dense": features}
    return fields, scale


def copy_inputs(arrays: dict[str, np.ndarray], texts: dict[str, Any], images: Tensor | None = None) -> list[np.ndarray]:
    """List the inputs by which rows are compared, (N, ...) each.

    Args:
        arrays: from `Encoder.transform`.
        texts: from `text_fields`; of sentence embeddings, whose last digits depend on the batch, only where there are no terms.
        images: (N, C, H, W) uint8.
    """
    inputs = [arrays[name] for name in ("x", "codes", "dense") if name in arrays]
    if "term" in texts:
        inputs.append(hash_terms(texts["term"].numpy(), texts["term_start"].numpy())[:, None])
    elif "dense" in texts:
        inputs.append(texts["dense"].cpu().numpy())
    return inputs if images is None else [*inputs, images.numpy()]


def by_rows(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Replace the numbers and codes of a table with more columns than rows by `columns` and the rows' principal coordinates.

    Args:
        arrays: from `Encoder.transform`.
    """
    others = {name: array for name, array in arrays.items() if name not in ("x", "codes")}
    found = encode_wide(arrays.get("x"), arrays.get("codes"))
    vectors = [others["dense"]] if "dense" in others else []
    return {**others, "columns": found.columns, "dense": np.concatenate([found.coordinates, *vectors], 1)}


def encode_streamed(table: StreamedTable, spec: ModelConfig, run: RunContext) -> EncodedRows:
    """Encode the rows that this process reads, batch by batch, into the store in a random order.

    Args:
        table: streamed from its files.
        spec: `bins`, `name`, `dtype`.
        run: store of the rows; seed of their order.
    """
    encoder = Encoder.fit(table.sample, table.counts, spec)
    grouped = table.sample.roles.group is not None

    def encode_batch(batch: Dataset, first_row: int) -> dict[str, np.ndarray]:
        arrays = encoder.transform(batch)
        arrays["hash"] = hash_rows(copy_inputs(arrays, {}))
        arrays["row"] = np.arange(first_row, first_row + len(batch.given))
        return arrays | ({"fold_key": hashed_groups(batch)} if grouped else {})

    arrays = shuffle_rows(table, encode_batch, run.seed, run.store)
    row, row_hash = arrays.pop("row"), arrays.pop("hash")
    copies = find_copies_by_sample(row_hash, copy_inputs(arrays, {}), run.processes.gathered if run.processes.is_sharded else SingleProcess().gathered)
    if copies is not None and grouped:
        copies = dataclasses.replace(copies, only_groups=True)
    fold_key = arrays.pop("fold_key") if grouped else row if copies is None else copies.key
    fields = on_device({**encoder.fields, **{name: torch.from_numpy(array) for name, array in arrays.items()}}, run.torch_device)
    dtype = dtype_for(spec, table.sample.n_rows, run.torch_device)
    y, n_outputs = fields.pop("y"), encoder.n_outputs
    return EncodedRows(y, row, fold_key, n_outputs, copies=copies, target=encoder.target, dtype=dtype, store=run.store, **fields)


def on_device(fields: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The same fields with tensors on a device."""
    return {name: one.to(device) if isinstance(one, Tensor) else one for name, one in fields.items()}


def take_rows(data: Dataset, row: np.ndarray) -> Dataset:
    """Labels and feature columns of some rows; the data set itself where these are all of them in their order.

    Args:
        data: N rows.
        row: (M,) int64.
    """
    if len(row) == len(data.given) and np.array_equal(row, np.arange(len(row))):
        return data
    taken = pa.array(row)
    return dataclasses.replace(data, given=data.given.take(taken), arrays={name: array.take(taken) for name, array in data.arrays.items()})


@dataclass(frozen=True)
class Encoder:
    """How the columns of a table become numbers, fitted on a sample, so that any batch of its rows can be encoded by itself."""

    centers: list[tuple[float, bool] | None]
    """Of each number column its median, and whether values are missing; None where no value is known."""
    order: list[int]
    """Order of these columns in `x`."""
    time_parts: dict[str, list[int]]
    """Of each column of times, which of its parts vary."""
    categories: dict[str, tuple[pa.Array, int]]
    """Of each category column its common values, and where its codes begin."""
    scale: tuple[np.ndarray, np.ndarray] | None
    """Mean and standard deviation of the numbers in vectors; infinite for constant ones."""
    fields: dict[str, Any]
    """The fields of `EncodedRows` that are the same for all rows."""
    target: TargetScale | None
    """Regression: how targets are standardized."""
    n_outputs: int
    """C classes, or 2 (location, log scale) for regression."""

    @staticmethod
    def fit(sample: Dataset, counts: dict[str, dict[str, int]], spec: ModelConfig) -> Encoder:
        """Fit the encoder.

        Args:
            sample: all rows, or an even sample of them.
            counts: of category columns, how often each value is there among all rows; those that are missing are counted in the sample.
            spec: `bins`.
        """
        of_kind = {kind: [column.name for column in sample.roles.features if column.kind == kind] for kind in ("time", "category", "vector")}
        parts = {name: all_time_parts(sample.arrays[name]) for name in of_kind["time"]}
        varying = {name: [at for at, part in enumerate(found) if np.nanmin(part) < np.nanmax(part)] or [0] for name, found in parts.items()}
        numbers = number_columns(sample, varying)
        found = run_in_threads([partial(median_and_bins, values, spec.bins) for values in numbers], len(sample.given))
        centers = [None if one is None else (one[0], one[2]) for one in found]
        bins = [own for one in found if one is not None for own in ([one[1], [(0.0, 1.0)]] if one[2] else [one[1]])]
        order, fields = bin_fields(bins, spec.bins) if bins else ([], {})
        categories, offset = {}, 0
        for name in of_kind["category"]:
            categories[name] = common_values(sample.arrays[name], counts.get(name)), offset
            offset += len(categories[name][0]) + 2
        scale = None
        if of_kind["vector"]:
            wide = np.concatenate([to_matrix(sample.arrays[name]) for name in of_kind["vector"]], 1).astype(np.float64)
            deviation = wide.std(0)
            scale = wide.mean(0), np.where(deviation > 1e-12, deviation, np.inf)
        target = None
        if not sample.task.classes:
            y = sample.given.to_numpy(zero_copy_only=False).astype(np.float64)
            target = fit_target_scale(y[~np.isnan(y)])
        fields |= {"n_codes": offset} if categories else {}
        return Encoder(centers, order, varying, categories, scale, fields, target, sample.n_classes if target is None else 2)

    def transform(self, rows: Dataset) -> dict[str, np.ndarray]:
        """Encode some rows.

        Args:
            rows: n rows, columns in the sample's types.

        Returns:
            `y` (n,) int64 classes (-1 = unlabelled) or float32 standardized targets (NaN = unlabelled); where there are such columns `x` (n, F)
            float32, `codes` (n, Q) int64, `dense` (n, V) float32.
        """
        arrays = {"x": self.numbers(rows), "codes": self.codes(rows), "dense": self.dense(rows)}
        return {name: array for name, array in arrays.items() if array.shape[1]} | {"y": self.labels(rows)}

    def numbers(self, rows: Dataset) -> np.ndarray:
        """(n, F) float32 numbers less the column's median, which also fills missing values; and indicators of missing values."""
        columns: list[tuple[np.ndarray, float | None]] = []
        for values, center in zip(number_columns(rows, self.time_parts), self.centers, strict=True):
            if center is not None:
                columns += [(values, center[0]), (values, None)] if center[1] else [(values, center[0])]
        x = np.empty((len(rows.given), len(columns)), np.float32)

        def fill(begin: int, end: int) -> None:
            for new, old in enumerate(self.order):
                values, median = columns[old]
                part = values[begin:end]
                x[begin:end, new] = ~np.isfinite(part) if median is None else subtract_median(part, median)

        # Some rows at a time, so that what is written column by column stays in the cache.
        run_in_threads([partial(fill, begin, end) for begin, end in chunk_ranges(len(x), ENCODE_ROWS)], len(x))
        return x

    def codes(self, rows: Dataset) -> np.ndarray:
        """(n, Q) int64 codes: per column 0 for missing, 1 for rare values, then the common values in order of their spelling."""
        columns = []
        for name, (common, offset) in self.categories.items():
            text = as_text(rows.arrays[name])
            code = pc.add(pc.fill_null(pc.index_in(text, value_set=common), -1), 2).to_numpy(zero_copy_only=False).astype(np.int64)
            columns.append(np.where(text.is_null().to_numpy(zero_copy_only=False), 0, code) + offset)
        return np.stack(columns, 1) if columns else np.zeros((len(rows.given), 0), np.int64)

    def dense(self, rows: Dataset) -> np.ndarray:
        """(n, V) float32 standardized vectors."""
        vectors = [to_matrix(rows.arrays[column.name]) for column in rows.roles.features if column.kind == "vector"]
        if self.scale is None or not vectors:
            return np.zeros((len(rows.given), 0), np.float32)
        mean, deviation = self.scale
        return ((np.concatenate(vectors, 1).astype(np.float64) - mean) / deviation).astype(np.float32)

    def labels(self, rows: Dataset) -> np.ndarray:
        """(n,) int64 classes or float32 standardized targets."""
        if self.target is not None:
            y = rows.given.to_numpy(zero_copy_only=False).astype(np.float64)
            return np.clip(self.target.forward(y), -MAX_TARGET, MAX_TARGET).astype(np.float32)
        return class_codes(rows)
