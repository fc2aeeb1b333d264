"""Read a report from one file or from a folder of parts, and check where a new one may be written."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zcurate.config.options import ScanOptions
from zcurate.config.units import local_path
from zcurate.data import discovery, image_formats, partitions, remote
from zcurate.data.dataset import Dataset
from zcurate.data.limits import MemoryLimit
from zcurate.data.parquet_sizes import group_bytes
from zcurate.data.source import Source
from zcurate.errors import InputError, ReportError, UsageError, did_you_mean
from zcurate.plugins import READERS
from zcurate.report import locations
from zcurate.report.atomic import check_place, guard
from zcurate.report.card_schema import read_card
from zcurate.report.comparison import differences
from zcurate.report.report import Report, ReportSummary
from zcurate.report.schema import ENDING, METADATA_KEY, VERDICT_ORDER
from zcurate.report.validation import check_schema, check_values
from zcurate.runtime.safe_text import visible

SUMMARY_COLUMNS, SUMMARY_ROWS = ("verdict", "p_incorrect", "z_score", "mask_frequency"), 1_000_000
"""Columns, and number of rows at most, that a summary samples from a report."""
LEADING_COLUMNS, LEADING_ROWS = ("rank", "row", "id", "path", "given", "suggested", "p_incorrect", "verdict", "reasons"), 5
"""Columns and number of the most suspicious rows that a summary keeps."""


def load(path: str, is_wanted: Callable[[str], bool] | None = None) -> Report:
    """Read a report.

    Args:
        path: a `*.zcurate.parquet` file, a folder of its parts (`part-00003-of-00008.parquet`), or the address of one.
        is_wanted: whether to read a column, by its name; None reads all.

    Raises:
        ReportError: no such file, not a report, or a report with a missing part.
    """
    source = locate(path)
    if len(source.files) == 1 and not source.base:
        whole = read_part(source, source.files[0], is_wanted)
        if len(whole) != whole.card["input"]["rows"]:
            total = whole.card["input"]["rows"]
            raise ReportError(f"{path}: holds {len(whole)} of {total} rows — expected every row of the input — name the folder of its parts, or scan again")
        return dataclasses.replace(whole, path=path)
    problem = partitions.missing(source.files)
    if problem is not None:
        raise ReportError(f"{path}: {problem} — expected every part of one report — put it back, or scan again")
    return dataclasses.replace(join_parts([read_part(source, name, is_wanted) for name in source.files], source.files), path=path)


def load_named(path: str | None, is_wanted: Callable[[str], bool] | None = None) -> Report:
    """Read the report that a command names, or the newest of the current folder, which is told on stderr.

    Args:
        path: as typed; None for the newest.
        is_wanted: as for `load`.

    Raises:
        ReportError: as for `load`.
    """
    if path is None:
        path = newest()
        sys.stderr.write(f"{visible(path)}\n")
    return load(path, is_wanted)


def save_changed(report: Report, before: Report, output: str | None, protected: list[str]) -> str:
    """Write a changed report and return its path.

    Args:
        report: the changed one.
        before: as it was read.
        output: file to write; None for where it was read.
        protected: other files that must not be written over.

    Raises:
        UsageError: it cannot be written there.
    """
    path = output if output is not None else str(before.path)
    if output is None and (os.path.isdir(path) or remote.is_remote(path)):
        raise UsageError(f"{path}: is a folder of parts or an address — expected one file that can be replaced — name another with -o")
    if not path.endswith((".parquet", ".pq")):
        raise UsageError(f"{path}: a report is a Parquet file — expected a name ending in {ENDING} — name another with -o")
    guard(path, [*locations.known_inputs(before, None), *protected])
    report.save(path)
    return path


def load_summary(path: str) -> ReportSummary:
    """Read a summary of a long report, without ever holding more than about `SUMMARY_ROWS` rows of it.

    Args:
        path: as for `load`.

    Raises:
        ReportError: as for `load`.
    """
    source = locate(path)
    card, n_rows = card_of(path), sum(n_rows_of(source, name) for name in source.files)
    samples, stride = list[pa.Table](), max(1, -(-n_rows // SUMMARY_ROWS))
    n_of, n_below, n_read, leading = Counter[str](), 0, 0, list[pa.Table]()
    for name in source.files:
        with source.open_seekable(name) as raw, pq.ParquetFile(raw) as file:
            leading_names = [column for column in LEADING_COLUMNS if column in file.schema_arrow.names]
            for batch in file.iter_batches(columns=list(dict.fromkeys((*SUMMARY_COLUMNS, *leading_names))), batch_size=SUMMARY_ROWS // 16):
                whole = pa.Table.from_batches([batch])
                leading.append(whole.select(leading_names).filter(pc.less_equal(whole.column("rank"), LEADING_ROWS)))
                part = Report(whole.select(list(SUMMARY_COLUMNS)), card)
                n_of.update(part.counts())
                n_below += part.below_cut()
                samples.append(part.table.take(pa.array(np.arange(-n_read % stride, len(part), stride))))
                n_read += len(part)
    counts = {word: n_of[word] for word in VERDICT_ORDER if word in n_of}
    return ReportSummary(pa.concat_tables(samples), card, n_rows, counts, n_below, pa.concat_tables(leading).sort_by("rank"), path=path)


def n_rows_of(source: Source, name: str) -> int:
    """Return the number of rows of one file of a report."""
    with source.open_seekable(name) as raw:
        return int(pq.read_metadata(raw).num_rows)


def locate(path: str) -> Source:
    """Find the file of a report, or its parts in order.

    Raises:
        ReportError: there is nothing at the path.
    """
    path = local_path(path)
    if not remote.is_remote(path) and not os.path.exists(path):
        names = discovery.siblings_of(path, lambda name: name.endswith(ENDING))
        same_stem = next((name for name in names if discovery.stem_of(path.removesuffix(ENDING)) == name.removesuffix(ENDING)), None)
        hint = f" — did you mean {same_stem}?" if same_stem else did_you_mean(os.path.basename(path.rstrip("/")), names)
        raise ReportError(f"{path}: no such report — expected a file ending in {ENDING}{hint or ' — run `zcurate scan DATA` first'}")
    try:
        return Source(path, (path,), "parquet") if os.path.isfile(path) else discovery.locate(path, "parquet")
    except InputError as error:
        raise ReportError(not_a_report(path) if os.path.isdir(path) else f"{error}; no report there") from error


def not_parquet(path: str) -> str:
    """Write the message for a file that cannot be read as Parquet."""
    if not path.endswith((".parquet", ".pq")):
        return not_a_report(path)
    return f"{path}: not a Parquet file — expected a report that `zcurate scan` wrote — check the path"


def not_a_report(path: str) -> str:
    """Write the message for a file or folder that is no report: what it is, and what to do with it."""
    kind = discovery.format_of(path)
    report = f"{discovery.stem_of(path)}{ENDING}"
    to_list = f"zcurate report {shlex.quote(report)}" if os.path.exists(report) else f"zcurate scan {shlex.quote(path)}"
    if os.path.isdir(path):
        what, cure = "a folder", to_list
    elif image_formats.is_image_name(path):
        what, cure = "a picture", "scan the folder that holds the class folders: zcurate scan FOLDER"
    elif kind is not None:
        what, cure = ("a table" if READERS[kind].is_tabular else "a file of pictures"), to_list
    else:
        what, cure = "a file of another kind", "check the path"
    return f"{path}: is {what}, not a report — expected one that `zcurate scan` wrote, ending in {ENDING} — {cure}"


def read_part(source: Source, name: str, is_wanted: Callable[[str], bool] | None) -> Report:
    """Read the wanted columns of one Parquet file, and its run card; of one part among several always `row` too.

    Raises:
        ReportError: the file is missing, no Parquet file, no report, or takes more memory than the machine has.
    """
    with parquet_errors(name), source.open_whole(name) as raw, pq.ParquetFile(raw) as file:
        card = card_in(file.schema_arrow, name)
        names = [one for one in file.schema_arrow.names if is_wanted is None or is_wanted(one) or (one == "row" and len(source.files) > 1)]
        limit = MemoryLimit.of(None)
        n_bytes = sum(group_bytes(file, raw, group, limit.allowed, names) for group in range(file.metadata.num_row_groups))
        limit.check(n_bytes, name, "its columns", "is it a report of your own?")
        table = file.read(names)
    check_values(table, card, name)
    return Report(table.replace_schema_metadata(None), card)


@contextmanager
def parquet_errors(name: str) -> Iterator[None]:
    """Convert the errors of reading a Parquet file into errors that name the report.

    Raises:
        ReportError: the file is missing, cannot be read, or is no Parquet file.
    """
    try:
        yield
    except InputError as error:
        raise ReportError(str(error)) from error
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise ReportError(not_parquet(name)) from error


def join_parts(parts: list[Report], names: tuple[str, ...]) -> Report:
    """Concatenate the parts of a report.

    Args:
        parts: in the input's order.
        names: of the files of the parts.

    Raises:
        ReportError: parts of different scans, or missing rows between parts.
    """
    card, n_rows = parts[0].card, 0
    for part, name in zip(parts, names, strict=True):
        if part.card != card:
            raise ReportError(f"{name}: its run card is not that of {names[0]} — expected parts of one scan — move the other parts out of the folder")
        first_row = part.table.column("row")[0].as_py() if len(part) else n_rows
        if first_row != n_rows:
            raise ReportError(f"{name}: begins with row {first_row} — expected row {n_rows} — is a part missing before it, or named out of order?")
        n_rows += len(part)
    total = card["input"]["rows"]
    if n_rows != total:
        raise ReportError(f"{names[-1]}: ends after {n_rows} of {total} rows — expected every part of the report — is a part missing after it?")
    try:
        return Report(pa.concat_tables([part.table for part in parts]).unify_dictionaries(), card)
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0][:120]
        raise ReportError(f"{names[0]}: the parts' columns differ ({reason}) — expected parts of one scan — scan again") from error


def is_report(path: str) -> bool:
    """Tell whether a file, or a folder of parts, is a report: by its name, or by its run card."""
    if path.rstrip("/").endswith(ENDING):
        return True
    try:
        return (path.endswith((".parquet", ".pq")) or os.path.isdir(path)) and bool(card_of(path))
    except ReportError:
        return False


def card_of(path: str) -> dict[str, Any]:
    """Read a report's run card without its rows.

    Raises:
        ReportError: no such file, or not a report.
    """
    return card_in(schema_of(path), path)


def schema_of(path: str) -> pa.Schema:
    """Read a report's columns, with the run card in the metadata.

    Raises:
        ReportError: no such file, or not a Parquet file.
    """
    source = locate(path)
    with parquet_errors(path), source.remote_errors(path), source.open_seekable(source.files[0]) as raw, pq.ParquetFile(raw) as file:
        return file.schema_arrow


def card_in(schema: pa.Schema, path: str) -> dict[str, Any]:
    """Read the run card in a schema's metadata, and check that the columns are those of a report.

    Raises:
        ReportError: no run card, one of another schema, or other columns.
    """
    raw = (schema.metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise ReportError(not_a_report(path))
    card = read_card(raw, path)
    check_schema(schema, card, path)
    return card


def newest(folder: str = ".") -> str:
    """Find the most recently written report in a folder.

    Raises:
        ReportError: there is none.
    """
    paths = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(ENDING)]
    if not paths:
        raise ReportError(f"no report here — expected a file ending in {ENDING} — run `zcurate scan DATA` first, or name a report")
    return os.path.normpath(max(paths, key=lambda path: (os.stat(path).st_mtime_ns, path)))


def check_output(path: str, input_path: str, options: ScanOptions, data: Dataset | None = None) -> None:
    """Refuse to overwrite anything but a report of the same scan.

    Args:
        path: report to write.
        input_path: the data's path.
        options: of the scan; with `force` whatever is there may be overwritten, except the input.
        data: of the scan; None before it is read.

    Raises:
        UsageError: it would overwrite something else, or no file can be there.
    """
    path = local_path(path)
    guard(path, [input_path])
    if not path.endswith((".parquet", ".pq")):
        raise UsageError(f"{path}: a report is a Parquet file — expected a name ending in {ENDING} — other formats: zcurate report --format F")
    if remote.is_web(path):
        raise UsageError(f"{path}: a web address — expected a writable path or address, such as s3://bucket/name{ENDING} — name another with -o")
    is_remote = remote.is_remote(path)
    if not is_remote:
        check_place(path)
        if os.path.exists(path) and not os.path.isfile(path):
            raise UsageError(f"{path}: is a pipe or a device — expected a file to write — name another with -o, or write to standard output with -o -")
    if not (remote.exists(path) if is_remote else os.path.exists(path)) or options.force:
        return
    check_same_scan(path, input_path, options, data)


def check_same_scan(path: str, input_path: str, options: ScanOptions, data: Dataset | None) -> None:
    """Refuse to replace anything but a report of the same input, label, task and other options (see `comparison.FREE`).

    Args:
        path: of what exists.
        input_path: the data's path.
        options: of the scan.
        data: of the scan; None before it is read.

    Raises:
        UsageError: it is no report, or one of another scan; names what differs.
    """
    cure = "nothing was written — overwrite it with --force, or name another with -o"
    try:
        card = card_of(path)
        previous_input = card["input"]["path"]
    except ReportError:
        raise UsageError(f"{path}: exists and is no report — {cure}") from None
    if previous_input != locations.recorded_path(input_path):
        raise UsageError(f"{path}: is a report of {previous_input} — {cure}")
    before, now = differences(card, options, data)
    if before:
        raise UsageError(f"{path}: is a report with {before}, this scan has {now} — {cure}")
