"""Read CSV and TSV batch by batch: one pass infers the types, a second yields the rows. Memory holds a block, not the file.

Delimiter, decimal mark and encoding are detected as by the in-memory reader. A column whose first block is empty and that then holds dates is
read as text. Files with carriage returns as line ends or with invalid Windows-1252 text are read as a whole.
"""

from __future__ import annotations

import codecs
import dataclasses
import io
import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.csv

from zcurate.data.dataset import FileNotes
from zcurate.data.delimited import furniture
from zcurate.data.delimited import text as delimited_text
from zcurate.data.delimited.layout import CsvLayout, detect_layout
from zcurate.data.delimited.quotes import QuoteScanner, swallowed_error
from zcurate.data.readers import csv as csv_module
from zcurate.data.source import CHUNK_BYTES, Source
from zcurate.errors import InputError

TYPES = [
    pa.null(), pa.int64(), pa.bool_(), pa.date32(), pa.time32("s"), pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("s", "UTC"), pa.timestamp("ns", "UTC"),
    pa.float64(), pa.string(),
]  # fmt: skip
"""Column types in the order of Arrow's inference, which the in-memory reader uses."""
NEXT_TYPE = dict(itertools.pairwise(TYPES))
"""Type of a column -> the type to try if a value does not fit."""


@dataclass(frozen=True)
class StreamFormat:
    """Layout and encoding of one file that is read batch by batch."""

    layout: CsvLayout
    """Columns, delimiter, header."""
    encoding: str
    """Python's name of the encoding; empty for text that must be read and rewritten as a whole before it is parsed."""
    content: bytes | None = field(default=None, repr=False)
    """That text; None where the file itself is parsed."""
    warnings: tuple[str, ...] = ()
    """What may mislead."""
    has_multiline: bool = False
    """Some quoted cells hold line feeds."""


class SwallowedRowsError(Exception):
    """A cell holds whole rows."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row
        """0-based row of the cell."""


@dataclass
class RefusedRows:
    """Collects the rows that do not fit the header; Arrow's handler of invalid rows."""

    layout: CsvLayout
    """Of the file."""
    has_multiline: bool = False
    """Some quoted cells hold line feeds."""
    rows: list[int] = field(default_factory=list)
    """0-based data rows, ascending; `with_null_rows` removes those that it inserts."""
    reasons: list[tuple[int, str]] = field(default_factory=list)
    """(row, reason) of all refused rows."""

    def __call__(self, row: pyarrow.csv.InvalidRow) -> str:
        """Note a row and skip it."""
        self.reasons.append(csv_module.refusal(row, self.layout))
        self.rows.append(self.reasons[-1][0])
        return "skip"


def stream_format(source: Source, name: str | None) -> StreamFormat:
    """Detect a file's layout from its beginning, and what a parser would misread from all of its chunks.

    Raises:
        InputError: empty, or binary content; a quote that opens and never closes.
    """
    location = name or source.path
    head, encoding = search_encoding(source, name, location)
    if not head.strip():
        raise InputError(f"{location}: the file is empty — expected a header and data — is this the right file?")
    if encoding:
        text = head.decode(encoding, "ignore").encode().removeprefix(delimited_text.BOM)
        form = StreamFormat(detect_layout(text, source.format, location), encoding)
        scanner = QuoteScanner(form.layout.delimiter)
        with utf8_stream(source, name, form) as stream:
            scanner.add(bytes(stream.read(len(delimited_text.BOM))).removeprefix(delimited_text.BOM))
            while chunk := stream.read(CHUNK_BYTES):
                scanner.add(chunk)
        if scanner.finish():
            return dataclasses.replace(form, has_multiline=scanner.n_inside > 0)
    whole = delimited_text.whole_text(source, name)
    layout = detect_layout(whole.head, source.format, location)
    better, layout, n_inside = csv_module.well_formed_text(whole, layout, location)
    layout = detect_layout(better.head, source.format, location, escaped=layout.escaped)
    with better.open() as stream:
        return StreamFormat(layout, "", bytes(stream.read()), better.warnings, n_inside > 0)


def search_encoding(source: Source, name: str | None, location: str) -> tuple[bytes, str]:
    """Return a file's first bytes and its encoding, empty if it must be converted as a whole.

    Raises:
        InputError: binary content.
    """
    head, encoding = b"", source.encoding or "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)()
    with source.open_stream(name) as stream:
        while encoding and (chunk := stream.read(CHUNK_BYTES)):
            if not head:
                head = chunk[: delimited_text.head_length(chunk)]
                if source.encoding is None and head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    encoding, decoder = "utf-16", codecs.getincrementaldecoder("utf-16")()
                elif source.encoding is None and (b"\0" in head or b"\x1b$" in head) and delimited_text.detect_encoding(head, location)[0] != "utf-8":
                    encoding = ""
                    break
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                encoding = ""
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        encoding = ""
    return head, encoding


