"""CSV and TSV piece by piece: one pass settles the types, a second yields the rows. Memory holds a block, not the file.

Sees what `delimited` sees, with the same delimiter, decimal mark and encoding. Wrong when: a column's first block is empty and dates
follow; they come as text. Old Macintosh line ends and broken Windows text are read as a whole.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.csv

from zcurate.data import tables
from zcurate.data.readers import csv as csv_module
from zcurate.data.source import CHUNK, Source
from zcurate.errors import InputError

WIDER = {pa.null(): pa.int64(), pa.int64(): pa.float64()}
"""What a column becomes whose later values do not fit the type of its first block; anything else becomes text."""


@dataclass(frozen=True)
class CsvFormat:
    """How one file is written."""

    names: list[str]
    """Columns, made distinct."""
    delimiter: str
    """Between fields."""
    decimal: str
    """Decimal mark."""
    encoding: str
    """Python's name; `whole` for text that must be put right as a whole before it can be parsed."""


@dataclass
class RefusedRows:
    """Rows that do not fit the header, as the parser meets them."""

    rows: list[int] = field(default_factory=list)
    """0-based data rows, ascending."""

    def __call__(self, row: pyarrow.csv.InvalidRow) -> str:
        """Arrow numbers rows from 1 with the header as the first."""
        self.rows.append((row.number or 2) - 2)
        return "skip"


def csv_format(source: Source, name: str | None) -> CsvFormat:
    """How a file is written, from its beginning; its encoding from all of it, chunk by chunk.

    Raises:
        InputError: empty, or binary content.
    """
    place = name or source.path
    start, encoding = sniff_encoding(source, name, place)
    if not start.strip():
        raise InputError(f"{place}: the file is empty — expected a header and data — is this the right file?")
    text = start.decode("cp1252" if encoding == "whole" else encoding, "ignore").removeprefix("\ufeff")
    if "\r" in text and "\n" not in text:
        text, encoding = text.replace("\r", "\n"), "whole"
    text = text[: text.rfind("\n") + 1] or text
    delimiter, decimal = csv_module.dialect(text, source.format)
    names = tables.unique_names(next(csv.reader(io.StringIO(text), delimiter=delimiter), []))
    return CsvFormat(names, delimiter, decimal, encoding)


def sniff_encoding(source: Source, name: str | None, place: str) -> tuple[bytes, str]:
    """A file's beginning, and its encoding.

    Raises:
        InputError: binary content.
    """
    start, fits = b"", {"utf-8": codecs.getincrementaldecoder("utf-8")(), "cp1252": codecs.getincrementaldecoder("cp1252")()}
    with source.stream(name) as stream:
        while chunk := stream.read(CHUNK):
            start = start or chunk[: csv_module.HEAD_BYTES]
            if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
                return start, "utf-16"
            for encoding in list(fits):
                try:
                    fits[encoding].decode(chunk)
                except UnicodeDecodeError:
                    del fits[encoding]
    for encoding in list(fits):
        try:
            fits[encoding].decode(b"", final=True)
        except UnicodeDecodeError:
            del fits[encoding]
    csv_module.text_encoding(start, place)
    return start, next(iter(fits), "whole")


def utf8_stream(source: Source, name: str | None, form: CsvFormat) -> Any:
    """A file as a stream of UTF-8."""
    if form.encoding == "utf-8":
        return source.stream(name)
    if form.encoding != "whole":
        return pa.transcoding_input_stream(source.stream(name), form.encoding, "utf-8")
    content = source.open(name).read()
    text = content.decode(csv_module.text_encoding(content, name or source.path), "replace").removeprefix("\ufeff")
    return pa.BufferReader((text if "\n" in text[: csv_module.HEAD_BYTES] else text.replace("\r", "\n")).encode())


def reader(source: Source, name: str | None, form: CsvFormat, types: dict[str, pa.DataType], wanted: list[str] | None) -> tuple[Any, RefusedRows]:
    """Arrow's streaming reader of one file, and where it notes the rows that it refuses."""
    refused = RefusedRows()
    opened = pyarrow.csv.open_csv(
        utf8_stream(source, name, form),
        # Only without threads does Arrow say which rows it refuses.
        read_options=pyarrow.csv.ReadOptions(column_names=form.names, skip_rows_after_names=1, block_size=csv_module.BLOCK_BYTES, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=form.delimiter, newlines_in_values=True, invalid_row_handler=refused),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types, null_values=csv_module.NULLS, strings_can_be_null=True, decimal_point=form.decimal, include_columns=wanted
        ),
    )
    return opened, refused


def head(source: Source, name: str | None, as_text: tuple[str, ...]) -> pa.Schema:
    """One file's columns and types that hold to its last row.

    Raises:
        InputError: no table.
    """
    return read_settled(source, name, as_text, lambda opened, refused: [None for _ in opened])


