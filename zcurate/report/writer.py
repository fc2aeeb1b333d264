"""Build a report chunk by chunk and write it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.arrays.chunk import chunk_ranges
from zcurate.config.model_config import Plan
from zcurate.data.dataset import Dataset
from zcurate.data.table import AssignedSplit, ResidentTable, StreamedTable
from zcurate.encoding.targets import TargetScale
from zcurate.errors import InputError
from zcurate.evidence.evidence import Evidence
from zcurate.judge.blocks import Judged, evidence_of_rows, gather, slice_evidence, verdict_arrays, with_arrays
from zcurate.judge.thresholds import predicted_labels
from zcurate.report.attribution import PROFILE_ROWS, ColumnProfiles
from zcurate.report.build import ReportRows, build_report
from zcurate.report.decisions import FoundDecisions
from zcurate.report.ranks import rank_across, rank_by_bins, rank_rows, scatter_windows
from zcurate.report.report import Report
from zcurate.report.schema import METADATA_KEY, parquet_options
from zcurate.report.update import settle
from zcurate.runtime.context import RunContext
from zcurate.runtime.threads import prefetch


@dataclass(frozen=True)
class ScanResult:
    """All that a scan's report is built from."""

    table: ResidentTable | StreamedTable
    """The input."""
    row: np.ndarray
    """(M,) int64, position in the input of each encoded row; of a streamed table among the rows that this process reads."""
    evidence: Evidence
    """The rounds of the M encoded rows, not yet merged."""
    columns: dict[str, np.ndarray]
    """(M,) columns of the detectors."""
    judged: Judged
    """Verdicts, and the evidence they rest on."""
    card: dict[str, Any]
    """The run card."""
    target: TargetScale | None
    """Regression's scale of targets."""
    plan: Plan
    """What was trained."""
    decisions: FoundDecisions | None = None
    """Of people, and their rows; None for none."""

    @property
    def data(self) -> Dataset:
        """All rows of a resident table; a sample of those of a streamed one."""
        return self.table.sample

    @property
    def is_aligned(self) -> bool:
        """Every input row is encoded, in the input's order."""
        return self.data.pictures is None and np.array_equal(self.row, np.arange(self.data.n_rows))

    @cached_property
    def report(self) -> Report:
        """The report of a resident table, built as a whole."""
        report = Report(next(resident_chunks(self, None)), self.card)
        return report if self.decisions is None else settle(report, self.decisions)


def report_chunks(result: ScanResult, run: RunContext) -> Iterator[tuple[AssignedSplit | None, pa.Table]]:
    """Build the report's columns chunk by chunk, in the input's order.

    Args:
        result: of the scan.
        run: store and processes.

    Yields:
        The split that the rows belong to where several processes write, and their columns; `row` counts from 0 in each chunk.

    Raises:
        InputError: a streamed input has changed since it was first read.
    """
    if isinstance(result.table, StreamedTable):
        yield from streamed_chunks(result, result.table, run)
    else:
        yield from ((None, chunk) for chunk in resident_chunks(result, run.store.sizes.report_rows))


def resident_chunks(result: ScanResult, chunk_rows: int | None) -> Iterator[pa.Table]:
    """Build the report of resident rows, as a whole or chunk by chunk.

    Args:
        result: of the scan.
        chunk_rows: rows of a chunk, where every row is encoded in the input's order; None for all.
    """
    data, verdicts, evidence = result.data, result.judged.verdicts, result.judged.evidence
    rank = rank_rows(result.row, verdicts.p_incorrect, verdicts.p_outlier, evidence.columns["z_score"], verdicts.has_verdict("unlabelled"))
    rows = ReportRows(evidence, verdicts, predicted_labels(evidence, result.plan.spec.decision), rank)
    if chunk_rows is None or not result.is_aligned:
        yield build_report(data, result.row, rows, result.card, result.target).table
        return
    profiles = ColumnProfiles.of(data)
    for begin, end in chunk_ranges(data.n_rows, chunk_rows):
        part, n = slice(begin, end), end - begin
        chunk = dataclasses.replace(
            data,
            table=data.table.slice(begin, n),
            given=data.given.slice(begin, n),
            arrays={name: array.slice(begin, n) for name, array in data.arrays.items()},
        )
        of_chunk = with_arrays(verdicts, {name: values[part] for name, values in verdict_arrays(verdicts).items()})
        in_chunk = ReportRows(slice_evidence(evidence, part), of_chunk, rows.predicted[part], rank[part])
        yield build_report(chunk, np.arange(n), in_chunk, result.card, result.target, profiles).table