def utf8_stream(source: Source, name: str | None, form: StreamFormat) -> Any:
    """Open a file as a stream of UTF-8."""
    if form.content is not None:
        return pa.BufferReader(form.content)
    if form.encoding == "utf-8":
        return source.open_stream(name)
    return pa.transcoding_input_stream(source.open_stream(name), form.encoding, "utf-8")


def open_reader(source: Source, name: str | None, form: StreamFormat, types: dict[str, pa.DataType], wanted: list[str] | None) -> tuple[Any, RefusedRows]:
    """Open Arrow's streaming reader of one file.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        form: of the file.
        types: fixed types of columns.
        wanted: columns to read; None for all.

    Returns:
        The reader, and the rows that it refuses while it is read.
    """
    refused, parse_options = RefusedRows(form.layout, form.has_multiline), form.layout.parse_options
    parse_options.invalid_row_handler = refused
    layout = form.layout
    reader = pyarrow.csv.open_csv(
        utf8_stream(source, name, form),
        # Only without threads does Arrow number the refused rows.
        read_options=pyarrow.csv.ReadOptions(
            column_names=layout.names,
            skip_rows=layout.skip_lines,
            skip_rows_after_names=int(layout.has_header),
            block_size=csv_module.BLOCK_BYTES,
            use_threads=False,
        ),
        parse_options=parse_options,
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types, null_values=csv_module.null_values(source.missing), decimal_point=layout.decimal, include_columns=wanted
        ),
    )
    return reader, refused


def head(source: Source, name: str | None, as_text: tuple[str, ...]) -> pa.Schema:
    """Return one file's columns with types that fit all of its rows.

    Raises:
        InputError: the text does not form a table.
    """
    return read_with_stable_types(source, name, as_text, lambda reader, refused: [None for _ in fill_refused(reader, refused)])


def read_with_stable_types(source: Source, name: str | None, as_text: tuple[str, ...], consume: Callable[[Any, RefusedRows], Any]) -> pa.Schema:
    """Read one file with types that fit all of its rows, and note the rows that do not fit the header in `source.skipped`.

    Each column gets the first type in the order of Arrow's inference that fits all of its values, as in memory; reading restarts for each change.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        as_text: columns to read as text.
        consume: reads Arrow's reader to its end; called again after each restart.

    Returns:
        The schema that fits.

    Raises:
        InputError: the text does not form a table.
    """
    form = stream_format(source, name)
    layout, location = form.layout, name or source.path
    types = {column: pa.string() for column in (*as_text, *layout.as_text) if column in layout.names}
    for n_passes in itertools.count():
        schema: pa.Schema | None = None
        try:
            reader, refused = open_reader(source, name, form, types, None)
            with reader:
                schema = reader.schema
                consume(reader, refused)
            skipped = csv_module.skipped_rows(sorted(refused.reasons), lambda: utf8_stream(source, name, form), layout)
            warnings = (*form.warnings, *layout.warnings, *furniture.skipped_warnings(skipped, location))
            source.notes[name] = FileNotes(tuple(skipped), warnings, layout.decimal == ",", is_text=True)
            return schema
        except SwallowedRowsError as error:
            line = csv_module.skipped_rows([(error.row, "")], lambda: utf8_stream(source, name, form), layout)[0].line or 0
            raise swallowed_error(line, 1, location) from error
        except pa.ArrowInvalid as error:
            column = failed_column(error, layout, location)
            before = types.get(column, schema.field(column).type if schema is not None else pa.int64())
            if pa.types.is_string(before):
                raise parse_error(error, location) from error
            types[column] = next_type(before, error, layout.decimal)
            if n_passes >= csv_module.MAX_PASSES:
                types = dict.fromkeys(layout.names, pa.string())
    raise AssertionError("not reached")


def next_type(before: pa.DataType, error: pa.ArrowInvalid, decimal: str) -> pa.DataType:
    """Return the next type to try for a column: the first after `before` that fits the value which Arrow's error names, if it names one.

    Args:
        before: type that does not fit.
        error: of the reader.
        decimal: decimal mark.
    """
    kind, match = NEXT_TYPE.get(before, pa.string()), re.search(r"invalid value '([^'\n\r\"]+)'", str(error))
    while match is not None and not pa.types.is_string(kind) and not fits(match[1], kind, decimal):
        kind = NEXT_TYPE[kind]
    return kind


