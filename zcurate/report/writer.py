"""Write a report chunk by chunk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.arrays.chunk import chunk_ranges
from zcurate.data.dataset import Dataset
from zcurate.data.table import AssignedSplit, StreamedTable
from zcurate.errors import InputError
from zcurate.evidence import heldout
from zcurate.evidence.evidence import Evidence
from zcurate.judge import thresholds
from zcurate.judge.blocks import BlockedVerdicts, evidence_of_rows, gather, merge_verdicts, verdict_arrays, without_arrays
from zcurate.judge.judge import Verdicts
from zcurate.report import build, ranks
from zcurate.report import schema as schema_module
from zcurate.report.attribution import PROFILE_ROWS, ColumnProfiles
from zcurate.report.ranks import rank_across, rank_by_bins, scatter_windows
from zcurate.runtime.process_group import ProcessGroup
from zcurate.runtime.store import MemoryMappedStore
from zcurate.runtime.threads import prefetch

CHUNK_ROWS = 65_536
"""Rows of the report made and written at a time."""


def write_streamed(
    path_of: Callable[[int, int], str],
    found: StreamedTable,
    row: np.ndarray,
    seen: Evidence,
    extra: dict[str, np.ndarray],
    judged: BlockedVerdicts,
    card: dict[str, Any],
    decision: str,
    target: Any,
    store: MemoryMappedStore,
    others: ProcessGroup,
) -> None:
    """Write the report in row groups in the input's order; the input is read once more for ids, labels and telling columns.

    Args:
        path_of: file to fill for which unit of how many: one process asks for 0 of 1 and writes everything there, several write a file a unit.
        found: the input.
        row: (N,) position among the rows read here of each row as it lies in the files.
        seen: the rounds' records.
        extra: (N,) columns of witnesses.
        judged: the verdicts.
        card: run card.
        decision: how `predicted` is read off.
        target: regression's `TargetScale`, or None.
        store: where the rows lie.
        others: the processes that write rows of their own.
    """
    n, verdicts = len(row), judged.verdicts
    place, rank = store.zeros((n,), np.int64), store.zeros((n,), np.int64)
    scatter_windows(place, row, lambda part: np.arange(part.start, part.stop), store)
    rank_by_bins(rank, row, verdicts, seen.rounds[0].columns["z_score"], store)
    if others.size > 1:
        rank_across(rank, verdicts, others)
    backdrop, done = ColumnProfiles.of(found.dataset_of(found.data.table.slice(0, PROFILE_ROWS).select(found.columns()))), 0

    def made(unit: AssignedSplit | None) -> Iterator[pa.Table]:
        nonlocal done
        for table in report_chunks(found, unit):
            percentiles = place[done : done + table.num_rows]
            check_unchanged(len(percentiles) == table.num_rows, found)
            order = np.argsort(percentiles)
            rows = percentiles[order]
            evidence = evidence_of_rows(seen, rows, extra, store)
            mine = {name: gather(values, rows, store) for name, values in verdict_arrays(verdicts).items()}
            of_chunk = merge_verdicts([without_arrays(verdicts)], mine)
            decided = thresholds.predicted_labels(evidence, decision)
            whole = build.build_report(found.dataset_of(table), order, evidence, of_chunk, card, decided, target, gather(rank, rows, store), backdrop)
            done += table.num_rows
            yield whole.table
            store.release()

    for unit in [None] if others.size == 1 else found.splits:
        number, of, first_row = (0, 1, 0) if unit is None else (unit.number, found.n_splits, unit.begin)
        with ReportWriter(path_of(number, of), card) as pen:
            for part in prefetch(made(unit)):
                pen.write(part, first_row)
                first_row += part.num_rows
    check_unchanged(done == n, found)


def check_unchanged(same: bool, found: StreamedTable) -> None:
    """Refuse an input that has changed since it was first read.

    Raises:
        InputError: it has other rows now.
    """
    if not same:
        raise InputError(f"{found.source.path}: other rows than when the scan began — expected an input that stays as it is — scan it again")


class ReportWriter:
    """Writes a report's rows as row groups of one file."""

    def __init__(self, path: str, card: dict[str, Any]) -> None:
        self.path, self.card = path, card
        self.writer: pq.ParquetWriter | None = None

    def __enter__(self) -> ReportWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def write(self, made: pa.Table, first_row: int) -> None:
        """Append rows.

        Args:
            made: columns of the report; `row` is put right.
            first_row: position in the input of the first of them.
        """
        made = made.set_column(0, "row", pa.array(np.arange(first_row, first_row + made.num_rows)))
        if self.writer is None:
            schema = made.schema.with_metadata({schema_module.METADATA_KEY: json.dumps(self.card, allow_nan=False).encode()})
            self.writer = pq.ParquetWriter(self.path, schema, **schema_module.parquet_options(made.schema))
        self.writer.write_table(made.cast(self.writer.schema))


def write_resident(where: str, data: Dataset, evidence: Evidence, verdicts: Verdicts, card: dict[str, Any], decided: np.ndarray, target: Any) -> None:
    """Write the report of rows in memory, all encoded and in the input's order: each chunk is made while the one before it is written.

    The rows are those of `compose.build`; only a chunk of the report is ever held.

    Args:
        where: file to fill.
        data: N rows.
        evidence: of the same rows.
        verdicts: of the same rows.
        card: run card.
        decided: (N,) as for `compose.build`.
        target: as for `compose.build`.
    """
    rank = ranks.rank_rows(np.arange(data.n_rows), verdicts.p_incorrect, verdicts.p_outlier, evidence.columns["z_score"], verdicts.called("unlabelled"))
    backdrop = ColumnProfiles.of(data)

    def chunk(begin: int, end: int) -> pa.Table:
        part = slice(begin, end)
        rows = dataclasses.replace(
            data,
            table=data.table.slice(begin, end - begin),
            given=data.given.slice(begin, end - begin),
            arrays={name: array.slice(begin, end - begin) for name, array in data.arrays.items()},
        )
        seen = dataclasses.replace(
            evidence,
            columns={name: column[part] for name, column in evidence.columns.items()},
            curves={name: curve[:, part] for name, curve in evidence.curves.items()},
            heldout=heldout.take_rows(evidence.heldout, part),
            y=evidence.y[part],
        )
        judged = merge_verdicts([without_arrays(verdicts)], {name: values[part] for name, values in verdict_arrays(verdicts).items()})
        return build.build_report(rows, np.arange(end - begin), seen, judged, card, decided[part], target, rank[part], backdrop).table

    with ReportWriter(where, card) as pen:
        for made, begin in prefetch((chunk(begin, end), begin) for begin, end in chunk_ranges(data.n_rows, CHUNK_ROWS)):
            pen.write(made, begin)
            del made
            pa.default_memory_pool().release_unused()


def report_chunks(found: StreamedTable, unit: AssignedSplit | None) -> Iterator[pa.Table]:
    """The rows of a unit, or all that are read here, in tables of `CHUNK_ROWS`, the last with what is left."""
    held: list[pa.RecordBatch] = []
    for batch in found.batches(found.columns(), unit):
        held.append(batch)
        while sum(one.num_rows for one in held) >= CHUNK_ROWS:
            table = pa.Table.from_batches(held)
            yield table.slice(0, CHUNK_ROWS)
            held = table.slice(CHUNK_ROWS).to_batches()
    if sum(one.num_rows for one in held):
        yield pa.Table.from_batches(held)
