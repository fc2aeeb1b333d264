"""Reader of CSV, TSV and similar text: delimiter, decimal comma and encoding are detected, quoted fields may contain newlines.

Types are inferred from the values; the label is text, as written. A row with too many or too few fields is a row of nulls that is reported as
skipped. The file must have a header line.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from zcurate.config.options import ScanOptions
from zcurate.data import schema, tables
from zcurate.data.dataset import Dataset, SkippedRow
from zcurate.data.local_files import local_errors
from zcurate.data.source import Source, compression_of
from zcurate.errors import InputError, listed
from zcurate.runtime.threads import background

DELIMITERS = (",", ";", "\t", "|")
"""Delimiters that are detected."""
HEAD_BYTES = 1 << 16
"""Bytes from which delimiter, decimal mark and encoding are detected."""
BOM = b"\xef\xbb\xbf"
"""Byte-order mark of UTF-8."""
BLOCK_BYTES = 1 << 23
"""Size of the parser's blocks."""
NULLS = ["", "NA", "N/A", "n/a", "na", "Na", "null", "NULL", "Null", "NaN", "nan", "NAN"]
"""Spellings of missing values."""


@dataclass(frozen=True)
class CsvText:
    """Text of one file, which can be read several times."""

    open: Callable[[], Any]
    """Opens a stream of its bytes in UTF-8 from the beginning."""
    head: bytes
    """Its first `HEAD_BYTES` bytes."""
    size: int
    """Total size [bytes]."""
    checked: bool
    """All of it is known to be UTF-8, not only the head."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: binary content, no rows, lines that do not form a table, or parts with different columns.
    """
    parts, skipped, n_before = [], [], 0
    origin = background(source.origin) if source.content is None and source.remote is None else source.origin
    for name in source.files or (None,):
        table, refused = read_file(source, name, options)
        skipped += [SkippedRow(skip.row + n_before, skip.reason, skip.line) for skip in refused]
        n_before += table.num_rows
        parts.append(table)
    return tables.dataset(tables.join_parts(parts, source), origin(), options, tuple(skipped), source.store)


def read_file(source: Source, name: str | None, options: ScanOptions) -> tuple[pa.Table, list[SkippedRow]]:
    """Read one file into a table; arguments as for `table_of`.

    A local file is parsed while it is read, without a copy in memory, and assumed to be UTF-8 until Arrow finds invalid text.
    """
    location = name or source.path
    text = streamed_text(source, name)
    try:
        return table_of(text or whole_text(source, name), source, options, location)
    except UnicodeError:
        return table_of(whole_text(source, name), source, options, location)


def streamed_text(source: Source, name: str | None) -> CsvText | None:
    """Return the text of a local file whose head is UTF-8 with line feeds; None for a file that must be read and converted as a whole."""
    if source.content is not None or source.remote is not None or name is None or compression_of(name):
        return None
    with local_errors(name), open(name, "rb") as file:
        head, size = file.read(HEAD_BYTES), os.path.getsize(name)
    if b"\0" in head or b"\n" not in head or not head.strip():
        return None
    try:
        # The head may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) == size)
    except UnicodeDecodeError:
        return None
    return CsvText(lambda: pa.OSFile(os.fsencode(name)), head.removeprefix(BOM), size, checked=False)


def whole_text(source: Source, name: str | None) -> CsvText:
    """Read a file into memory and convert it to UTF-8 with line feeds.

    Raises:
        InputError: it cannot be decompressed, is empty, or is binary.
    """
    location = name or source.path
    try:
        content = source.open(name).read()
    except OSError as error:
        raise InputError(f"{location}: cannot be decompressed ({error}) — expected a complete file — download or compress it again") from error
    return text_from(content, location)


