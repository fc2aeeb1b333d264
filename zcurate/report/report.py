"""`Report`: one row per input row, and the run card; loaded, selected and saved. No torch, no rich.

Leaves: `Report`, a Parquet file. Enters: an Arrow table and a run card. The schema is version 1 of DESIGN section 3: columns
may be added, never renamed without raising it.
"""

from __future__ import annotations

import glob
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zcurate.config.options import ReportOptions
from zcurate.data import partitions, remote, source
from zcurate.data.partitions import REPORT_ENDING
from zcurate.data.source import Source
from zcurate.errors import InputError, ReportError, UsageError, did_you_mean, listed

SCHEMA_VERSION = 1
KEY = b"zcurate"
ENDING = REPORT_ENDING
REGRESSION_ONLY = ("residual", "residual_z", "interval_low", "interval_high")
VERDICT_ORDER = ("incorrect", "hard", "outlier", "clean", "unlabelled", "skipped", "unjudged")
"""In which verdicts are told."""
GLANCED, GLANCE_ROWS = ("verdict", "p_incorrect", "z_score", "mask_frequency"), 1_000_000
"""Columns and rows of a report at a glance."""
TRACES = ("loss_curve", "margin_curve", "z_curve", "clues", "top_classes", "top_probabilities")
"""List columns that only `explain` reads; `report` leaves them out unless `--columns` names them."""
COLUMN_DOCS = {
    "row": "0-based position in the input",
    "id": "value of `--id`",
    "path": "path of the picture",
    "given": "the label as written in the input",
    "suggested": "the label that the evidence prefers; null when unsure",
    "p_suggested": "its probability; null for regression",
    "verdict": "clean, hard, incorrect, outlier, unlabelled, skipped or unjudged",
    "p_incorrect": "calibrated probability that the given label is wrong",
    "p_hard": "probability that the label is right but the row difficult",
    "p_outlier": "probability that the input belongs to no class",
    "rank": "1 = most suspicious",
    "reasons": "codes of the clues that decided, strongest first",
    "telling": "the row's columns that speak most against its label, as column=value",
    "z_score": "mean signed z of the row's error while training on it (high = worse than its peers)",
    "z_max": "largest z of all visits",
    "z_last": "mean z in the last epoch",
    "mask_frequency": "share of its visits in which Z-Error left the row out of the gradient",
    "n_seen": "visits of members that train on the row",
    "n_masked": "visits in which it was left out",
    "loss_mean": "mean training loss",
    "confidence_mean": "mean probability of the given label while training",
    "confidence_std": "its standard deviation over the epochs",
    "margin_mean": "area under the margin: mean logit of the given class minus the best other",
    "learned_epoch": "first epoch from which the label was predicted right twice running; the number of epochs when never",
    "n_forgotten": "turns from right to wrong",
    "predicted": "prediction of models that never trained on the row",
    "p_given": "their probability of the given label (regression: of a target at least as far out)",
    "margin_heldout": "their margin of the given label (regression: minus the residual in predicted scales)",
    "entropy_heldout": "entropy of their prediction [nats]",
    "copies_other": "share of the row's exact or near copies that carry another label; null without copies",
    "residual": "given minus predicted",
    "residual_z": "the same in predicted standard deviations",
    "interval_low": "lower end of the 90 % interval of right targets",
    "interval_high": "upper end of the 90 % interval of right targets",
    "loss_curve": "loss at each epoch of training, mean of the members that train on the row (this and the next two: two to three digits beyond 200 000 rows)",
    "margin_curve": "margin at each epoch",
    "z_curve": "signed z at each epoch",
    "clues": "place of each clue among all rows, 0 to 1 = most suspicious, in the order of the run card's `clue_names`; null = cannot tell",
    "top_classes": "the three most probable classes to models that never trained on the row",
    "top_probabilities": "their probabilities",
}
"""Every column of the schema, in order, and its meaning."""


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
        table = self.table.replace_schema_metadata({KEY: json.dumps(self.card, allow_nan=False).encode()})
        pq.write_table(table, where, **packed_as(table.schema))

    def save(self, path: str) -> None:
        """Write as Parquet, so that no half of it is ever seen; see `whole_file`.

        Raises:
            UsageError: the place cannot be written to.
        """
        with whole_file(path) as temporary:
            self.write(temporary)