def fits(value: str, kind: pa.DataType, decimal: str) -> bool:
    """Return whether Arrow's CSV reader converts a value to a type."""
    convert = pyarrow.csv.ConvertOptions(column_types={"value": kind}, null_values=csv_module.NULLS, decimal_point=decimal)
    try:
        pyarrow.csv.read_csv(io.BytesIO(f'value\n"{value}"\n'.encode()), convert_options=convert)
    except pa.ArrowInvalid:
        return False
    return True


def cache_as_arrow(source: Source, as_text: tuple[str, ...], folder: str) -> Source:
    """Copy an input to Arrow files, which are faster to read: the rows are read three times, but the text is parsed once.

    Args:
        source: CSV or TSV without partition columns.
        as_text: columns to read as text, as written.
        folder: where the files are written.

    Returns:
        A source of the Arrow files, with the input as its `original`.

    Raises:
        InputError: the text does not form a table.
    """
    paths: list[str] = []
    notes: dict[str | None, FileNotes] = {}
    for number, name in enumerate(source.files or (None,)):
        paths.append(os.path.join(folder, f"cache-{number:05d}.arrow"))

        def write(reader: Any, refused: RefusedRows, path: str = paths[-1]) -> None:
            with pa.ipc.new_file(path, reader.schema) as file:
                for batch in fill_refused(reader, refused):
                    file.write_batch(batch)

        with source.remote_errors(name):
            read_with_stable_types(source, name, as_text, write)
        notes[paths[-1]] = source.notes[name]
    return dataclasses.replace(source, files=tuple(paths), format="feather", original=source, notes=notes)


def failed_column(error: pa.ArrowInvalid, layout: CsvLayout, location: str) -> str:
    """Return the column that Arrow's error names.

    Raises:
        InputError: it names none, as the text does not form a table.
    """
    match = re.search(r"CSV column #(\d+)", str(error))
    if match is None or int(match[1]) >= len(layout.names):
        raise parse_error(error, location) from error
    return layout.names[int(match[1])]


def parse_error(error: Exception, location: str) -> InputError:
    """Create the error for text that Arrow cannot parse into a table."""
    return InputError(f"{location}: not delimited text that forms a table — {str(error)[:120]} — check delimiter and quotes")


def batches(source: Source, name: str | None, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """Read one file batch by batch; a row that does not fit the header is a row of nulls.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        schema: the columns to read, in types that fit all rows.
        rows: maximum rows of a batch.
    """
    form = stream_format(source, name)
    types = {column.name: column.type for column in schema}
    reader, refused = open_reader(source, name, form, types, list(types) or form.layout.names[:1])
    with reader:
        for batch in fill_refused(reader, refused):
            yield from split_batch(batch.select(schema.names), rows)


def fill_refused(reader: Any, refused: RefusedRows) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a file, with a row of nulls for each refused row.

    Args:
        reader: Arrow's reader.
        refused: the rows that it refuses while it is read.
    """
    n_done = 0
    for batch in reader:
        table = furniture.without_blanks(pa.Table.from_batches([with_null_rows(batch, refused, n_done)]))
        if refused.has_multiline and (swallowed := furniture.check_swallowed(table, refused.layout.delimiter)) is not None:
            raise SwallowedRowsError(n_done + swallowed)
        repeated = furniture.header_rows(table)
        refused.reasons += [(n_done + row, "the header again") for row in repeated]
        n_done += table.num_rows
        yield from furniture.blanked(table, repeated).combine_chunks().to_batches()
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, column.type) for column in reader.schema], schema=reader.schema)
    yield with_null_rows(empty, refused, n_done)


def with_null_rows(batch: pa.RecordBatch, refused: RefusedRows, n_done: int) -> pa.RecordBatch:
    """Insert rows of nulls for the refused rows that precede, interrupt or directly follow a batch.

    Args:
        batch: rows that fit.
        refused: rows that do not; those inserted here are removed.
        n_done: rows of the file before this batch, including refused ones.
    """
    index: list[int | None] = []
    used = 0
    while refused.rows and refused.rows[0] <= n_done + len(index) + batch.num_rows - used:
        n_ahead = refused.rows.pop(0) - n_done - len(index)
        index += [*range(used, used + n_ahead), None]
        used += n_ahead
    return batch if not index else batch.take(pa.array([*index, *range(used, batch.num_rows)], pa.int64()))


def split_batch(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """Split a batch into batches of at most `rows` rows."""
    for begin in range(0, batch.num_rows, rows):
        yield batch.slice(begin, rows)
