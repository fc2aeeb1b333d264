"""`Report`: one row per input row, and the run card; loaded, selected and saved. No torch, no rich.

Leaves: `Report`, a Parquet file. Enters: an Arrow table and a run card. The schema is version 1 of DESIGN section 3: columns
may be added, never renamed without raising it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zcurate.config.options import ReportOptions
from zcurate.report.atomic import whole_file
from zcurate.report.schema import METADATA_KEY, VERDICT_ORDER, parquet_options


@dataclass(frozen=True)
class Report:
    """A scan's result."""

    table: pa.Table
    """One row per input row, in the input's order; columns of `COLUMN_DOCS`."""
    card: dict[str, Any]
    """The run card: what was run on what, and how well it can be trusted."""

    def __len__(self) -> int:
        return self.table.num_rows

    def top(self, k: int = 100) -> pa.Table:
        """The k most suspicious rows, most suspicious first.

        Args:
            k: rows at most.
        """
        from zcurate.report.select import select

        return select(self, ReportOptions(top=k))

    def counts(self) -> dict[str, int]:
        """Rows per verdict, in the order of the verdicts."""
        found = pc.value_counts(self.table.column("verdict"))
        known = dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))
        return {word: int(known[word]) for word in VERDICT_ORDER if word in known}

    def called(self, word: str) -> np.ndarray:
        """(N,) bool: the rows with this verdict."""
        return pc.equal(self.table.column("verdict"), word).to_numpy()

    def below_cut(self) -> int:
        """Rows more likely wrong than right that are not called incorrect."""
        return int(pc.sum(pc.and_not(pc.greater(self.table.column("p_incorrect"), 0.5), pc.equal(self.table.column("verdict"), "incorrect"))).as_py() or 0)

    def content(self) -> bytes:
        """The Parquet file's bytes."""
        buffer = pa.BufferOutputStream()
        self.write(buffer)
        return buffer.getvalue().to_pybytes()

    def write(self, where: Any) -> None:
        """Write as Parquet to a path or an Arrow stream, the run card in its metadata."""
        table = self.table.replace_schema_metadata({METADATA_KEY: json.dumps(self.card, allow_nan=False).encode()})
        pq.write_table(table, where, **parquet_options(table.schema))

    def save(self, path: str) -> None:
        """Write as Parquet, so that no half of it is ever seen; see `whole_file`.

        Raises:
            UsageError: the place cannot be written to.
        """
        with whole_file(path) as temporary:
            self.write(temporary)


@dataclass(frozen=True)
class ReportSummary(Report):
    """Of a long report: an even sample of the rows in the columns that the closing words need, and what is counted in all."""

    n_rows: int
    """N."""
    n_of: dict[str, int]
    """As `counts` of all rows."""
    n_below: int
    """As `below_cut` of all rows."""

    def __len__(self) -> int:
        return self.n_rows

    def counts(self) -> dict[str, int]:
        """Rows per verdict, of all rows."""
        return self.n_of

    def below_cut(self) -> int:
        """Rows more likely wrong than right that are not called incorrect, of all rows."""
        return self.n_below
