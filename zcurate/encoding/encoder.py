"""The door in: from a `Dataset` to tensors that stay on the device, and from there to a batch by row number alone.

Leaves: `Encoded`, `Inputs`. Enters: `Dataset`. Numbers get a quantile-bin piecewise-linear encoding (Gorishniy et
al. 2022, arXiv:2203.05556, eq. 1), made per batch from the resident floats; categories become codes for embeddings; text a sparse
TF-IDF row, a sentence embedding or both; pictures stay uint8.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from zcurate.arrays.sort import ahead, argsort, rows_at_once, side_by_side
from zcurate.config.model_config import ModelSpec
from zcurate.data.dataset import Dataset
from zcurate.data.profile import Survey
from zcurate.data.schema import plain
from zcurate.encoding import text
from zcurate.runtime.device import has_bfloat16
from zcurate.runtime.store import Cellar

LARGEST = 1e30
"""Numbers are clipped here, so that their squares and differences stay within float32."""
EDGE_SAMPLE = 50_000
"""Rows that the quantiles are taken from."""
MOVED_ROWS = 2048
"""Pictures in files that are moved at a time."""
ENCODED_ROWS = 16_384
"""Rows of a table that are put together at a time."""
FARTHEST_TARGET = 1e6
"""Standardised targets are clipped here: further out all are equally impossible."""
RARE_CATEGORY = 2
"""A category value seen in fewer rows shares one code with its like."""
MOST_CATEGORIES = 20_000
BFLOAT_ROWS = 5000
"""From here on the perceptron's products are taken in bfloat16 where the hardware has it."""


class Inputs(NamedTuple):
    """What a model sees of a batch; parts that the data lacks are None."""

    x: Tensor | None
    """(K, B, D) float32, encoded numbers, times and vectors."""
    codes: Tensor | None
    """(K, B, Q) int64, category codes, offset so that all columns share one table."""
    term: Tensor | None
    """(M,) int64, terms of the texts of all K * B rows, row after row."""
    term_start: Tensor | None
    """(K * B,) int64, where each row's terms start."""
    term_weight: Tensor | None
    """(M,) float32, TF-IDF weight of each term."""
    images: Tensor | None
    """(K, B, C, H, W) uint8."""