def text_from(content: bytes, location: str) -> CsvText:
    """Convert bytes to UTF-8 with line feeds.

    Raises:
        InputError: they are empty or binary.
    """
    if not (content[:HEAD_BYTES].strip() or content.strip()):
        raise InputError(f"{location}: the file is empty — expected a header and data — is this the right file?")
    encoding = text_encoding(content, location)
    if encoding != "utf-8":
        content = content.decode(encoding, "replace").encode("utf-8")
    content = content.removeprefix(BOM)
    if b"\r" in content[:HEAD_BYTES] and b"\n" not in content[:HEAD_BYTES]:
        content = content.replace(b"\r", b"\n")
    return CsvText(lambda: pa.BufferReader(content), content[:HEAD_BYTES], len(content), checked=True)


def text_encoding(content: bytes, location: str) -> str:
    """Detect the encoding: by byte-order mark, else UTF-8 if it decodes, else Windows-1252.

    Raises:
        InputError: the content is binary.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\0" in content[:HEAD_BYTES]:
        raise InputError(f"{location}: binary content — expected delimited text — is the ending right? try --input-format")
    try:
        content.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        n_control = sum(byte < 9 or 13 < byte < 32 for byte in content[:HEAD_BYTES])
        if n_control > 0.02 * min(len(content), HEAD_BYTES):
            raise InputError(f"{location}: binary content — expected delimited text — is the ending right? try --input-format") from None
        return "cp1252"


def dialect(head: str, kind: str) -> tuple[str, str]:
    """Detect delimiter and decimal mark from the first lines.

    Args:
        head: the beginning of the file, whole lines.
        kind: format; `tsv` implies the delimiter.
    """
    best, width = ("\t" if kind == "tsv" else ","), 1.0
    for delimiter in DELIMITERS if kind != "tsv" else ():
        rows = list(csv.reader(io.StringIO(head), delimiter=delimiter))[:50]
        sizes = [len(row) for row in rows if row]
        if not sizes or sizes[0] < 2:
            continue
        consistency = sum(size == sizes[0] for size in sizes) / len(sizes)
        if consistency * sizes[0] > width and consistency > 0.5:
            best, width = delimiter, consistency * sizes[0]
    if best == ",":
        return best, "."
    cells = [cell for row in list(csv.reader(io.StringIO(head), delimiter=best))[1:200] for cell in row]
    commas = sum(bool(re.fullmatch(r"\s*-?\d+,\d+\s*", cell)) for cell in cells)
    points = sum(bool(re.fullmatch(r"\s*-?\d+\.\d+\s*", cell)) for cell in cells)
    return best, "," if commas > points else "."


def table_of(text: CsvText, source: Source, options: ScanOptions, location: str) -> tuple[pa.Table, list[SkippedRow]]:
    """Parse one file into a table with all of its rows, and list the rows that do not fit the header.

    Label, id and group are read as text, as written; every column is for a verbatim source.

    Args:
        text: of the file.
        source: the input.
        options: column roles.
        location: name of the file, for messages.

    Raises:
        InputError: a header without rows.
        UsageError: the only file lacks a column that an option names.
        UnicodeError: text that was assumed to be UTF-8 is not.
    """
    head = text.head.decode("utf-8", "ignore")
    head = head[: head.rfind("\n") + 1] or head
    delimiter, decimal = dialect(head, source.format)
    names = tables.unique_names(next(csv.reader(io.StringIO(head), delimiter=delimiter), []))
    if len(source.files) == 1 and not source.base:
        schema.need_roles(names, options, location)
    usual = [name for name in names if name.strip().lower() in schema.USUAL_LABELS]
    label = options.label if options.label in names else usual[0] if len(usual) == 1 else None
    verbatim = names if source.verbatim else [name for name in (label, options.id, options.group) if name in names]
    types = {str(name): pa.string() for name in verbatim}
    table, refused = parse(text, names, delimiter, decimal, types, location)
    if table.num_rows == 0 and not refused:
        raise InputError(f"{location}: a header and no rows — expected data below {listed(names, 6)} — check that the file is complete")
    if label and decimal == ",":
        table = decimal_points(table, label)
    if refused and table.num_rows == 0:
        raise InputError(f"{location}: every row has {refused[0][1]} — expected rows that match the header — check delimiter and quotes")
    return with_null_rows(table, refused), skipped_rows(refused, text.open, delimiter)


def decimal_points(table: pa.Table, label: str) -> pa.Table:
    """Replace decimal commas by points in a label column that holds only such numbers."""
    column = table.column(label)
    if not pc.all(pc.match_substring_regex(column, r"^\s*-?\d+(,\d+)?\s*$")).as_py():
        return table
    return table.set_column(table.column_names.index(label), label, pc.replace_substring(column, ",", "."))


def refusal(row: pa.csv.InvalidRow) -> tuple[int, str]:
    """Return the 0-based data row of a row that does not fit the header, and the reason. Arrow numbers rows from 1, including the header."""
    return (row.number or 2) - 2, f"{row.actual_columns} fields where the header has {row.expected_columns}"


def skipped_rows(refused: list[tuple[int, str]], open_text: Callable[[], Any], delimiter: str) -> list[SkippedRow]:
    """Find the lines of the rows that do not fit the header.

    Args:
        refused: (row, reason), ascending.
        open_text: opens the file as a stream of UTF-8; called only if a row was refused.
        delimiter: between fields.
    """
    skipped, n_read = [], 0
    lines = record_lines(open_text(), delimiter) if refused else iter(())
    for row, reason in refused:
        line = next(itertools.islice(lines, row + 1 - n_read, None), None)
        n_read = row + 2
        skipped.append(SkippedRow(row, reason, line))
    return skipped


def record_lines(stream: Any, delimiter: str) -> Iterator[int]:
    """Yield the 1-based first line of each record, including the header; blank lines are not records."""
    begin = 1
    reader = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", "replace", newline=""), delimiter=delimiter)
    for record in reader:
        if record:
            yield begin
        begin = reader.line_num + 1


def parse(
    text: CsvText, names: list[str], delimiter: str, decimal: str, types: dict[str, pa.DataType], location: str
) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Parse with Arrow; a column whose later blocks do not fit the type of the first is read again as text.

    Args:
        text: of the file.
        names: columns.
        delimiter: between fields.
        decimal: decimal mark.
        types: fixed types of columns.
        location: name of the file, for messages.

    Returns:
        The rows that fit the header, and (row, reason) of those that do not.

    Raises:
        InputError: the text does not form a table.
        UnicodeError: as for `table_of`.
    """
    types, threads = dict(types), True
    for _ in range(2 * len(names) + 2):
        refused: list[tuple[int, str]] = []

        def refuse(row: pa.csv.InvalidRow, refused: list[tuple[int, str]] = refused) -> str:
            refused.append(refusal(row))
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
            raise InputError(f"{location}: not delimited text that forms a table — {str(error)[:120]} — check delimiter and quotes") from error
        if refused and threads:  # only without threads does Arrow number the refused rows
            threads = False
            continue
        if not text.checked and any(pa.types.is_binary(column.type) for column in table.columns):
            raise UnicodeError("a column's text is not UTF-8")
        # As one chunk each column is one array without a second copy.
        return table.combine_chunks(), refused
    raise InputError(f"{location}: no column types fit its values — expected delimited text — check delimiter and quotes")


def with_null_rows(table: pa.Table, refused: list[tuple[int, str]]) -> pa.Table:
    """Insert a row of nulls for each row that does not fit the header.

    Args:
        table: the rows that fit.
        refused: (row, reason) of the others.
    """
    if not refused:
        return table
    null_rows = {row for row, _ in refused}
    total, next_row = table.num_rows + len(null_rows), 0
    index: list[int | None] = []
    for row in range(total):
        if row in null_rows:
            index.append(None)
        else:
            index.append(next_row)
            next_row += 1
    return table.take(pa.array(index, pa.int64()))
