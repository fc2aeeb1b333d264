"""Read reports: one file, or a folder of parts."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.data import discovery, partitions, remote
from zcurate.data.source import Source
from zcurate.errors import InputError, ReportError, UsageError
from zcurate.report.atomic import absolute_path, guard, temporary_next_to
from zcurate.report.report import Report, ReportSummary
from zcurate.report.schema import ENDING, METADATA_KEY, SCHEMA_VERSION, VERDICT_ORDER

SUMMARY_COLUMNS, SUMMARY_ROWS = ("verdict", "p_incorrect", "z_score", "mask_frequency"), 1_000_000
"""Columns and rows of a report at a glance."""


def load(path: str, wanted: Callable[[str], bool] | None = None) -> Report:
    """Read a report.

    Args:
        path: a `*.zcurate.parquet` file, a folder of its parts (`part-00003-of-00008.parquet`), or the address of one.
        wanted: says of each column whether it is read; None reads all.

    Raises:
        ReportError: no such file, no report, or a report of which a part is missing.
    """
    where = locate(path)
    if len(where.files) == 1 and not where.base:
        return from_table(read_part(where, where.files[0], wanted), path)
    problem = partitions.missing(where.files)
    if problem is not None:
        raise ReportError(f"{path}: {problem} — expected every part of one report — put it back, or scan again")
    return join_parts([from_table(read_part(where, name, wanted), name) for name in where.files], where.files)


def load_summary(path: str) -> ReportSummary:
    """A long report at a glance; no more of it is ever held than `GLANCE_ROWS`.

    Args:
        path: as for `load`.

    Raises:
        ReportError: as for `load`.
    """
    where = locate(path)
    card, n_rows = card_of(path), sum(pq.read_metadata(name).num_rows for name in where.files)
    kept, every = list[pa.Table](), max(1, -(-n_rows // SUMMARY_ROWS))
    n_of, n_below, done = Counter[str](), 0, 0
    for name in where.files:
        with pq.ParquetFile(name) as file:
            for batch in file.iter_batches(columns=list(SUMMARY_COLUMNS), batch_size=SUMMARY_ROWS // 16):
                part = Report(pa.Table.from_batches([batch]), card)
                n_of.update(part.counts())
                n_below += part.below_cut()
                kept.append(part.table.take(pa.array(np.arange(-done % every, len(part), every))))
                done += len(part)
    return ReportSummary(pa.concat_tables(kept), card, n_rows, {word: n_of[word] for word in VERDICT_ORDER if word in n_of}, n_below)


def locate(path: str) -> Source:
    """The file of a report, or its parts in their order.

    Raises:
        ReportError: nothing there.
    """
    if not remote.is_remote(path) and not os.path.exists(path):
        raise ReportError(f"{path}: no such report — expected a file ending in {ENDING} — run `zcurate scan DATA` first")
    try:
        return Source(path, (path,), "parquet") if os.path.isfile(path) else discovery.locate(path, "parquet")
    except InputError as error:
        raise ReportError(f"{error}; no report there") from error


def read_part(where: Source, name: str, wanted: Callable[[str], bool] | None) -> pa.Table:
    """The wanted columns of one Parquet file, its metadata with them; a part's `row` always.

    Raises:
        ReportError: it is gone or no Parquet file.
    """
    try:
        with where.open_whole(name) as raw, pq.ParquetFile(raw) as file:
            names = file.schema_arrow.names
            return file.read(None if wanted is None else [one for one in names if wanted(one) or (one == "row" and len(where.files) > 1)])
    except InputError as error:
        raise ReportError(str(error)) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise ReportError(f"{name}: not a Parquet file — expected a report that `zcurate scan` wrote — check the path") from error


def join_parts(pieces: list[Report], names: tuple[str, ...]) -> Report:
    """The parts of a report as one.

    Args:
        pieces: in the input's order.
        names: of the parts.

    Raises:
        ReportError: parts of different scans, or rows that are missing between them.
    """
    card, done = pieces[0].card, 0
    for piece, name in zip(pieces, names, strict=True):
        if piece.card != card:
            raise ReportError(f"{name}: its run card is not that of {names[0]} — expected parts of one scan — take the others out of the folder")
        begin = piece.table.column("row")[0].as_py() if len(piece) else done
        if begin != done:
            raise ReportError(f"{name}: begins with row {begin} — expected row {done} — is a part missing before it, or named out of order?")
        done += len(piece)
    total = card["input"].get("rows", done)
    if done != total:
        raise ReportError(f"{names[-1]}: ends after {done} of {total} rows — expected every part of the report — is a part missing after it?")
    try:
        return Report(pa.concat_tables([piece.table for piece in pieces]).unify_dictionaries(), card)
    except pa.ArrowInvalid as error:
        short = str(error).splitlines()[0][:120]
        raise ReportError(f"{names[0]}: the parts' columns differ ({short}) — expected parts of one scan — scan again") from error


def is_report(path: str) -> bool:
    """Whether a file, or a folder of parts, is a report: by its name, or by the run card in it."""
    if path.rstrip("/").endswith(ENDING):
        return True
    try:
        return (path.endswith((".parquet", ".pq")) or os.path.isdir(path)) and bool(card_of(path))
    except ReportError:
        return False


def card_of(path: str) -> dict[str, Any]:
    """A report's run card, without its rows.

    Raises:
        ReportError: no such file, or no report.
    """
    return from_table(schema_of(path).empty_table(), path).card


def schema_of(path: str) -> pa.Schema:
    """A report's columns, the run card in the metadata.

    Raises:
        ReportError: no such file, or no Parquet file.
    """
    where = locate(path)
    try:
        with where.remote_errors(path), where.open_mapped(where.files[0]) as raw, pq.ParquetFile(raw) as file:
            return file.schema_arrow
    except (pa.ArrowInvalid, OSError, InputError) as error:
        raise ReportError(f"{path}: not a Parquet file — expected a report that `zcurate scan` wrote — check the path") from error


def from_table(table: pa.Table, path: str) -> Report:
    """A report from its table, the run card in its metadata.

    Raises:
        ReportError: no run card, or one of a later schema.
    """
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise ReportError(f"{path}: a Parquet file but no report — expected one that `zcurate scan` wrote — did you mean to scan it?")
    card = json.loads(raw)
    if card.get("schema_version") != SCHEMA_VERSION:
        raise ReportError(f"{path}: schema version {card.get('schema_version')} — this zcurate reads {SCHEMA_VERSION} — update zcurate or scan again")
    return Report(table.replace_schema_metadata(None), card)


def newest(folder: str = ".") -> str:
    """The report written last in `folder`.

    Raises:
        ReportError: there is none.
    """
    paths = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(ENDING)]
    if not paths:
        raise ReportError(f"no report here — expected a file ending in {ENDING} — run `zcurate scan DATA` first, or name a report")
    return os.path.normpath(max(paths, key=lambda path: (os.stat(path).st_mtime_ns, path)))


def check_output(path: str, input_path: str, force: bool) -> None:
    """Refuse to overwrite anything but a report of the same input, and find out now whether the place can be written.

    Args:
        path: report to write.
        input_path: the data's path.
        force: overwrite whatever is there.

    Raises:
        UsageError: it would overwrite something else, the input included, or cannot be written.
    """
    guard(path, [input_path])
    if not path.endswith((".parquet", ".pq")):
        raise UsageError(f"{path}: a report is a Parquet file — expected a name ending in {ENDING} — other formats: zcurate report --format F")
    if remote.is_web(path):
        raise UsageError(f"{path}: a web address — expected a place that can be written, as s3://bucket/name{ENDING} — name another with -o")
    far = remote.is_remote(path)
    if not far:
        handle, temporary = temporary_next_to(path)
        os.close(handle)
        os.unlink(temporary)
    if not (remote.exists(path) if far else os.path.exists(path)) or force:
        return
    try:
        before = card_of(path)["input"]["path"]
    except (ReportError, KeyError):
        raise UsageError(f"{path}: exists and is no report — nothing was written — overwrite it with --force, or name another with -o") from None
    if before != absolute_path(input_path):
        raise UsageError(f"{path}: is a report of {before} — nothing was written — overwrite it with --force, or name another with -o")
