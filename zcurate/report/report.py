"""A scan's report: one row per input row, and the run card. No torch, no rich.

The schema has a version (`schema.SCHEMA_VERSION`): columns may be added, but never renamed without raising it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zcurate.config.report_options import ReportOptions
from zcurate.report.atomic import OutputFile, whole_file
from zcurate.report.schema import METADATA_KEY, VERDICT_ORDER, parquet_options

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Report:
    """A scan's result."""

    table: pa.Table
    """One row per input row, in the input's order; columns of `COLUMN_DOCS`."""
    card: dict[str, Any]
    """The run card: options, versions, skill and calibration of the scan."""
    path: str | None = field(default=None, compare=False, kw_only=True)
    """The file or folder that it was read from; None of a report that was not read."""

    def __len__(self) -> int:
        return self.table.num_rows

    def __repr__(self) -> str:
        """Sum the report up in five lines."""
        from zcurate.report.notebook import in_lines

        return "\n".join(in_lines(self))

    def _repr_html_(self) -> str:
        """Show the summary, charts and the most suspicious rows in a notebook."""
        from zcurate.report.notebook import in_html

        return in_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return the report as a pandas data frame; labels have the type that they have in the data, whole numbers and truth values among them."""
        from zcurate.report.notebook import frame_of

        return frame_of(self, self.table)

    @property
    def flagged(self) -> pd.DataFrame:
        """The rows called incorrect as a pandas data frame, most suspicious first; `row` is their position in the data."""
        from zcurate.report.notebook import frame_of
        from zcurate.report.select import select

        return frame_of(self, select(self, ReportOptions()))

    def top(self, k: int = 100) -> pa.Table:
        """Select the k most suspicious rows, most suspicious first.

        Args:
            k: rows at most.
        """
        from zcurate.report.select import select

        return select(self, ReportOptions(top=k))

    def counts(self) -> dict[str, int]:
        """Count the rows of each verdict, in the order of `VERDICT_ORDER`."""
        found = pc.value_counts(self.table.column("verdict"))
        known = dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))
        return {word: int(known[word]) for word in VERDICT_ORDER if word in known}

    def called(self, word: str) -> np.ndarray:
        """Mark the rows with a verdict, (N,) bool."""
        return pc.equal(self.table.column("verdict"), word).to_numpy()

    def below_cut(self) -> int:
        """Count the rows with p_incorrect above 0.5 whose verdict is not incorrect."""
        return int(pc.sum(pc.and_not(pc.greater(self.table.column("p_incorrect"), 0.5), pc.equal(self.table.column("verdict"), "incorrect"))).as_py() or 0)

    def update(self, decisions: Any, output: str | None = None) -> Report:
        """Recompute the judgement from people's decisions; see `zcurate update`.

        Args:
            decisions: path of a decisions file, or a list of dictionaries with its columns.
            output: file to write the new report to; None to write nothing.

        Returns:
            The new report; this one stays as it is.

        Raises:
            InputError: the file cannot be read.
            UsageError: a decision that is unknown, or finds no row or two.
        """
        from zcurate.report.decision_files import decisions_of
        from zcurate.report.update import update

        changed = update(self, decisions_of(decisions), "update").report
        if output is not None:
            changed.save(output)
        return changed

    def apply(self, output: str, decisions: Any = None, **settings: Any) -> str:
        """Write a changed copy of the input; see `zcurate apply`.

        Args:
            output: file to write.
            decisions: path of a decisions file, or a list of dictionaries; None for the decisions in the report.
            **settings: options of `zcurate apply` by name: `action`, `verdict`, `min_p`, `threshold`, `data`, ...

        Returns:
            The path of the change log.

        Raises:
            ReportError: the input is missing, or not the one that was scanned.
            UsageError: the output cannot be written, or a decision does not fit.
        """
        from zcurate.config.report_options import ApplyOptions
        from zcurate.errors import UsageError
        from zcurate.report.apply.apply import apply
        from zcurate.report.decision_files import decisions_of

        if not isinstance(settings.get("data"), (str, os.PathLike, type(None))):
            raise UsageError("apply: data in memory — expected the path of a file — save the data, and name the file: data='train.csv'")
        options = ApplyOptions(output=output, **settings)
        options.check()
        return str(apply(self, options, None if decisions is None else decisions_of(decisions)).log)

    def html(self, output: str, threshold: float | None = None, precision: float | None = None, budget: int | None = None, data: str | None = None) -> str:
        """Write the report as one offline HTML page; see `zcurate html`.

        Args:
            output: file to write.
            threshold: p_incorrect above which rows are called incorrect; None for the report's own cut.
            precision: cautious expected precision instead.
            budget: number of rows to call incorrect instead.
            data: where the scanned data lie, if not where they were scanned.

        Returns:
            The path of the page.

        Raises:
            ReportError: `data` is not what was scanned.
            UsageError: the page cannot be written.
        """
        from zcurate.errors import UsageError
        from zcurate.judge.thresholds import Cut
        from zcurate.report.page.page import render
        from zcurate.report.recut import with_cut

        if not output.lower().endswith((".html", ".htm")):
            raise UsageError(f"{output}: expected a name ending in .html")
        name = os.path.basename(self.path.rstrip("/")) if self.path else "report.zcurate.parquet"
        page = render(with_cut(self, Cut(threshold, precision, budget)), name, data)
        with whole_file(output) as temporary, open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(page)
        return output

    def content(self) -> bytes:
        """Encode as the bytes of a Parquet file."""
        buffer = pa.BufferOutputStream()
        self.write(buffer)
        return buffer.getvalue().to_pybytes()

    def write(self, where: Any) -> None:
        """Write as Parquet to an Arrow stream, with the run card in the metadata."""
        table = self.table.replace_schema_metadata({METADATA_KEY: json.dumps(self.card, allow_nan=False).encode()})
        pq.write_table(table, where, **parquet_options(table.schema))

    def save(self, path: str, claim: OutputFile | None = None) -> None:
        """Write as Parquet atomically; see `whole_file`.

        Args:
            path: of the file, or an address.
            claim: on it; None to wait for one.

        Raises:
            UsageError: the path cannot be written to.
        """
        # Arrow takes a path that is not UTF-8 as bytes only.
        with whole_file(path, claim) as temporary, pa.OSFile(os.fsencode(temporary), "wb") as stream:
            self.write(stream)


@dataclass(frozen=True, repr=False)
class ReportSummary(Report):
    """A long report as an even sample of its rows in `SUMMARY_COLUMNS`, with counts over all rows."""

    n_rows: int
    """Rows of the whole report."""
    n_of: dict[str, int]
    """Rows of each verdict in the whole report."""
    n_below: int
    """Rows of the whole report with p_incorrect above 0.5 whose verdict is not incorrect."""
    leading: pa.Table
    """The most suspicious rows of the whole report."""

    def top(self, k: int = 100) -> pa.Table:
        """Return the k most suspicious rows of those that the summary keeps."""
        return self.leading.slice(0, k)

    def __len__(self) -> int:
        return self.n_rows

    def counts(self) -> dict[str, int]:
        """Count the rows of each verdict in the whole report."""
        return self.n_of

    def below_cut(self) -> int:
        """Count the rows of the whole report with p_incorrect above 0.5 whose verdict is not incorrect."""
        return self.n_below