@dataclass(frozen=True)
class Glance(Report):
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


def packed_as(schema: pa.Schema) -> dict[str, Any]:
    """How the columns of a report are packed in Parquet, as arguments of its writer."""
    floats = [field.name for field in schema if pa.types.is_floating(field.type) and field.name != "mask_frequency"]
    packed = {name: "DELTA_BINARY_PACKED" for name in ("row", "rank") if name in schema.names}
    words = [f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in schema]
    words = [name for name in words if name not in floats and name not in packed]
    return {"compression": "zstd", "use_dictionary": words, "use_byte_stream_split": floats, "column_encoding": packed or None}


@contextmanager
def whole_file(path: str) -> Iterator[str]:
    """A temporary file to fill, that becomes `path` at the end: beside it and renamed, or here and copied where `path` has a protocol.

    Raises:
        UsageError: the place cannot be written to.
    """
    far = remote.is_remote(path)
    handle, temporary = tempfile.mkstemp(prefix="zcurate-", suffix=os.path.splitext(path)[1]) if far else temporary_beside(path)
    os.close(handle)
    try:
        yield temporary
        if not far:
            os.chmod(temporary, 0o666 & ~current_umask())
            os.replace(temporary, path)
            return
    except BaseException:
        os.unlink(temporary)
        raise
    try:
        remote.put(temporary, path)
    except InputError as error:
        raise UsageError(f"{error} — what was to be written there is kept in {temporary}") from error
    os.unlink(temporary)


def guard(path: str, others: list[str]) -> None:
    """Refuse to write over a file that must stay as it is.

    Args:
        path: file to write.
        others: the input, the report: files, folders of parts, globs, addresses.

    Raises:
        UsageError: `path` is one of them, or a part of one.
    """
    for other in others:
        if is_same(here(path), here(other)):
            what = "report" if other.rstrip("/").endswith(ENDING) else "input"
            raise UsageError(f"{path}: is the {what} itself, or a part of it — expected another file to write — name one with -o")


def here(path: str) -> str:
    """A `file://` address as a path."""
    return remote.bare(path) if remote.is_remote(path) and remote.protocol_of(path) in ("file", "local") else path


def is_same(path: str, other: str) -> bool:
    """Whether writing `path` would change `other`; a report in a folder of data is no part of the data."""
    if remote.is_remote(path) or remote.is_remote(other):
        inside = path.startswith(other.rstrip("/") + "/") and partitions.is_data(path) and source.format_of(path) == "parquet"
        return path == other.rstrip("/") or inside
    if not os.path.exists(path):
        return False
    if os.path.isdir(other):
        return any(os.path.samefile(path, part) for part in parts_in(other))
    matches = glob.glob(other, recursive=True) if source.has_pattern(other) else []
    return any(os.path.samefile(path, one) for one in [other, *matches] if os.path.exists(one))


def parts_in(folder: str) -> list[str]:
    """The tables in a folder that a scan of it would read; of a folder of pictures none."""
    files, others = partitions.below(folder, source.entries_here)
    kinds = {source.format_of(name) for name in files} - {None}
    wanted = {"parquet"} if "parquet" in kinds else set() if others else kinds
    return [name for name in files if source.format_of(name) in wanted]


def current_umask() -> int:
    """The process's umask; reading it means setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def temporary_beside(path: str) -> tuple[int, str]:
    """An open temporary file in the folder of `path`.

    Raises:
        UsageError: the folder is missing or cannot be written to.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"{path}: no folder {folder} — expected an existing folder — create it or name another with -o")
    if os.path.isdir(path):
        raise UsageError(f"{path}: is a folder — expected a file to write — try -o {os.path.join(path, 'report' + ENDING)}")
    try:
        return tempfile.mkstemp(prefix=".zcurate-", suffix=".part", dir=folder)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}) — expected a folder that you may write to — name another with -o") from error