def streamed_chunks(result: ScanResult, table: StreamedTable, run: RunContext) -> Iterator[tuple[AssignedSplit | None, pa.Table]]:
    """Build the report of memory-mapped rows; the input is read once more for ids, labels and attributions.

    Args:
        result: of the scan.
        table: the input.
        run: store and processes.
    """
    store, verdicts = run.store, result.judged.verdicts
    # Counted from 1; 0 is a row that was not encoded.
    position, rank = store.zeros((table.n_local_rows,), np.int64), store.zeros((len(result.row),), np.int64)
    scatter_windows(position, result.row, lambda part: np.arange(part.start + 1, part.stop + 1), store)
    rank_by_bins(rank, result.row, verdicts, result.evidence.rounds[0].columns["z_score"], store)
    if run.processes.size > 1:
        rank_across(rank, verdicts, run.processes)
    profiles = ColumnProfiles.of(table.dataset_of(table.sample.table.slice(0, PROFILE_ROWS).select(table.columns())))
    done = 0
    for split in [None] if run.processes.size == 1 else table.splits:
        for chunk in table_chunks(table, split, store.sizes.report_rows):
            positions = position[done : done + chunk.num_rows]
            check_unchanged(len(positions) == chunk.num_rows, table)
            order = np.argsort(positions)[np.count_nonzero(positions == 0) :]
            rows = positions[order] - 1
            evidence = evidence_of_rows(result.evidence, rows, result.columns, store)
            of_chunk = with_arrays(verdicts, {name: gather(values, rows, store) for name, values in verdict_arrays(verdicts).items()})
            in_chunk = ReportRows(evidence, of_chunk, predicted_labels(evidence, result.plan.spec.decision), gather(rank, rows, store))
            done += chunk.num_rows
            yield split, build_report(table.dataset_of(chunk), order, in_chunk, result.card, result.target, profiles).table
            store.release()
    check_unchanged(done == len(position), table)


def table_chunks(table: StreamedTable, split: AssignedSplit | None, chunk_rows: int) -> Iterator[pa.Table]:
    """Read the rows of a split, or all that this process reads, in tables of `chunk_rows`, the last with what is left."""
    batches: list[pa.RecordBatch] = []
    for batch in table.batches(table.columns(), split):
        batches.append(batch)
        while sum(one.num_rows for one in batches) >= chunk_rows:
            whole = pa.Table.from_batches(batches)
            yield whole.slice(0, chunk_rows)
            batches = whole.slice(chunk_rows).to_batches()
    if sum(one.num_rows for one in batches):
        yield pa.Table.from_batches(batches)


def check_unchanged(same: bool, table: StreamedTable) -> None:
    """Refuse an input that has changed since it was first read.

    Raises:
        InputError: it has other rows now.
    """
    if not same:
        raise InputError(f"{table.source.path}: other rows than when the scan began — expected an input that stays as it is — scan it again")


def write_chunks(chunks: Iterator[pa.Table], path: str, card: dict[str, Any], first_row: int = 0) -> None:
    """Write a report's chunks as row groups of one file, each built while the one before it is written.

    Args:
        chunks: in the input's order.
        path: file to fill.
        card: run card.
        first_row: position in the input of the first row.
    """
    with ReportWriter(path, card, first_row) as writer:
        for chunk in prefetch(chunks):
            writer.write(chunk)
            del chunk
            pa.default_memory_pool().release_unused()


class ReportWriter:
    """Writes a report's rows as row groups of one file."""

    def __init__(self, path: str, card: dict[str, Any], first_row: int = 0) -> None:
        """A file to fill.

        Args:
            path: of the file.
            card: run card.
            first_row: position in the input of the first row.
        """
        # Arrow takes a path that is not UTF-8 as bytes only.
        self.file, self.card, self.next_row = pa.OSFile(os.fsencode(path), "wb"), card, first_row
        self.writer: pq.ParquetWriter | None = None

    def __enter__(self) -> ReportWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()
        self.file.close()

    def write(self, chunk: pa.Table) -> None:
        """Append rows; their column `row` is counted on from the rows before."""
        chunk = chunk.set_column(0, "row", pa.array(np.arange(self.next_row, self.next_row + chunk.num_rows)))
        if self.writer is None:
            schema = chunk.schema.with_metadata({METADATA_KEY: json.dumps(self.card, allow_nan=False).encode()})
            self.writer = pq.ParquetWriter(self.file, schema, **parquet_options(chunk.schema))
        self.writer.write_table(chunk.cast(self.writer.schema))
        self.next_row += chunk.num_rows
