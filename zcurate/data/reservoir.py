"""Uniform sample of the rows of a table that is read batch by batch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


class ReservoirSample:
    """Uniform sample of a stream of unknown length: the rows with the smallest random keys."""

    def __init__(self, n_rows: int) -> None:
        """An empty sample.

        Args:
            n_rows: of the sample, at most.
        """
        self.n_rows = n_rows
        self.tables: list[pa.Table] = []
        self.keys: list[np.ndarray] = []
        self.limit = 2.0

    def add(self, table: pa.Table, rng: np.random.Generator) -> None:
        """Draw keys for the rows of a batch and add those below the limit.

        Args:
            table: (n) rows.
            rng: source of the keys.
        """
        keys = rng.random(table.num_rows)
        rows = np.flatnonzero(keys < self.limit)
        self.tables.append(table.take(pa.array(rows)))
        self.keys.append(keys[rows])
        if sum(map(len, self.keys)) > 3 * self.n_rows:
            self.cut()

    def cut(self) -> None:
        """Reduce the sample to the `n_rows` smallest keys."""
        keys = np.concatenate(self.keys)
        if len(keys) > self.n_rows:
            self.limit = float(np.partition(keys, self.n_rows)[self.n_rows])
        rows = np.flatnonzero(keys < self.limit)
        self.tables, self.keys = [pa.concat_tables(self.tables).take(pa.array(rows)).combine_chunks()], [keys[rows]]

    def table(self) -> pa.Table:
        """Return the sampled rows in input order."""
        self.cut()
        return self.tables[0]
