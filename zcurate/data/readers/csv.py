"""CSV, TSV and their kin: delimiter, decimal comma and encoding are detected, quoted fields may hold newlines.

Sees numbers, dates, booleans and text by value; the label as text, as written. A row with too many or too few fields comes back as
skipped, at its place. Wrong when: the file has no header line.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from zcurate.config.options import ScanOptions
from zcurate.data import schema, tables
from zcurate.data import tables as tables_module
from zcurate.data.dataset import Dataset, SkippedRow
from zcurate.data.source import Source, compression_of, first_bytes
from zcurate.errors import InputError, listed
from zcurate.runtime.threads import background

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 1 << 16
BOM = b"\xef\xbb\xbf"
BLOCK_BYTES = 1 << 23
NULLS = ["", "NA", "N/A", "n/a", "na", "Na", "null", "NULL", "Null", "NaN", "nan", "NAN"]


@dataclass(frozen=True)
class CsvText:
    """One file's text, to be read as often as it takes."""

    open: Callable[[], Any]
    """A stream of its bytes in UTF-8, from the beginning."""
    head: bytes
    """Its first `HEAD` bytes."""
    size: int
    """Bytes in all."""
    checked: bool
    """All of it is known to be UTF-8; else only its head is."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: binary content, no rows, lines that make no table, or parts with different columns.
    """
    tables, skipped, before = [], [], 0
    origin = background(source.origin) if source.content is None and source.remote is None else source.origin
    for name in source.files or (None,):
        table, bad = table_in(source, name, options)
        skipped += [SkippedRow(skip.row + before, skip.reason, skip.line) for skip in bad]
        before += table.num_rows
        tables.append(table)
    return tables_module.dataset(tables_module.joined(tables, source), origin(), options, tuple(skipped), source.room)


def table_in(source: Source, name: str | None, options: ScanOptions) -> tuple[pa.Table, list[SkippedRow]]:
    """One file of the input as a table; arguments as for `table_of`.

    A local file is parsed as it is read, without a copy of it in memory, and taken for UTF-8 until Arrow finds text that is none.
    """
    place = name or source.path
    text = text_in(source, name)
    try:
        return table_of(text or whole_text(source, name), source, options, place)
    except UnicodeError:
        return table_of(whole_text(source, name), source, options, place)


def text_in(source: Source, name: str | None) -> CsvText | None:
    """A local file's text where its beginning is UTF-8 in lines that end as they do today; None where it must be looked at as a whole."""
    if source.content is not None or source.remote is not None or name is None or compression_of(name):
        return None
    with first_bytes(name), open(name, "rb") as file:
        head, size = file.read(HEAD_BYTES), os.path.getsize(name)
    if b"\0" in head or b"\n" not in head or not head.strip():
        return None
    try:
        # A character may be cut in two at the end of the head.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) == size)
    except UnicodeDecodeError:
        return None
    return CsvText(lambda: pa.OSFile(name), head.removeprefix(BOM), size, checked=False)


def whole_text(source: Source, name: str | None) -> CsvText:
    """A file's text read into memory, brought to UTF-8 and to lines that end in a line feed.

    Raises:
        InputError: it cannot be decompressed, is empty, or is binary.
    """
    place = name or source.path
    try:
        content = source.open(name).read()
    except OSError as error:
        raise InputError(f"{place}: cannot be decompressed ({error}) — is the file complete?") from error
    return text_from(content, place)


def text_from(content: bytes, place: str) -> CsvText:
    """`whole_text` of bytes in memory."""
    if not (content[:HEAD_BYTES].strip() or content.strip()):
        raise InputError(f"{place}: the file is empty — expected a header and data — is this the right file?")
    encoding = text_encoding(content, place)
    if encoding != "utf-8":
        content = content.decode(encoding, "replace").encode("utf-8")
    content = content.removeprefix(BOM)
    if b"\r" in content[:HEAD_BYTES] and b"\n" not in content[:HEAD_BYTES]:
        content = content.replace(b"\r", b"\n")
    return CsvText(lambda: pa.BufferReader(content), content[:HEAD_BYTES], len(content), checked=True)