@dataclass(frozen=True)
class Encoded:
    """N readable rows as tensors on one device."""

    y: Tensor
    """(N,) int64 classes (-1 = unlabelled) or float32 standardised targets (NaN = unlabelled)."""
    row: np.ndarray
    """(N,) int64, position of each encoded row in the input."""
    fold_key: np.ndarray
    """(N,) int64, rows with the same key share a fold."""
    n_outputs: int
    """C classes, or 2 (location, log scale) for regression."""
    x: Tensor | None = None
    """(N, F) float32, less the column's median, which also fills missing values."""
    bin_column: Tensor | None = None
    """(P,) int64, column of `x` that each bin belongs to."""
    bin_start: Tensor | None = None
    """(P,) float32, lower edge of each bin."""
    bin_scale: Tensor | None = None
    """(P,) float32, 1 / width of each bin."""
    regular: tuple[int, int] = (0, 0)
    """The first columns of `x` have equally many bins each: how many columns, and how many bins."""
    dtype: torch.dtype = torch.float32
    """Of the numbers handed to the model."""
    dense: Tensor | None = None
    """(N, V) float32, standardised vectors and sentence embeddings, fed as they are."""
    codes: Tensor | None = None
    """(N, Q) int64, category codes with column offsets."""
    n_codes: int = 0
    """Size of the shared category table."""
    term: Tensor | None = None
    """(M,) int64, CSR columns of the TF-IDF matrix."""
    term_start: Tensor | None = None
    """(N + 1,) int64, CSR row starts."""
    term_weight: Tensor | None = None
    """(M,) float32, CSR values."""
    n_terms: int = 0
    """Size of the text vocabulary."""
    images: Tensor | None = None
    """(N, C, H, W) uint8."""
    target: TargetScale | None = None
    """Regression: how targets were standardised."""
    cellar: Cellar | None = None
    """Where the rows lie in files, already in a random order; None where they are in memory."""
    mapped: Cellar | None = None
    """Where pictures lie in a file while all else is in memory; None where they are in memory too."""

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.row)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.y.device

    @property
    def regression(self) -> bool:
        """Targets instead of classes."""
        return self.target is not None

    @property
    def width(self) -> int:
        """D, features per row of `Inputs.x`."""
        bins = 0 if self.bin_column is None else len(self.bin_column)
        return bins + (0 if self.dense is None else self.dense.shape[1])

    @cached_property
    def offset(self) -> Tensor:
        """(P,) float32: (x - start) * scale - 1/2 is x * scale plus this; x is centred, so that no digits are lost."""
        assert self.bin_start is not None and self.bin_scale is not None  # crack: narrows types only
        return -self.bin_start * self.bin_scale - 0.5

    @cached_property
    def regular_bins(self) -> tuple[Tensor, Tensor]:
        """`offset` and `bin_scale` of the columns that `regular` counts, (columns, bins) each."""
        assert self.bin_scale is not None  # crack: narrows types only
        n_columns, n_bins = self.regular
        return self.offset[: n_columns * n_bins].view(self.regular), self.bin_scale[: n_columns * n_bins].view(self.regular)

    def release(self) -> None:
        """Give back the memory that rows in files take at the moment."""
        for one in (self.cellar, self.mapped):
            if one is not None:
                one.release()

    def labelled(self, rows: slice = slice(None)) -> Tensor:
        """(n,) bool, of all rows or of some."""
        return ~self.y[rows].isnan() if self.regression else self.y[rows] >= 0

    def zeros(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """A new tensor of zeros where the rows are: in memory, or in files."""
        if self.cellar is None:
            return torch.zeros(shape, dtype=dtype, device=self.device)
        return torch.from_numpy(self.cellar.zeros(shape, torch.empty(0, dtype=dtype).numpy().dtype))

    def inputs(self, ids: Tensor) -> Inputs:
        """The inputs of rows `ids`.

        Args:
            ids: (K, B) int64 encoded rows.
        """
        codes = None if self.codes is None else rows_of(self.codes, ids)
        images = None if self.images is None else rows_of(self.images, ids)
        if images is not None and self.mapped is not None:
            self.mapped.touch(ids.numel(), images[0, 0].nbytes)
        return Inputs(self.numbers(ids), codes, *self.texts(ids), images)

    def numbers(self, ids: Tensor) -> Tensor | None:
        """(K, B, D) float32: piecewise-linear numbers beside the vectors, or None where there are neither."""
        parts = [] if self.x is None else self.binned(rows_of(self.x, ids))
        if self.dense is not None:
            parts.append(rows_of(self.dense, ids).to(self.dtype))
        return torch.cat(parts, 2) if len(parts) > 1 else parts[0] if parts else None

    def binned(self, x: Tensor) -> list[Tensor]:
        """Two blocks at most, (K, B, D) each: columns of equally many bins by broadcasting, the rest by gathering, which costs more.

        Args:
            x: (K, B, F) float32.
        """
        assert self.bin_column is not None and self.bin_scale is not None  # crack: narrows types only
        n_columns, n_bins = self.regular
        at, parts = n_columns * n_bins, []
        if at:
            offset, scale = self.regular_bins
            block = torch.addcmul(offset, x[..., :n_columns, None], scale)
            parts.append(block.clamp_(-0.5, 0.5).to(self.dtype).flatten(2))
        if at < len(self.bin_column):
            block = torch.addcmul(self.offset[at:], x.index_select(2, self.bin_column[at:]), self.bin_scale[at:])
            parts.append(block.clamp_(-0.5, 0.5).to(self.dtype))
        return parts

    def texts(self, ids: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The terms of rows `ids`, as `Inputs` has them: gathered from the CSR arrays without a loop."""
        if self.term is None or self.term_start is None or self.term_weight is None:
            return None, None, None
        flat = ids.reshape(-1)
        start = self.term_start[flat]
        length = self.term_start[flat + 1] - start
        out_start = length.cumsum(0) - length
        at = torch.repeat_interleave(start - out_start, length) + torch.arange(int(length.sum()), device=ids.device)
        return self.term[at], out_start, self.term_weight[at]


def rows_of(values: Tensor, ids: Tensor) -> Tensor:
    """Rows (K, B) of an (N, ...) tensor, (K, B, ...): what `values[ids]` gives, in a half to a twentieth of the time."""
    return values.index_select(0, ids.reshape(-1)).view(*ids.shape, *values.shape[1:])


@dataclass(frozen=True)
class TargetScale:
    """Targets to near-normal scores and back, through their quantiles: no single wild target can set the scale."""

    value: np.ndarray
    """(Q,) float64 increasing targets in the user's unit."""
    score: np.ndarray
    """(Q,) float64 increasing standardised targets."""

    def forward(self, y: np.ndarray) -> np.ndarray:
        """(N,) targets to standardised targets, straight lines beyond the ends."""
        return interpolate(y, self.value, self.score)

    def back(self, score: np.ndarray) -> np.ndarray:
        """(N,) standardised targets to targets."""
        return interpolate(score, self.score, self.value)


def interpolate(x: np.ndarray, at: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Piecewise-linear map through the points (at, to), continued with the slope of the whole beyond the ends."""
    inside = np.interp(x, at, to)
    slope = (to[-1] - to[0]) / (at[-1] - at[0])
    beyond = np.where(x < at[0], x - at[0], np.where(x > at[-1], x - at[-1], 0.0))
    return inside + slope * beyond


def target_scale(y: np.ndarray) -> TargetScale:
    """Standardise by the spread between the 5 % and 95 % quantiles (3.29 deviations of a normal distribution).

    Args:
        y: (N,) float64 targets without missing ones.
    """
    low, middle, high = np.quantile(y, [0.05, 0.5, 0.95])
    spread = (high - low) / 3.29 or float(np.std(y)) or 1.0
    return TargetScale(np.array([middle - spread, middle + spread]), np.array([-1.0, 1.0]))


def encode(data: Dataset, spec: ModelSpec, device: torch.device, room: Cellar | None = None) -> Encoded:
    """Every readable row as tensors on `device`.

    Args:
        data: N rows.
        spec: `bins`, `text`.
        device: where the tensors stay.
        room: takes the pixels of pictures, which a CPU then reads from there; None for memory.
    """
    row = np.flatnonzero(data.readable()).astype(np.int64)
    if data.pictures is not None:
        row = by_content(data, row, room)
    y, target = labels(data, row)
    parts: dict[str, Any] = (
        features(data, row, spec, device) if data.pictures is None else {"images": torch.from_numpy(in_this_order(data.pictures, row, room))}
    )
    moved: dict[str, Any] = {name: part.to(device) if isinstance(part, Tensor) else part for name, part in parts.items()}
    n_outputs = data.n_classes if target is None else 2
    dtype, mapped = dtype_for(spec, len(row), device), room if device.type == "cpu" else None
    return Encoded(torch.from_numpy(y).to(device), row, fold_keys(data, row), n_outputs, target=target, dtype=dtype, mapped=mapped, **moved)


def in_this_order(values: np.ndarray, row: np.ndarray, room: Cellar | None) -> np.ndarray:
    """(M, ...) some rows of an array, in `room` where there is one.

    Args:
        values: (N, ...).
        row: (M,) int64.
        room: takes them, some at a time; None for memory.
    """
    if room is None:
        return values[row]
    out = room.zeros((len(row), *values.shape[1:]), values.dtype)
    for begin, end in rows_at_once(len(row), MOVED_ROWS):
        out[begin:end] = values[row[begin:end]]
        room.release()
    return out


def dtype_for(spec: ModelSpec, n_rows: int, device: torch.device) -> torch.dtype:
    """What the model's products are taken in: as `spec.dtype` says, or by the hardware and the number of rows.

    Args:
        spec: `name`, `dtype`.
        n_rows: N.
        device: where the tensors stay.
    """
    if spec.dtype != "auto":
        return torch.bfloat16 if spec.dtype == "bfloat16" else torch.float32
    return torch.bfloat16 if spec.name == "mlp" and n_rows >= BFLOAT_ROWS and has_bfloat16(device) else torch.float32


def by_content(data: Dataset, row: np.ndarray, room: Cellar | None = None) -> np.ndarray:
    """Pictures in an order that depends on what they show and not on how they were stored, so that formats agree."""
    assert data.pictures is not None  # crack: narrows types only
    given = data.given.to_pylist()
    digest: list[bytes] = []
    for begin, end in rows_at_once(len(row), MOVED_ROWS):
        digest += [hashlib.blake2b(data.pictures[at].tobytes() + str(given[at]).encode(), digest_size=8).digest() for at in row[begin:end]]
        if room is not None:
            room.release()
    return row[np.array(sorted(range(len(row)), key=digest.__getitem__), np.int64)] if len(row) else row


def labels(data: Dataset, row: np.ndarray) -> tuple[np.ndarray, TargetScale | None]:
    """(N,) int64 classes or float32 standardised targets of rows `row`."""
    given = data.given.take(pa.array(row))
    if data.task.kind == "regression":
        y = given.to_numpy(zero_copy_only=False).astype(np.float64)
        scale = target_scale(y[~np.isnan(y)])
        return np.clip(scale.forward(y), -FARTHEST_TARGET, FARTHEST_TARGET).astype(np.float32), scale
    codes = pc.fill_null(pc.index_in(given, value_set=pa.array(data.task.classes)), -1)
    return codes.to_numpy(zero_copy_only=False).astype(np.int64), None


def fold_keys(data: Dataset, row: np.ndarray) -> np.ndarray:
    """(N,) int64: the group's code where there is `--group`, else the row itself; a missing group is its own."""
    keys = np.arange(len(row), dtype=np.int64)
    if data.roles.group is None:
        return keys
    column = plain(data.table.column(data.roles.group)).take(pa.array(row)).dictionary_encode()
    group = pc.fill_null(column.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return np.where(group < 0, keys + len(row), group)


def features(data: Dataset, row: np.ndarray, spec: ModelSpec, device: torch.device) -> dict[str, Any]:
    """The fields of `Encoded` that hold a table's features."""
    numbers: list[np.ndarray] = []
    vectors: list[np.ndarray] = []
    categories: list[pa.Array] = []
    prose: list[pa.Array] = []
    all_rows = len(row) == data.n_rows
    for column in data.roles.features:
        array = data.arrays[column.name] if all_rows else data.arrays[column.name].take(pa.array(row))
        if column.kind == "number":
            numbers.append(as_numbers(array))
        elif column.kind == "time":
            numbers += time_parts(array)
        elif column.kind == "category":
            categories.append(array)
        elif column.kind == "text":
            prose.append(array)
        else:
            vectors.append(vector(array))
    fields: dict[str, Any] = {}
    if numbers:
        fields |= number_fields(numbers, spec.bins)
    if vectors:
        fields["dense"] = torch.from_numpy(standardised(np.concatenate(vectors, 1)))
    if categories:
        fields |= category_fields(categories)
    if prose:
        made = text_fields(prose, spec, data.n_classes or 2, device)
        if "dense" in made and "dense" in fields:
            made["dense"] = torch.cat([fields["dense"], made["dense"]], 1)
        fields |= made
    return fields


def time_parts(array: pa.Array) -> list[np.ndarray]:
    """A date or time as numbers, as `all_time_parts`; those that vary."""
    arrays = all_time_parts(array)
    return [part for part in arrays if np.nanmin(part) < np.nanmax(part)] or arrays[:1]


def all_time_parts(array: pa.Array) -> list[np.ndarray]:
    """A date or time as numbers: how long since the epoch, month, day of month, weekday, hour; a time of day its hours."""
    there = pa.types.is_time(array.type)
    if there:
        micros = array.cast(pa.time64("us"), safe=False).cast(pa.int64()).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return [micros / 3.6e9]
    stamp = array.cast(pa.timestamp("us"), safe=False)
    parts = [pc.divide(stamp.cast(pa.int64()).cast(pa.float64()), 8.64e10)]
    parts += [take(stamp).cast(pa.float64()) for take in (pc.month, pc.day, pc.day_of_week, pc.hour)]
    return [part.to_numpy(zero_copy_only=False) for part in parts]


def number_fields(numbers: list[np.ndarray], n_bins: int) -> dict[str, Any]:
    """`x` and its bins: per column the distinct quantiles, a missing value as the median and one more column that says so.

    Columns with all `n_bins` bins come first.

    Args:
        numbers: (N,) each, as `as_numbers` has them.
        n_bins: bins at most.
    """
    made: list[tuple[np.ndarray, float | None]] = []
    bins: list[list[tuple[float, float]]] = []
    for values, found in zip(numbers, side_by_side([partial(middle_and_bins, values, n_bins) for values in numbers], len(numbers[0])), strict=True):
        if found is not None:
            centre, own, has_missing = found
            made += [(values, centre), (values, None)] if has_missing else [(values, centre)]
            bins += [own, [(0.0, 1.0)]] if has_missing else [own]
    order, fields = bin_fields(bins, n_bins)
    x = np.empty((len(numbers[0]), len(made)), np.float32)

    def fill(begin: int, end: int) -> None:
        for new, old in enumerate(order):
            values, middle = made[old]
            part = values[begin:end]
            x[begin:end, new] = ~np.isfinite(part) if middle is None else centred_on(part, middle)

    # Some rows at a time, so that what is written column by column stays in the cache.
    side_by_side([partial(fill, begin, end) for begin, end in rows_at_once(len(x), ENCODED_ROWS)], len(x))
    return {"x": torch.from_numpy(x), **fields}


def middle_and_bins(values: np.ndarray, n_bins: int) -> tuple[float, list[tuple[float, float]], bool] | None:
    """A column's median, its bins as `edges` and whether values are missing; None where none is known.

    Args:
        values: (N,) as `as_numbers` has them.
        n_bins: bins at most.
    """
    known = values[np.isfinite(values)].astype(np.float64, copy=False)
    if len(known) == 0:
        return None
    known = np.clip(known, -LARGEST, LARGEST)
    centre = float(np.median(known[:: max(1, len(known) // EDGE_SAMPLE)]))
    return centre, edges((known - centre).astype(np.float32), n_bins), len(known) < len(values)


def centred_on(values: np.ndarray, centre: float) -> np.ndarray:
    """(n,) float64 values clipped, less the centre; 0 where they are not finite."""
    return np.where(np.isfinite(values), np.clip(values.astype(np.float64, copy=False), -LARGEST, LARGEST) - centre, 0.0)


def bin_fields(bins: list[list[tuple[float, float]]], n_bins: int) -> tuple[list[int], dict[str, Any]]:
    """The order of the columns, those with all `n_bins` bins first; and the fields of `Encoded` that hold the bins.

    Args:
        bins: of each column, start and 1 / width.
        n_bins: bins at most.
    """
    full = sum(len(one) == n_bins for one in bins) if n_bins > 1 else 0
    order = sorted(range(len(bins)), key=lambda at: (len(bins[at]) != n_bins, at)) if full else list(range(len(bins)))
    flat = [(new, *one) for new, old in enumerate(order) for one in bins[old]]
    column, start, scale = zip(*flat, strict=True)
    return order, {
        "bin_column": torch.tensor(column, dtype=torch.int64),
        "bin_start": torch.tensor(start, dtype=torch.float32),
        "bin_scale": torch.tensor(scale, dtype=torch.float32),
        "regular": (full, n_bins if full else 0),
    }


def edges(known: np.ndarray, n_bins: int) -> list[tuple[float, float]]:
    """Start and 1 / width of each bin of one number column; one bin from low to high where all quantiles agree.

    Args:
        known: (n,) float32 without missing values.
        n_bins: bins at most.
    """
    sample = known[:: max(1, len(known) // EDGE_SAMPLE)]
    distinct = np.unique(sample)
    cuts = distinct if len(distinct) <= n_bins + 1 else np.unique(np.quantile(sample, np.linspace(0, 1, n_bins + 1)).astype(np.float32))
    if len(cuts) < 2:
        low, high = float(known.min()), float(known.max())
        cuts = np.array([low, high if high > low else low + 1.0])
    width = np.maximum(np.diff(cuts.astype(np.float64)), 1e-30)
    return list(zip(cuts[:-1].astype(float).tolist(), (1.0 / width).tolist(), strict=True))


def category_fields(categories: list[pa.Array]) -> dict[str, Any]:
    """`codes`: per column code 0 for missing, 1 for rare values, then the values in order of their spelling."""
    columns, offset = [], 0
    for array in categories:
        text = array if pa.types.is_string(array.type) else array.cast(pa.string())
        counts = pc.value_counts(text.drop_null())
        pairs = sorted(zip(counts.field("counts").to_pylist(), counts.field("values").to_pylist(), strict=True), key=lambda p: (-p[0], p[1]))
        common = sorted(value for n, value in pairs[:MOST_CATEGORIES] if n >= RARE_CATEGORY)
        code = pc.index_in(text, value_set=pa.array(common, pa.string())).to_numpy(zero_copy_only=False)
        code = np.where(np.isnan(code.astype(np.float64)), 1, code.astype(np.float64) + 2).astype(np.int64)
        code[text.is_null().to_numpy(zero_copy_only=False)] = 0
        columns.append(code + offset)
        offset += len(common) + 2
    return {"codes": torch.from_numpy(np.stack(columns, 1)), "n_codes": offset}


def text_fields(columns: list[pa.Array], spec: ModelSpec, n_outputs: int, device: torch.device) -> dict[str, Any]:
    """All text columns as one TF-IDF matrix in CSR tensors, as sentence embeddings in `dense`, or both."""
    documents = text.documents([column.to_pylist() for column in columns])
    fields: dict[str, Any] = {}
    if spec.text != "embedding":
        matrix = text.tfidf(documents, n_outputs)
        fields |= {
            "term": torch.from_numpy(matrix.indices.astype(np.int64)),
            "term_start": torch.from_numpy(matrix.indptr.astype(np.int64)),
            "term_weight": torch.from_numpy(matrix.data.astype(np.float32)),
            "n_terms": matrix.shape[1],
        }
    if spec.text in ("embedding", "both"):
        fields["dense"] = torch.from_numpy(centred(text.embed(documents, device), np.array([bool(text) for text in documents])))
    return fields


def centred(x: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(N, E) float32 embeddings standardised per column, then each of length 1 beside the TF-IDF rows; rows without text are 0.

    Unscaled they drown the TF-IDF terms: average precision .510 / .901 on the tuning sets of the bench, .532 / .940 with length 1.
    """
    out = np.zeros_like(x)
    out[there] = standardised(x[there]) if there.any() else 0.0
    return (out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def vector(array: pa.Array) -> np.ndarray:
    """(N, V) float32 of a list column; a missing list is all zero."""
    lists = array.drop_null()
    flat = lists.flatten().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    flat = np.clip(np.where(np.isfinite(flat), flat, 0.0), -LARGEST, LARGEST)
    width = len(flat) // len(lists)
    out = np.zeros((len(array), width), np.float32)
    out[~array.is_null().to_numpy(zero_copy_only=False)] = np.nan_to_num(flat.reshape(-1, width))
    return out


def standardised(x: np.ndarray) -> np.ndarray:
    """(N, V) float32 with mean 0 and deviation 1 per column; constant columns become 0."""
    wide = x.astype(np.float64)
    scale = wide.std(0)
    return ((wide - wide.mean(0)) / np.where(scale > 1e-12, scale, 1.0)).astype(np.float32)


BUCKET_ROWS = 131_072
"""Rows that are shuffled in memory at a time."""


@dataclass(frozen=True)
class Code:
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
        for values, (centre, has_missing) in zip(numbers_of(data, self.parts), self.centres, strict=True):
            if np.isnan(centre):
                continue
            columns.append(centred_on(values, centre).astype(np.float32))
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
        vectors = [vector(data.arrays[column.name]) for column in data.roles.features if column.kind == "vector"]
        if self.scale is None or not vectors:
            return np.zeros((len(data.given), 0), np.float32)
        middle, deviation = self.scale
        return ((np.concatenate(vectors, 1) - middle) / deviation).astype(np.float32)

    def labels(self, data: Dataset) -> np.ndarray:
        """(n,) int64 classes or float32 standardised targets of some rows."""
        if self.target is None:
            return labels(data, np.arange(len(data.given)))[0]
        y = data.given.to_numpy(zero_copy_only=False).astype(np.float64)
        return np.clip(self.target.forward(y), -FARTHEST_TARGET, FARTHEST_TARGET).astype(np.float32)


def numbers_of(data: Dataset, parts: dict[str, list[int]]) -> list[np.ndarray]:
    """(n,) as `as_numbers` has each column of numbers, and float64 of those parts of times that vary."""
    out = []
    for column in data.roles.features:
        array = data.arrays[column.name]
        if column.kind == "number":
            out.append(as_numbers(array))
        elif column.kind == "time":
            every = all_time_parts(array)
            out += [every[at] for at in parts[column.name]]
    return out


def as_numbers(array: pa.Array) -> np.ndarray:
    """(N,) a column of numbers as it lies in memory, where none is missing; else float64 with NaN."""
    whole = not array.null_count and (pa.types.is_integer(array.type) or pa.types.is_float32(array.type) or pa.types.is_float64(array.type))
    return array.to_numpy() if whole else array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def as_text(array: pa.Array) -> pa.Array:
    """A column of categories as strings."""
    return array if pa.types.is_string(array.type) else array.cast(pa.string())


def code_of(found: Survey, spec: ModelSpec) -> Code:
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
    for values in numbers_of(sample, parts):
        known = np.clip(values[np.isfinite(values)], -LARGEST, LARGEST)
        centres.append((float(np.median(known)) if len(known) else float("nan"), len(known) < len(values)))
        if len(known):
            bins.append(edges((known - centres[-1][0]).astype(np.float32), spec.bins))
            bins += [[(0.0, 1.0)]] if centres[-1][1] else []
    order, fields = bin_fields(bins, spec.bins) if bins else ([], {})
    taken, offset = {}, 0
    for name in kinds["category"]:
        counted = found.counts.get(name) or {
            entry["values"]: entry["counts"] for entry in pc.value_counts(as_text(sample.arrays[name]).drop_null()).to_pylist()
        }
        pairs = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
        common = sorted(value for value, n in pairs[:MOST_CATEGORIES] if n >= RARE_CATEGORY)
        taken[name] = pa.array(common, pa.string()), offset
        offset += len(common) + 2
    scale = None
    if kinds["vector"]:
        wide = np.concatenate([vector(sample.arrays[name]) for name in kinds["vector"]], 1).astype(np.float64)
        deviation = wide.std(0)
        scale = wide.mean(0), np.where(deviation > 1e-12, deviation, np.inf)
    target = None
    if not sample.task.classes:
        y = sample.given.to_numpy(zero_copy_only=False).astype(np.float64)
        target = target_scale(y[~np.isnan(y)])
    return Code(centres, order, parts, taken, scale, fields | ({"n_codes": offset} if taken else {}), target)


def stored(found: Survey, spec: ModelSpec, cellar: Cellar, device: torch.device) -> Encoded:
    """Every row that this process reads as tensors in files, in a random order: one pass deals them into buckets, then each bucket is shuffled.

    Args:
        found: the input's rows.
        spec: `bins`.
        cellar: takes the files.
        device: where the model is; only a CPU reads from files, for others the rows are moved to it.
    """
    code, n = code_of(found, spec), found.n_own
    made = {"x": code.numbers(found.data), "codes": code.categories(found.data), "dense": code.dense(found.data)}
    arrays = {name: cellar.zeros((n, part.shape[1]), part.dtype) for name, part in made.items() if part.shape[1]}
    arrays["y"] = cellar.zeros((n,), np.float32 if code.target else np.int64)
    arrays["row"] = cellar.zeros((n,), np.int64)
    grouped = found.data.roles.group is not None
    if grouped:
        arrays["fold_key"] = cellar.zeros((n,), np.int64)
    begins = deal(found, code, arrays, max(1, round(n / BUCKET_ROWS)), cellar)
    chances = np.random.default_rng([spec.batch, 1])
    for begin, end in zip(begins, [*begins[1:], n], strict=True):
        order = chances.permutation(end - begin)
        for array in arrays.values():
            array[begin:end] = array[begin:end][order]
        cellar.release()
    row, key = arrays.pop("row"), arrays.pop("fold_key") if grouped else None
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    fixed: dict[str, Any] = {name: part.to(device) if isinstance(part, Tensor) else part for name, part in code.fields.items()}
    moved: dict[str, Any] = {name: part.to(device) for name, part in tensors.items()}
    in_files = cellar if device.type == "cpu" else None
    n_outputs = found.data.n_classes if code.target is None else 2
    keys = row if key is None else key
    return Encoded(
        moved.pop("y"), row, keys, n_outputs, target=code.target, dtype=dtype_for(spec, found.data.n_rows, device), cellar=in_files, **fixed, **moved
    )


def deal(found: Survey, code: Code, arrays: dict[str, np.ndarray], n_buckets: int, cellar: Cellar) -> list[int]:
    """Encode the input piece by piece and write each row into a bucket drawn at random; returns where the buckets begin.

    Args:
        found: the input.
        code: how it is encoded.
        arrays: (N, ...) `x`, `codes`, `dense`, `y`, `row`, `fold_key`, those that are wanted.
        n_buckets: how many.
        cellar: whose memory is given back after each piece.
    """
    n, lengths = found.n_own, np.zeros(n_buckets, np.int64)
    for begin, end in rows_at_once(n, BUCKET_ROWS):
        lengths += np.bincount(np.random.default_rng([begin, 2]).integers(n_buckets, size=end - begin), minlength=n_buckets)
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    free, done = begins.copy(), 0
    drawn = cellar.zeros((n,), np.int32)
    for begin, end in rows_at_once(n, BUCKET_ROWS):
        drawn[begin:end] = np.random.default_rng([begin, 2]).integers(n_buckets, size=end - begin)
        cellar.release()
    with ExitStack() as until:
        pens = {name: until.enter_context(cellar.pen(array)) for name, array in arrays.items()}
        for batch in ahead(found.pieces(found.columns())):
            part = found.part(pa.Table.from_batches([batch]))
            made = {"x": code.numbers(part), "codes": code.categories(part), "dense": code.dense(part), "y": code.labels(part)}
            made["row"] = np.arange(done, done + batch.num_rows)
            if "fold_key" in arrays:
                made["fold_key"] = group_keys(part)
            bucket = drawn[done : done + batch.num_rows]
            order = argsort(bucket)
            edge = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=n_buckets))])
            for name, write in pens.items():
                values = made[name][order]
                for at in range(n_buckets):
                    write(int(free[at]), values[edge[at] : edge[at + 1]])
            free += np.diff(edge)
            done += batch.num_rows
            cellar.release()
    return [int(begin) for begin in begins]


def group_keys(data: Dataset) -> np.ndarray:
    """(n,) int64 hash of each row's group; a missing group is hashed like a value of its own per row."""
    words = plain(data.table.column(str(data.roles.group))).cast(pa.string()).to_pylist()
    return np.array([int.from_bytes(hashlib.blake2b((word or f"\0{at}").encode(), digest_size=7).digest(), "big") for at, word in enumerate(words)], np.int64)
