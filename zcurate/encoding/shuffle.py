"""Put rows into a random order: batch by batch into buckets on disk, then shuffled within each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pyarrow as pa

from zcurate.arrays.chunk import chunk_ranges
from zcurate.arrays.sort import argsort
from zcurate.data.dataset import Dataset
from zcurate.data.table import StreamedTable
from zcurate.runtime.store import ArrayStore
from zcurate.runtime.threads import prefetch


def shuffle_rows(table: StreamedTable, encode_batch: Callable[[Dataset, int], dict[str, np.ndarray]], seed: int, store: ArrayStore) -> dict[str, np.ndarray]:
    """Encode the readable rows among those that this process reads, and store them in a random order.

    One pass writes each row into a bucket drawn at random, then each bucket is shuffled in memory.

    Args:
        table: streamed from its files.
        encode_batch: gives the (n, ...) arrays of a batch and of the position of its first row.
        seed: of the order.
        store: takes the arrays.

    Returns:
        (N, ...) arrays by name.
    """
    n = table.n_local_rows - len(table.local_skipped())
    arrays = {name: store.zeros((n, *part.shape[1:]), part.dtype) for name, part in encode_batch(table.sample, 0).items()}
    begins = fill_buckets(table, encode_batch, seed, arrays, store)
    rng = np.random.default_rng([seed, 1])
    for begin, end in zip(begins, [*begins[1:], n], strict=True):
        order = rng.permutation(end - begin)
        for array in arrays.values():
            array[begin:end] = array[begin:end][order]
        store.release()
    return arrays


def fill_buckets(
    table: StreamedTable, encode_batch: Callable[[Dataset, int], dict[str, np.ndarray]], seed: int, arrays: dict[str, np.ndarray], store: ArrayStore
) -> list[int]:
    """Encode the input batch by batch and write each row into a bucket drawn at random.

    Args:
        table: streamed from its files.
        encode_batch: as for `shuffle_rows`.
        seed: of the order.
        arrays: (N, ...) to fill.
        store: of the arrays.

    Returns:
        Where the buckets begin.
    """
    skipped, bucket_rows = table.local_skipped(), store.sizes.bucket_rows
    n = table.n_local_rows - len(skipped)
    n_buckets = max(1, round(n / bucket_rows))
    lengths = np.zeros(n_buckets, np.int64)
    drawn = store.zeros((n,), np.int32)
    for begin, end in chunk_ranges(n, bucket_rows):
        drawn[begin:end] = np.random.default_rng([seed, 2, begin]).integers(n_buckets, size=end - begin)
        lengths += np.bincount(drawn[begin:end], minlength=n_buckets)
        store.release()
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    free, done, n_read = begins.copy(), 0, 0
    with ExitStack() as stack:
        writers = {name: stack.enter_context(store.row_writer(array)) for name, array in arrays.items()}
        for batch in prefetch(table.batches(table.columns())):
            encoded = encode_batch(table.dataset_of(pa.Table.from_batches([batch])), n_read)
            unreadable = skipped[slice(*np.searchsorted(skipped, [n_read, n_read + batch.num_rows]))] - n_read
            readable = np.delete(np.arange(batch.num_rows), unreadable)
            bucket = drawn[done : done + len(readable)]
            order = readable[argsort(bucket)]
            edges = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=n_buckets))])
            for name, write in writers.items():
                values = encoded[name][order]
                for at in range(n_buckets):
                    write(int(free[at]), values[edges[at] : edges[at + 1]])
            free += np.diff(edges)
            done += len(readable)
            n_read += batch.num_rows
            store.release()
    return [int(begin) for begin in begins]
