"""Encoded rows: tensors on one device, and the batches gathered from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zcurate import plugins
from zcurate.config.model_config import BFLOAT16_ROWS, ModelConfig
from zcurate.encoding.copies import Copies
from zcurate.encoding.targets import TargetScale
from zcurate.runtime.device import has_bfloat16
from zcurate.runtime.store import ArrayStore, BlockSizes, InMemoryStore


class Batch(NamedTuple):
    """The model's inputs of a batch; None for kinds of columns that the data lack."""

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
class EncodedRows:
    """N readable rows as tensors on one device."""

    y: Tensor
    """(N,) int64 classes (-1 = unlabelled) or float32 standardized targets (NaN = unlabelled)."""
    row: np.ndarray
    """(N,) int64, position of each encoded row in the input."""
    fold_key: np.ndarray
    """(N,) int64, rows with the same key share a fold."""
    n_outputs: int
    """C classes, or 2 (location, log scale) for regression."""
    row_hash: np.ndarray | None = None
    """(N,) int64 hash of each row's inputs; None where rows are memory-mapped."""
    copies: Copies | None = None
    """Rows that are exact copies of others; None where there are none, or rows are equal by chance."""
    split: np.ndarray | None = None
    """(N,) int64, number of each row's split; None where the input has no splits."""
    x: Tensor | None = None
    """(N, F) float32, less the column's median, which also fills missing values."""
    bin_column: Tensor | None = None
    """(P,) int64, column of `x` that each bin belongs to."""
    bin_start: Tensor | None = None
    """(P,) float32, lower edge of each bin."""
    bin_scale: Tensor | None = None
    """(P,) float32, 1 / width of each bin."""
    regular: tuple[int, int] = (0, 0)
    """The first columns of `x` have equally many bins each: number of columns, and bins per column."""
    dtype: torch.dtype = torch.float32
    """Of the numbers passed to the model."""
    dense: Tensor | None = None
    """(N, V) float32, standardized vectors and sentence embeddings, which are not binned."""
    features: Tensor | None = None
    """(N, V) float32, standardized features of the pictures by a pre-trained network."""
    columns: Tensor | None = None
    """(N, P) float32, all columns of a table with more columns than rows; `dense` then holds the rows' principal coordinates."""
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
    """Regression: how targets were standardized."""
    store: ArrayStore = field(default_factory=InMemoryStore)
    """Where the rows are stored; in a store that is not resident they are in a random order."""
    image_store: ArrayStore = field(default_factory=InMemoryStore)
    """Where the pixels of pictures are stored."""
    slices: Tensor | None = None
    """(N,) int64, slice of each row; None where there are none."""
    trusted: Tensor | None = None
    """(N,) bool, rows whose label a person has decided on: never planted, never left out of the gradient; None where there are none."""

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.row)

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.y.device

    @property
    def regression(self) -> bool:
        """Targets instead of classes."""
        return self.target is not None

    @property
    def width(self) -> int:
        """D, features per row of `Batch.x`."""
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

    @property
    def block_sizes(self) -> BlockSizes:
        """Sizes of the store whose rows are memory-mapped."""
        return self.image_store.sizes if self.store.resident else self.store.sizes

    def release(self) -> None:
        """Release the cached pages of memory-mapped rows."""
        self.store.release()
        self.image_store.release()

    def labelled(self, rows: slice = slice(None)) -> Tensor:
        """(n,) bool, whether rows are labelled.

        Args:
            rows: which ones; all by default.
        """
        return ~self.y[rows].isnan() if self.regression else self.y[rows] >= 0

    def zeros(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """Make a tensor of zeros in the store of the rows, on their device."""
        return new_zeros(self.store, shape, dtype, self.device)

    def inputs(self, ids: Tensor) -> Batch:
        """Gather the inputs of rows `ids`.

        Args:
            ids: (K, B) int64 encoded rows.
        """
        codes = None if self.codes is None else gather_rows(self.codes, ids)
        images = None if self.images is None else gather_rows(self.images, ids)
        if images is not None:
            self.image_store.touch(ids.numel(), images[:, :1].nbytes // max(1, len(images)))
        return Batch(self.numbers(ids), codes, *self.texts(ids), images)

    def numbers(self, ids: Tensor) -> Tensor | None:
        """(K, B, D) float32: piecewise-linear numbers and vectors, or None where there are neither."""
        parts = [] if self.x is None else self.binned(gather_rows(self.x, ids))
        if self.dense is not None:
            parts.append(gather_rows(self.dense, ids).to(self.dtype))
        return torch.cat(parts, 2) if len(parts) > 1 else parts[0] if parts else None

    def binned(self, x: Tensor) -> list[Tensor]:
        """Encode numbers in at most two blocks, (K, B, D) each: columns of equally many bins by broadcasting, the rest by slower gathering.

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
        """The terms of rows `ids`, as in `Batch`, gathered from the CSR arrays without a loop."""
        if self.term is None or self.term_start is None or self.term_weight is None:
            return None, None, None
        flat = ids.reshape(-1)
        start = self.term_start[flat]
        length = self.term_start[flat + 1] - start
        out_start = length.cumsum(0) - length
        at = torch.repeat_interleave(start - out_start, length) + torch.arange(int(length.sum()), device=ids.device)
        return self.term[at], out_start, self.term_weight[at]


def new_zeros(store: ArrayStore, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Make a tensor of zeros: on the CPU in the store, else on the device.

    Args:
        store: of the rows.
        shape: of the tensor.
        dtype: of the tensor.
        device: of the rows.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(store.zeros(shape, torch.empty(0, dtype=dtype).numpy().dtype))


def gather_rows(values: Tensor, ids: Tensor) -> Tensor:
    """Gather rows (K, B) of an (N, ...) tensor, (K, B, ...); a faster `values[ids]`."""
    return values.index_select(0, ids.reshape(-1)).view(*ids.shape, *values.shape[1:])


def dtype_for(spec: ModelConfig, n_rows: int, device: torch.device) -> torch.dtype:
    """Choose the dtype of the model's products: `spec.dtype`, or by the hardware and the number of rows.

    Args:
        spec: `name`, `dtype`.
        n_rows: N.
        device: of the tensors.
    """
    if spec.dtype != "auto":
        return torch.bfloat16 if spec.dtype == "bfloat16" else torch.float32
    return torch.bfloat16 if plugins.model_plugin(spec.name).bfloat16 and n_rows >= BFLOAT16_ROWS and has_bfloat16(device) else torch.float32
