"""Reader of CSV, TSV and similar text: layout and encoding are detected, quoted fields may contain newlines.

Types are inferred from the values; the label is text, as written. Every record is a row: one with too many or too few fields, or a second header
line, is a row of nulls that is reported as skipped. Text that cannot be cut into records without a guess is an error that names the line.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv

from zcurate.config.options import ScanOptions
from zcurate.data import schema, tables
from zcurate.data.dataset import Dataset, FileNotes, SkippedRow
from zcurate.data.delimited import furniture
from zcurate.data.delimited.layout import CsvLayout, detect_layout
from zcurate.data.delimited.quotes import check_quotes, swallowed_error
from zcurate.data.delimited.text import BOM, CsvText, facts_of, head_length, streamed_text, whole_text
from zcurate.data.source import Source
from zcurate.errors import InputError, UsageError, listed
from zcurate.runtime.threads import background

BLOCK_BYTES = 1 << 23
"""Size of the parser's blocks."""
MAX_PASSES = 32
"""Passes over the text, each because the values of one column do not fit its type, after which all columns are read as text."""
NULLS = ["", "NA", "N/A", "n/a", "na", "Na", "null", "NULL", "Null", "NaN", "nan", "NAN"]
"""Spellings of missing values in columns of numbers."""


def null_values(missing: str | None) -> list[str]:
    """Return the spellings of missing values for Arrow's parser: those of `--missing`, else the usual ones."""
    if missing is None:
        return NULLS
    words = [word.strip() for word in missing.split(",")]
    return list(dict.fromkeys(["", *(form for word in words for form in (word, word.lower(), word.upper(), word.capitalize()))]))


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read all files in the order of their names.

    Raises:
        InputError: binary content, no rows, lines that do not form a table, or parts with different columns.
    """
    parts, notes, n_before = [], FileNotes(is_text=True), 0
    origin = background(source.origin) if source.content is None and source.remote is None else source.origin
    for name in source.files or (None,):
        table, found = read_file(source, name, options)
        notes = notes.joined(found.after(n_before))
        n_before += table.num_rows
        parts.append(table)
    return tables.dataset(tables.join_parts(parts, source), origin(), options, notes, source.store)


def read_file(source: Source, name: str | None, options: ScanOptions) -> tuple[pa.Table, FileNotes]:
    """Read one file into a table with all of its rows.

    A local file is parsed while it is read, without a copy in memory, and assumed to be UTF-8 until Arrow finds invalid text. Meanwhile another
    thread searches it for what Arrow's parser would misread without an error.

    Args:
        source: the input.
        name: one of its files; None for the only one.
        options: column roles.

    Raises:
        InputError: as for `read`.
        UsageError: the only file lacks a column that an option names.
    """
    text = streamed_text(source, name)
    try:
        return read_text(text or whole_text(source, name), source, options, name or source.path)
    except UnicodeError:
        return read_text(whole_text(source, name), source, options, name or source.path)


def read_text(text: CsvText, source: Source, options: ScanOptions, location: str) -> tuple[pa.Table, FileNotes]:
    """Read the text of one file; arguments and errors as for `read_file`."""
    named = (options.label, options.id, options.group)
    layout = detect_layout(text.head, source.format, location, named)
    if layout.names and len(source.files) == 1 and not source.base:
        with_layout_words(lambda: schema.need_roles(layout.names, options, location), layout)
    search = background(lambda: facts_of(text.open))
    error, result = None, None
    try:
        result = table_of(text, layout, source, options, location)
    except InputError as caught:
        error = caught
    facts, n_inside = search(), 0
    n_expected = facts.n_lines - layout.skip_lines - layout.has_header
    if facts.has_returns or (facts.has_quotes and (result is None or result[1] or result[0].num_rows != n_expected or furniture.holds_quotes(result[0]))):
        better, layout, n_inside = well_formed_text(text, layout, location)
        if better is not text or layout.escaped:
            layout = detect_layout(better.head, source.format, location, named, layout.escaped)
            result, text = table_of(better, layout, source, options, location), better
            n_expected = facts_of(better.open).n_lines - layout.skip_lines - layout.has_header
    if result is None:
        raise error or InputError(f"{location}: not delimited text that forms a table — check delimiter and quotes")
    table, skipped = result
    if n_inside:
        refuse_swallowed(table, text.open, layout, location)
    warnings = [*text.warnings, *layout.warnings, *blank_warning(n_expected - n_inside - table.num_rows, location)]
    warnings += furniture.skipped_warnings(skipped, location)
    return table, FileNotes(tuple(skipped), tuple(warnings), layout.decimal == ",", is_text=True)


def blank_warning(n_blank: int, location: str) -> list[str]:
    """Say how many blank lines were passed over."""
    return [f"{location}: {n_blank} blank line{'s' if n_blank > 1 else ''} passed over"] if n_blank > 0 else []


def refuse_swallowed(table: pa.Table, open_text: Callable[[], Any], layout: CsvLayout, location: str) -> None:
    """Refuse a table with a cell that holds whole rows.

    Args:
        table: all rows.
        open_text: opens the file as a stream of UTF-8.
        layout: of the file.
        location: name of the file, for messages.

    Raises:
        InputError: names the line of the row.
    """
    row = furniture.check_swallowed(table, layout.delimiter)
    if row is not None:
        line = skipped_rows([(row, "")], open_text, layout)[0].line or 0
        n_lines = max(str(column[row]).count("\n") for column in table.columns)
        raise swallowed_error(line, n_lines, location)


def with_layout_words(check: Callable[[], Any], layout: CsvLayout) -> None:
    """Run a check of column names; its error also says what is unusual about the header.

    Raises:
        UsageError: of the check.
    """
    try:
        check()
    except UsageError as error:
        notes = [text.partition(": ")[2].partition(" — ")[0] for text in layout.warnings]
        if len(layout.names) == 1:
            notes.append("one column: its delimiter is none of , ; | and tab")
        if not notes:
            raise
        raise UsageError(f"{error} ({'; '.join(notes)})") from error


def well_formed_text(text: CsvText, layout: CsvLayout, location: str) -> tuple[CsvText, CsvLayout, int]:
    """Return a text that Arrow's parser reads as meant; the text itself if it already does.

    Args:
        text: of the file.
        layout: of the text.
        location: name of the file, for messages.

    Returns:
        The text, its layout, and the number of line feeds within quotes.

    Raises:
        InputError: a quote opens and never closes; names the line.
        UnicodeError: text that was assumed to be UTF-8 is not.
    """
    with text.open() as stream:
        content = bytes(stream.read()).removeprefix(BOM)
    if not text.checked:
        content.decode("utf-8")
    checked = check_quotes(content, layout.delimiter, len(layout.names), location)
    if checked.content is content:
        return text, dataclasses.replace(layout, escaped=checked.escaped), checked.n_inside
    better = checked.content
    warnings = tuple(dict.fromkeys((*text.warnings, *checked.warnings)))
    return CsvText(lambda: pa.BufferReader(better), better[: head_length(better)], len(better), True, warnings), layout, checked.n_inside


def table_of(text: CsvText, layout: CsvLayout, source: Source, options: ScanOptions, location: str) -> tuple[pa.Table, list[SkippedRow]]:
    """Parse one file into a table with all of its rows, and list the rows that are no data.

    Label, id and group are read as text, as written; every column is for a verbatim source.

    Args:
        text: of the file.
        layout: of the text.
        source: the input.
        options: column roles.
        location: name of the file, for messages.

    Raises:
        InputError: a header without rows.
        UnicodeError: text that was assumed to be UTF-8 is not.
    """
    names = layout.names
    usual = [name for name in names if name.strip().lower() in schema.USUAL_LABELS]
    label = options.label if options.label in names else usual[0] if len(usual) == 1 else None
    verbatim = names if source.verbatim else [name for name in (label, options.id, options.group) if name in names]
    types = {str(name): pa.string() for name in (*verbatim, *layout.as_text)}
    table, refused = parse(text, layout, types, null_values(source.missing), location)
    if table.num_rows == 0 and not refused:
        raise InputError(f"{location}: a header and no rows — expected data below {listed(names, 6)} — check that the file is complete")
    if table.num_rows == 0:
        raise InputError(f"{location}: every row has {refused[0][1]} — expected rows that match the header — check delimiter and quotes")
    table = furniture.without_trailing(furniture.without_blanks(with_null_rows(table, refused)))
    if not source.verbatim:
        found = furniture.find_furniture(table, label, {row for row, _ in refused})
        refused = sorted([*refused, *found.items()])
        table = furniture.blanked(table, list(found))
    return table, skipped_rows(refused, text.open, layout)


def refusal(row: pa.csv.InvalidRow, layout: CsvLayout) -> tuple[int, str]:
    """Return the 0-based data row of a row that does not fit the header, and the reason.

    Arrow numbers rows from 1, including the skipped lines and the header.
    """
    first = layout.skip_lines + layout.has_header + 1
    return (row.number or first) - first, f"{row.actual_columns} fields where the header has {row.expected_columns}"


def skipped_rows(refused: list[tuple[int, str]], open_text: Callable[[], Any], layout: CsvLayout) -> list[SkippedRow]:
    """Find the lines of the rows that are no data.

    Args:
        refused: (row, reason), ascending.
        open_text: opens the file as a stream of UTF-8; called only if a row was refused.
        layout: of the file.
    """
    skipped, n_read = [], 0
    lines = itertools.islice(record_lines(open_text(), layout), int(layout.has_header), None) if refused else iter(())
    for row, reason in refused:
        line = next(itertools.islice(lines, row - n_read, None), None)
        n_read = row + 1
        skipped.append(SkippedRow(row, reason, line))
    return skipped


def record_lines(stream: Any, layout: CsvLayout) -> Iterator[int]:
    """Yield the 1-based first line of each record, including the header; blank lines are not records."""
    text = io.TextIOWrapper(stream, "utf-8-sig", "replace", newline="")
    for _ in range(layout.skip_lines):
        text.readline()
    begin = layout.skip_lines + 1
    reader = csv.reader(text, delimiter=layout.delimiter, escapechar="\\" if layout.escaped else None)
    for record in reader:
        if record:
            yield begin
        begin = layout.skip_lines + reader.line_num + 1


def parse(text: CsvText, layout: CsvLayout, types: dict[str, pa.DataType], nulls: list[str], location: str) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Parse with Arrow; a column whose later blocks do not fit the type of the first is read again as text.

    Args:
        text: of the file.
        layout: of the text.
        types: fixed types of columns.
        nulls: spellings of missing values.
        location: name of the file, for messages.

    Returns:
        The rows that fit the header, and (row, reason) of those that do not.

    Raises:
        InputError: the text does not form a table.
        UnicodeError: as for `table_of`.
    """
    names, types, threads, block_bytes, n_changed = layout.names, dict(types), True, max(BLOCK_BYTES, text.size // 64), 0
    while True:
        refused: list[tuple[int, str]] = []

        def refuse(row: pa.csv.InvalidRow, refused: list[tuple[int, str]] = refused) -> str:
            refused.append(refusal(row, layout))
            return "skip"

        options = layout.parse_options
        options.invalid_row_handler = refuse
        try:
            table = pa.csv.read_csv(
                text.open(),
                read_options=pa.csv.ReadOptions(
                    column_names=names, skip_rows=layout.skip_lines, skip_rows_after_names=int(layout.has_header), block_size=block_bytes, use_threads=threads
                ),
                parse_options=options,
                convert_options=pa.csv.ConvertOptions(column_types=types, null_values=nulls, decimal_point=layout.decimal),
            )
        except pa.ArrowInvalid as error:
            if not text.checked and "invalid UTF8" in str(error):
                raise UnicodeError(str(error)) from error
            match = re.search(r"CSV column #(\d+)", str(error))
            if match and int(match[1]) < len(names) and types.get(names[int(match[1])]) != pa.string():
                n_changed += 1
                # Each column costs another pass.
                types |= dict.fromkeys(names if n_changed > MAX_PASSES else [names[int(match[1])]], pa.string())
                continue
            if "straddling" in str(error) and block_bytes < text.size:
                block_bytes = min(4 * block_bytes, text.size + 1)
                continue
            raise InputError(f"{location}: not delimited text that forms a table — {str(error)[:120]} — check delimiter and quotes") from error
        if refused and threads:  # only without threads does Arrow number the refused rows
            threads = False
            continue
        if not text.checked and any(pa.types.is_binary(column.type) for column in table.columns):
            raise UnicodeError("a column's text is not UTF-8")
        # As one chunk each column is one array without a second copy.
        return table.combine_chunks(), refused


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