def text_encoding(content: bytes, place: str) -> str:
    """The encoding by byte-order mark, else UTF-8 where it decodes, else Windows-1252.

    Raises:
        InputError: NUL bytes: the content is binary.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\0" in content[:HEAD_BYTES]:
        raise InputError(f"{place}: binary content — expected delimited text — is the ending right? try --input-format")
    try:
        content.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        odd = sum(byte < 9 or 13 < byte < 32 for byte in content[:HEAD_BYTES])
        if odd > 0.02 * min(len(content), HEAD_BYTES):
            raise InputError(f"{place}: binary content — expected delimited text — is the ending right? try --input-format") from None
        return "cp1252"


def dialect(head: str, kind: str) -> tuple[str, str]:
    """Delimiter and decimal mark, from the first lines.

    Args:
        head: the start of the file, whole lines.
        kind: `tsv` settles the delimiter.
    """
    best, width = ("\t" if kind == "tsv" else ","), 1.0
    for delimiter in DELIMITERS if kind != "tsv" else ():
        rows = list(csv.reader(io.StringIO(head), delimiter=delimiter))[:50]
        sizes = [len(row) for row in rows if row]
        if not sizes or sizes[0] < 2:
            continue
        agree = sum(size == sizes[0] for size in sizes) / len(sizes)
        if agree * sizes[0] > width and agree > 0.5:
            best, width = delimiter, agree * sizes[0]
    if best == ",":
        return best, "."
    cells = [cell for row in list(csv.reader(io.StringIO(head), delimiter=best))[1:200] for cell in row]
    commas = sum(bool(re.fullmatch(r"\s*-?\d+,\d+\s*", cell)) for cell in cells)
    points = sum(bool(re.fullmatch(r"\s*-?\d+\.\d+\s*", cell)) for cell in cells)
    return best, "," if commas > points else "."


def table_of(text: CsvText, source: Source, options: ScanOptions, place: str) -> tuple[pa.Table, list[SkippedRow]]:
    """One file as a table with every data row at its place, and the rows that did not fit.

    Label, id and group are kept as text, as written; of a verbatim source every column is.

    Raises:
        InputError: a header without rows.
        UsageError: the only file lacks a column that an option names.
        UnicodeError: text that was taken for UTF-8 is none.
    """
    head = text.head.decode("utf-8", "ignore")
    head = head[: head.rfind("\n") + 1] or head
    delimiter, decimal = dialect(head, source.format)
    names = tables.unique_names(next(csv.reader(io.StringIO(head), delimiter=delimiter), []))
    if len(source.files) == 1 and not source.base:
        schema.need_roles(names, options, place)
    usual = [name for name in names if name.strip().lower() in schema.USUAL_LABELS]
    label = options.label if options.label in names else usual[0] if len(usual) == 1 else None
    kept = names if source.verbatim else [name for name in (label, options.id, options.group) if name in names]
    types = {str(name): pa.string() for name in kept}
    table, bad = parse(text, names, delimiter, decimal, types, place)
    if table.num_rows == 0 and not bad:
        raise InputError(f"{place}: a header and no rows — expected data below {listed(names, 6)} — is the file complete?")
    if label and decimal == ",":
        table = decimal_points(table, label)
    if bad and table.num_rows == 0:
        raise InputError(f"{place}: every row has {bad[0][1]} — expected rows that match the header — check delimiter and quotes")
    lines = record_lines(text, delimiter) if bad else []
    return with_gaps(table, bad), [SkippedRow(at, reason, lines[at + 1] if at + 1 < len(lines) else None) for at, reason in bad]


def decimal_points(table: pa.Table, label: str) -> pa.Table:
    """Labels that are all decimal-comma numbers, with points."""
    column = table.column(label)
    if not pc.all(pc.match_substring_regex(column, r"^\s*-?\d+(,\d+)?\s*$")).as_py():
        return table
    return table.set_column(table.column_names.index(label), label, pc.replace_substring(column, ",", "."))


def record_lines(text: CsvText, delimiter: str) -> list[int]:
    """The 1-based line on which each record begins, the header first; blank lines are no records."""
    lines, begin = [], 1
    reader = csv.reader(io.TextIOWrapper(text.open(), "utf-8-sig", "replace", newline=""), delimiter=delimiter)
    for record in reader:
        if record:
            lines.append(begin)
        begin = reader.line_num + 1
    return lines


def parse(text: CsvText, names: list[str], delimiter: str, decimal: str, types: dict[str, pa.DataType], place: str) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Parse with Arrow; a column whose later blocks do not fit the type of the first is read again as text.

    Returns:
        The rows that fit; and (row, reason) of those that do not.

    Raises:
        InputError: no table.
        UnicodeError: as for `table_of`.
    """
    types, threads = dict(types), True
    for _ in range(2 * len(names) + 2):
        bad: list[tuple[int, str]] = []

        def refuse(row: pa.csv.InvalidRow, bad: list[tuple[int, str]] = bad) -> str:
            bad.append((row.number or 0, f"{row.actual_columns} fields where the header has {row.expected_columns}"))
            return "skip"

        try:
            table = pa.csv.read_csv(
                text.open(),
                read_options=pa.csv.ReadOptions(column_names=names, skip_rows_after_names=1, block_size=max(BLOCK_BYTES, text.size // 64), use_threads=threads),
                parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse),
                convert_options=pa.csv.ConvertOptions(column_types=types, null_values=NULLS, strings_can_be_null=True, decimal_point=decimal),
            )
        except pa.ArrowInvalid as error:
            if not text.checked and "invalid UTF8" in str(error):
                raise UnicodeError(str(error)) from error
            match = re.search(r"CSV column #(\d+)", str(error))
            if match and int(match[1]) < len(names) and types.get(names[int(match[1])]) != pa.string():
                types[names[int(match[1])]] = pa.string()
                continue
            raise InputError(f"{place}: not delimited text that makes a table — {str(error)[:120]} — check delimiter and quotes") from error
        if bad and threads:
            threads = False
            continue
        if not text.checked and any(pa.types.is_binary(column.type) for column in table.columns):
            raise UnicodeError("a column's text is not UTF-8")
        # In one piece each column can be looked at as one array without a second copy. Arrow numbers rows from 1 with the header as the first.
        return table.combine_chunks(), [(number - 2, reason) for number, reason in bad]
    raise InputError(f"{place}: no reading of its columns fits — expected delimited text — check delimiter and quotes")


def with_gaps(table: pa.Table, bad: list[tuple[int, str]]) -> pa.Table:
    """The table with an empty row at each place where a row did not fit."""
    if not bad:
        return table
    at = {row for row, _ in bad}
    total, next_row = table.num_rows + len(at), 0
    index: list[int | None] = []
    for row in range(total):
        if row in at:
            index.append(None)
        else:
            index.append(next_row)
            next_row += 1
    return table.take(pa.array(index, pa.int64()))
