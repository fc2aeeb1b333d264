"""Use people's decisions in a scan: the labels that were decided are trained on and trusted, and stand in the report."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from zcurate.arrays.digest import array_digest
from zcurate.config.options import ScanOptions
from zcurate.data.dataset import Dataset
from zcurate.errors import UsageError
from zcurate.report.decision_files import read_decisions
from zcurate.report.decisions import FoundDecisions, Keys, find_rows

if TYPE_CHECKING:
    from zcurate.data.table import ResidentTable, StreamedTable
    from zcurate.encoding.encoded import EncodedRows
    from zcurate.runtime.context import RunContext


def with_decisions(table: ResidentTable | StreamedTable, options: ScanOptions, run: RunContext) -> tuple[Any, FoundDecisions | None]:
    """Return the table to train on, with the labels that were decided, and the decisions; the table itself where there are none.

    Args:
        table: the input.
        options: `decisions`.
        run: progress.

    Raises:
        InputError: the decisions cannot be read.
        UsageError: a decision does not fit, or the rows do not fit into memory.
    """
    from zcurate.data.table import ResidentTable

    if options.decisions is None:
        return table, None
    if not isinstance(table, ResidentTable):
        raise UsageError("--decisions: the rows do not fit into memory — expected fewer, or more --memory — zcurate update learns from them after the scan")
    data = table.sample
    found = find_rows(read_decisions(options.decisions), keys_of(data), options.decisions)
    for text in found.warnings("--decisions"):
        run.progress.warn(text)
    return ResidentTable(decided(data, found)), found


def keys_of(data: Dataset) -> Keys:
    """Return the keys of an input's rows."""
    from zcurate.data.fingerprints import fingerprints

    key = None if data.roles.id is None else data.table.column(data.roles.id)
    path = None if data.paths is None else pa.chunked_array([data.paths])
    prints = pa.chunked_array([fingerprints(data)])
    return Keys(data.n_rows, pa.chunked_array([data.given]), prints, key, path, data.task.classes)


def decided(data: Dataset, found: FoundDecisions) -> Dataset:
    """Return the data with the labels that were decided, no label where the row is to be dropped, and which rows to trust.

    Args:
        data: all rows.
        found: decisions and their rows.
    """
    is_number = pa.types.is_floating(data.given.type)
    labels, trusted = data.given.to_pylist(), np.zeros(data.n_rows, bool)
    for row, one in zip(found.row.tolist(), found.decisions, strict=True):
        if one.decision == "drop":
            labels[row] = None
        elif one.decision == "relabel":
            labels[row] = float(str(one.label)) if is_number else one.label
        trusted[row] = one.decision in ("keep", "relabel") and labels[row] is not None
    given = pa.array(labels, data.given.type)
    digest = array_digest(np.array([f"{row} {one.decision} {one.label}" for row, one in zip(found.row, found.decisions, strict=True)], "U"))
    return dataclasses.replace(data, given=given, trusted=trusted, row_arrays={**data.row_arrays, "decisions": digest})


def with_row_marks(rows: EncodedRows, data: Dataset) -> EncodedRows:
    """Mark the encoded rows that a person has decided on, and the slice that each is in.

    Args:
        rows: encoded.
        data: the input's rows.
    """
    import torch

    def of(values: np.ndarray | None) -> torch.Tensor | None:
        return None if values is None else torch.from_numpy(values[rows.row]).to(rows.device)

    return dataclasses.replace(rows, trusted=of(data.trusted), slices=of(None if data.slices is None else data.slices.code))