def read_settled(source: Source, name: str | None, as_text: tuple[str, ...], go: Callable[[Any, RefusedRows], Any]) -> pa.Schema:
    """Read one file with types that hold to its last row, from the beginning again for each column that turns out wider.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        as_text: columns that come as text.
        go: reads Arrow's reader to its end; begins anew each time.

    Raises:
        InputError: no table.
    """
    form = csv_format(source, name)
    types = {column: pa.string() for column in as_text if column in form.names}
    for _ in range(3 * len(form.names) + 1):
        seen: pa.Schema | None = None
        try:
            opened, refused = reader(source, name, form, types, None)
            with opened:
                seen = opened.schema
                go(opened, refused)
            return seen
        except pa.ArrowInvalid as error:
            column = failed_column(error, form, name or source.path)
            before = types.get(column, seen.field(column).type if seen is not None else pa.int64())
            if pa.types.is_string(before):
                raise parse_error(error, name or source.path) from error
            types[column] = WIDER.get(before, pa.string())
    raise InputError(f"{name or source.path}: no reading of its columns fits — expected delimited text — check delimiter and quotes")


def cache_as_arrow(source: Source, as_text: tuple[str, ...], folder: str) -> Source:
    """The same input as Arrow files, which are read many times as fast: text is parsed once, though rows are passed over three times.

    Args:
        source: CSV or TSV without partition columns.
        as_text: columns that come as text, as written.
        folder: takes the files.

    Raises:
        InputError: no table.
    """
    paths = []
    for number, name in enumerate(source.files or (None,)):
        paths.append(os.path.join(folder, f"spool-{number:05d}.arrow"))

        def write(opened: Any, refused: RefusedRows, path: str = paths[-1]) -> None:
            with pa.ipc.new_file(path, opened.schema) as file:
                for batch in fill_refused(opened, refused):
                    file.write_batch(batch)

        with source.reaching(name):
            read_settled(source, name, as_text, write)
    return dataclasses.replace(source, files=tuple(paths), format="feather", original=source)


def failed_column(error: pa.ArrowInvalid, form: CsvFormat, place: str) -> str:
    """The column that an error of Arrow's names.

    Raises:
        InputError: it names none: the text makes no table.
    """
    match = re.search(r"CSV column #(\d+)", str(error))
    if match is None or int(match[1]) >= len(form.names):
        raise parse_error(error, place) from error
    return form.names[int(match[1])]


def parse_error(error: Exception, place: str) -> InputError:
    """What to say of text that Arrow makes no table of."""
    return InputError(f"{place}: not delimited text that makes a table — {str(error)[:120]} — check delimiter and quotes")


def batches(source: Source, name: str | None, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """One file, piece by piece; a row that does not fit is a row of nulls at its place.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        schema: its columns that are wanted, in types that fit all of it.
        rows: at most, in one piece.
    """
    form = csv_format(source, name)
    kinds = {column.name: column.type for column in schema}
    opened, refused = reader(source, name, form, kinds, list(kinds) or form.names[:1])
    with opened:
        for whole in fill_refused(opened, refused):
            yield from split_batch(whole.select(schema.names), rows)


def fill_refused(opened: Any, refused: RefusedRows) -> Iterator[pa.RecordBatch]:
    """All rows of a file, those that do not fit as rows of nulls at their places.

    Args:
        opened: Arrow's reader.
        refused: where it notes the rows that it refuses.
    """
    done = 0
    for batch in opened:
        whole = with_gaps(batch, refused, done)
        done += whole.num_rows
        yield whole
    last = pa.RecordBatch.from_arrays([pa.nulls(0, column.type) for column in opened.schema], schema=opened.schema)
    yield with_gaps(last, refused, done)


def with_gaps(batch: pa.RecordBatch, refused: RefusedRows, done: int) -> pa.RecordBatch:
    """A batch with a row of nulls at the place of each refused row that belongs before, into or right behind it.

    Args:
        batch: rows that fit.
        refused: those that do not; the ones used here are taken out.
        done: rows of the file before this batch, refused ones included.
    """
    index: list[int | None] = []
    taken = 0
    while refused.rows and refused.rows[0] <= done + len(index) + batch.num_rows - taken:
        ahead = refused.rows.pop(0) - done - len(index)
        index += [*range(taken, taken + ahead), None]
        taken += ahead
    return batch if not index else batch.take(pa.array([*index, *range(taken, batch.num_rows)], pa.int64()))


def split_batch(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """A batch in pieces of at most `rows` rows."""
    for begin in range(0, batch.num_rows, rows):
        yield batch.slice(begin, rows)
