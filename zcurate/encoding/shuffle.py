"""Rows in a random order: encoded batch by batch into buckets on disk, then shuffled within each."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from zcurate.arrays.chunk import chunk_ranges
from zcurate.arrays.sort import argsort
from zcurate.config.model_config import ModelConfig
from zcurate.data.table import StreamedTable
from zcurate.encoding.encoded import EncodedRows, dtype_for
from zcurate.encoding.encoder import ColumnEncoder, fit_encoder
from zcurate.encoding.groups import hashed_groups
from zcurate.runtime.store import MemoryMappedStore
from zcurate.runtime.threads import prefetch

BUCKET_ROWS = 131_072
"""Rows that are shuffled in memory at a time."""


def encode_shuffled(found: StreamedTable, spec: ModelConfig, store: MemoryMappedStore, device: torch.device) -> EncodedRows:
    """Every row that this process reads as tensors in files, in a random order: one pass deals them into buckets, then each bucket is shuffled.

    Args:
        found: the input's rows.
        spec: `bins`.
        store: takes the files.
        device: where the model is; only a CPU reads from files, for others the rows are moved to it.
    """
    code, n = fit_encoder(found, spec), found.n_local_rows
    made = {"x": code.numbers(found.data), "codes": code.categories(found.data), "dense": code.dense(found.data)}
    arrays = {name: store.zeros((n, part.shape[1]), part.dtype) for name, part in made.items() if part.shape[1]}
    arrays["y"] = store.zeros((n,), np.float32 if code.target else np.int64)
    arrays["row"] = store.zeros((n,), np.int64)
    grouped = found.data.roles.group is not None
    if grouped:
        arrays["fold_key"] = store.zeros((n,), np.int64)
    begins = shuffle_into_buckets(found, code, arrays, max(1, round(n / BUCKET_ROWS)), store)
    chances = np.random.default_rng([spec.batch, 1])
    for begin, end in zip(begins, [*begins[1:], n], strict=True):
        order = chances.permutation(end - begin)
        for array in arrays.values():
            array[begin:end] = array[begin:end][order]
        store.release()
    row, key = arrays.pop("row"), arrays.pop("fold_key") if grouped else None
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    fixed: dict[str, Any] = {name: part.to(device) if isinstance(part, Tensor) else part for name, part in code.fields.items()}
    moved: dict[str, Any] = {name: part.to(device) for name, part in tensors.items()}
    in_files = store if device.type == "cpu" else None
    n_outputs = found.data.n_classes if code.target is None else 2
    keys = row if key is None else key
    return EncodedRows(
        moved.pop("y"), row, keys, n_outputs, target=code.target, dtype=dtype_for(spec, found.data.n_rows, device), store=in_files, **fixed, **moved
    )


def shuffle_into_buckets(found: StreamedTable, code: ColumnEncoder, arrays: dict[str, np.ndarray], n_buckets: int, store: MemoryMappedStore) -> list[int]:
    """Encode the input piece by piece and write each row into a bucket drawn at random; returns where the buckets begin.

    Args:
        found: the input.
        code: how it is encoded.
        arrays: (N, ...) `x`, `codes`, `dense`, `y`, `row`, `fold_key`, those that are wanted.
        n_buckets: how many.
        store: whose memory is given back after each piece.
    """
    n, lengths = found.n_local_rows, np.zeros(n_buckets, np.int64)
    for begin, end in chunk_ranges(n, BUCKET_ROWS):
        lengths += np.bincount(np.random.default_rng([begin, 2]).integers(n_buckets, size=end - begin), minlength=n_buckets)
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    free, done = begins.copy(), 0
    drawn = store.zeros((n,), np.int32)
    for begin, end in chunk_ranges(n, BUCKET_ROWS):
        drawn[begin:end] = np.random.default_rng([begin, 2]).integers(n_buckets, size=end - begin)
        store.release()
    with ExitStack() as until:
        pens = {name: until.enter_context(store.pen(array)) for name, array in arrays.items()}
        for batch in prefetch(found.batches(found.columns())):
            part = found.dataset_of(pa.Table.from_batches([batch]))
            made = {"x": code.numbers(part), "codes": code.categories(part), "dense": code.dense(part), "y": code.labels(part)}
            made["row"] = np.arange(done, done + batch.num_rows)
            if "fold_key" in arrays:
                made["fold_key"] = hashed_groups(part)
            bucket = drawn[done : done + batch.num_rows]
            order = argsort(bucket)
            edge = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=n_buckets))])
            for name, write in pens.items():
                values = made[name][order]
                for at in range(n_buckets):
                    write(int(free[at]), values[edge[at] : edge[at + 1]])
            free += np.diff(edge)
            done += batch.num_rows
            store.release()
    return [int(begin) for begin in begins]