def load(path: str, wanted: Callable[[str], bool] | None = None) -> Report:
    """Read a report.

    Args:
        path: a `*.zcurate.parquet` file, a folder of its parts (`part-00003-of-00008.parquet`), or the address of one.
        wanted: says of each column whether it is read; None reads all.

    Raises:
        ReportError: no such file, no report, or a report of which a part is missing.
    """
    where = located(path)
    if len(where.files) == 1 and not where.base:
        return from_table(table_of(where, where.files[0], wanted), path)
    problem = partitions.missing(where.files)
    if problem is not None:
        raise ReportError(f"{path}: {problem} — expected every part of one report — put it back, or scan again")
    return from_parts([from_table(table_of(where, name, wanted), name) for name in where.files], where.files)


def glance(path: str) -> Glance:
    """A long report at a glance; no more of it is ever held than `GLANCE_ROWS`.

    Args:
        path: as for `load`.

    Raises:
        ReportError: as for `load`.
    """
    where = located(path)
    card, n_rows = card_of(path), sum(pq.read_metadata(name).num_rows for name in where.files)
    kept, every = list[pa.Table](), max(1, -(-n_rows // GLANCE_ROWS))
    n_of, n_below, done = Counter[str](), 0, 0
    for name in where.files:
        with pq.ParquetFile(name) as file:
            for batch in file.iter_batches(columns=list(GLANCED), batch_size=GLANCE_ROWS // 16):
                part = Report(pa.Table.from_batches([batch]), card)
                n_of.update(part.counts())
                n_below += part.below_cut()
                kept.append(part.table.take(pa.array(np.arange(-done % every, len(part), every))))
                done += len(part)
    return Glance(pa.concat_tables(kept), card, n_rows, {word: n_of[word] for word in VERDICT_ORDER if word in n_of}, n_below)


def located(path: str) -> Source:
    """The file of a report, or its parts in their order.

    Raises:
        ReportError: nothing there.
    """
    if not remote.is_remote(path) and not os.path.exists(path):
        raise ReportError(f"{path}: no such report — expected a file ending in {ENDING} — run `zcurate scan DATA` first")
    try:
        return Source(path, (path,), "parquet") if os.path.isfile(path) else source.locate(path, "parquet")
    except InputError as error:
        raise ReportError(f"{error}; no report there") from error


def table_of(where: Source, name: str, wanted: Callable[[str], bool] | None) -> pa.Table:
    """The wanted columns of one Parquet file, its metadata with them; a part's `row` always.

    Raises:
        ReportError: it is gone or no Parquet file.
    """
    try:
        with where.fetched(name) as raw, pq.ParquetFile(raw) as file:
            names = file.schema_arrow.names
            return file.read(None if wanted is None else [one for one in names if wanted(one) or (one == "row" and len(where.files) > 1)])
    except InputError as error:
        raise ReportError(str(error)) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise ReportError(f"{name}: not a Parquet file — expected a report that `zcurate scan` wrote — check the path") from error


def from_parts(pieces: list[Report], names: tuple[str, ...]) -> Report:
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
    where = located(path)
    try:
        with where.reaching(path), where.mapped(where.files[0]) as raw, pq.ParquetFile(raw) as file:
            return file.schema_arrow
    except (pa.ArrowInvalid, OSError, InputError) as error:
        raise ReportError(f"{path}: not a Parquet file — expected a report that `zcurate scan` wrote — check the path") from error


def from_table(table: pa.Table, path: str) -> Report:
    """A report from its table, the run card in its metadata.

    Raises:
        ReportError: no run card, or one of a later schema.
    """
    raw = (table.schema.metadata or {}).get(KEY)
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


def default_path(stem: str) -> str:
    """Where the report of an input goes: the current folder."""
    return f"{stem}{ENDING}"


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
        handle, temporary = temporary_beside(path)
        os.close(handle)
        os.unlink(temporary)
    if not (remote.exists(path) if far else os.path.exists(path)) or force:
        return
    try:
        before = card_of(path)["input"]["path"]
    except (ReportError, KeyError):
        raise UsageError(f"{path}: exists and is no report — nothing was written — overwrite it with --force, or name another with -o") from None
    if before != full(input_path):
        raise UsageError(f"{path}: is a report of {before} — nothing was written — overwrite it with --force, or name another with -o")


def full(path: str) -> str:
    """The absolute path; `-`, `memory` and addresses stay as they are."""
    return path if path in ("-", "memory") or remote.is_remote(path) else os.path.abspath(path)


def select(report: Report, options: ReportOptions) -> pa.Table:
    """The rows that `zcurate report` lists, sorted by rank.

    Args:
        report: a scan's result.
        options: selections; see `ReportOptions`.

    Raises:
        ReportError: a class that the report does not hold.
    """
    table = report.table
    keep = np.ones(table.num_rows, bool)
    words = options.verdicts()
    if words is not None:
        keep &= among(table.column("verdict"), words)
    for name, flag, value in (("given", "--class", options.class_), ("given", "--given", options.given), ("suggested", "--suggested", options.suggested)):
        if value is not None:
            keep &= pc.fill_null(pc.equal(table.column(name), same_kind(report, table.column(name), value, flag)), False).to_numpy()
    if options.min_p is not None:
        with np.errstate(invalid="ignore"):
            keep &= floats(table.column("p_incorrect")) >= options.min_p
    rank = np.nan_to_num(floats(table.column("rank")), nan=np.inf)
    if options.top is not None and words is None:
        keep &= np.isfinite(rank)
    chosen = np.flatnonzero(keep)
    order = chosen[np.argsort(rank[chosen], kind="stable")][: options.top]
    return table.take(pa.Array.from_buffers(pa.int64(), len(order), [None, pa.py_buffer(order)]))


SELECTED_BY = ("verdict", "given", "suggested", "p_incorrect", "rank", "row")
"""Columns that `select` looks at, and the one that rows are joined by."""


# `pa.array`, `pa.scalar` and `to_numpy` import pandas, a third of the time that `zcurate report` takes: the functions here read the buffers.


def among(column: pa.ChunkedArray, words: tuple[str, ...]) -> np.ndarray:
    """(N,) bool: the value is one of the words.

    Args:
        column: (N) dictionary<string> without nulls.
        words: those wanted.
    """
    parts = [np.zeros(0, bool)]
    for chunk in column.chunks:
        wanted = np.array([word in words for word in chunk.dictionary.to_pylist()], bool)
        parts.append(wanted[buffered(chunk.indices, np.int32)])
    return np.concatenate(parts)


def floats(column: pa.ChunkedArray) -> np.ndarray:
    """(N,) float64, null as NaN."""
    parts = [np.zeros(0)]
    for chunk in column.cast(pa.float64()).chunks:
        there = buffered(chunk.is_valid().cast(pa.uint8()), np.uint8).astype(bool)
        parts.append(np.where(there, buffered(chunk, np.float64), np.nan))
    return np.concatenate(parts)


def buffered(array: pa.Array, kind: Any) -> np.ndarray:
    """(N,) values as they lie in memory; anything where null.

    Args:
        array: (N) of a fixed width.
        kind: its numpy type.
    """
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)] if len(array) else np.zeros(0, kind)


def same_kind(report: Report, column: pa.ChunkedArray, value: str, flag: str) -> str | float:
    """A label typed on the command line, in the column's type.

    Raises:
        ReportError: no such class; names the nearest.
    """
    if pa.types.is_floating(column.type):
        try:
            return float(value)
        except ValueError:
            raise ReportError(f"{flag} {value}: the report is of a regression — expected a number") from None
    classes = [entry["name"] for entry in report.card.get("classes", [])]
    if value not in classes:
        raise ReportError(f"{flag} {value}: no such class — classes: {listed(classes)}{did_you_mean(value, classes, flag + ' {}')}")
    return value
