"""Layout of delimited text: delimiter, decimal mark, header, and what stands around the data: blank lines, titles, row names, trailing delimiters."""

from __future__ import annotations

import csv
import io
import itertools
import re
import sys
from collections import Counter
from dataclasses import dataclass, replace

import pyarrow as pa

from zcurate.data import tables
from zcurate.data.limits import check_columns
from zcurate.data.numerals import infer_number_format, looks_grouped
from zcurate.data.values import as_numbers

DELIMITERS = (",", ";", "\t", "|")
"""Delimiters that are detected."""
SEPARATOR_LINE = re.compile(r"\ufeff?sep=(.)\s*", re.IGNORECASE)
"""Matches the first line by which spreadsheets name the delimiter."""
SAMPLE_RECORDS, FEW_RECORDS = 200, 50
"""Records from which the layout, and the delimiter, are detected."""
UNIQUE = 0.98
"""Share of distinct values from which a first column without a name holds row names."""
TRAILING, ROW_NAMES = "unnamed_trailing", "row_name"
"""Names of a column behind a delimiter at the end of every row, and of one before the first column of the header."""
MIN_REPEATED = 0.01
"""Share of a column's values that its cell in the first line must have for that line to be data; by taste."""
MIN_RECORDS = 5
"""Rows from which the first line can be told from data."""

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclass(frozen=True)
class CsvLayout:
    """Layout of one file."""

    names: list[str]
    """Distinct column names, as many as a row has fields."""
    delimiter: str = ","
    """Field delimiter."""
    decimal: str = "."
    """Decimal mark."""
    skip_lines: int = 0
    """Lines above the header, or above the data if there is none."""
    has_header: bool = True
    """The first line behind them holds the column names."""
    escaped: bool = False
    """A backslash stands before quotes in quoted cells."""
    as_text: tuple[str, ...] = ()
    """Columns whose numbers have points between thousands, which a parser would take for decimal points."""
    warnings: tuple[str, ...] = ()
    """What may mislead."""

    @property
    def parse_options(self) -> pa.csv.ParseOptions:
        """Arrow's options, without a handler of invalid rows."""
        return pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True, escape_char="\\" if self.escaped else False)


def detect_layout(head: bytes, kind: str, location: str, named: tuple[str | None, ...] = (), escaped: bool = False) -> CsvLayout:
    """Detect the layout from the beginning of a file.

    Args:
        head: the first bytes, UTF-8.
        kind: format; `tsv` implies the delimiter.
        location: name of the file, for messages.
        named: columns that options name.
        escaped: a backslash stands before quotes in quoted cells.

    Raises:
        InputError: more columns than can be used.
    """
    text = head.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    # Carriage returns in the first line end lines; elsewhere they may be in cells.
    text = text.replace("\r", "\n") if "\r" in text.partition("\n")[0] else text
    text = text[: text.rfind("\n") + 1] or text
    lines = text.split("\n")
    separator = SEPARATOR_LINE.fullmatch(lines[0])
    n_above = 1 if separator else 0
    while n_above < len(lines) - 1 and not lines[n_above].strip():
        n_above += 1
    if '"' not in lines[n_above]:
        check_columns(max(map(lines[n_above].count, DELIMITERS)), location)
    body = "\n".join(lines[n_above:])
    delimiter = separator[1] if separator else detect_delimiter(body, kind)
    records, begins = read_records(body, delimiter, escaped)
    if not records:
        return CsvLayout([], delimiter)
    width = row_width(records)
    n_titles = next((at for at, record in enumerate(records) if not is_title(record, width)), 0) if width > 2 else 0
    warnings = []
    if n_titles and not has_header(records[n_titles], records[n_titles + 1 :], named):
        # A header that is too short rather than a title.
        n_titles = 0
    if n_titles:
        first = " ".join(filter(None, records[0]))[:40]
        warnings.append(f"{location}: {n_titles} line{'s' if n_titles > 1 else ''} above the header passed over: {first}")
    records = records[n_titles:]
    skip_lines = n_above + begins[n_titles]
    header, rows = records[0], records[1:]
    layout = CsvLayout([], delimiter, detect_decimal(rows, delimiter), skip_lines, escaped=escaped)
    if len(rows) >= MIN_RECORDS and not has_header(header, rows, named):
        warnings.append(f"{location}: no header: columns named c1 to c{width} — expected column names in the first line — add them to name columns")
        layout, header, rows = replace(layout, has_header=False), [f"c{number}" for number in range(1, width + 1)], records
    check_columns(max(width, len(header)), location)
    names, more = fit_names(header, rows, width, location)
    return replace(layout, names=names, as_text=grouped_columns(names, rows, layout.decimal), warnings=(*warnings, *more))


def read_records(text: str, delimiter: str, escaped: bool = False, most: int = SAMPLE_RECORDS) -> tuple[list[list[str]], list[int]]:
    """Parse the first records; blank lines are none.

    Args:
        text: whole lines.
        delimiter: between fields.
        escaped: a backslash stands before quotes in quoted cells.
        most: records to parse.

    Returns:
        The records, and how many lines stand before each.
    """
    records, begins, begin = [], [], 0
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter, skipinitialspace=True, escapechar="\\" if escaped else None)
    try:
        for record in reader:
            if record:
                records.append(record)
                begins.append(begin)
            begin = reader.line_num
            if len(records) > most:
                break
    except csv.Error:
        # A carriage return in an unquoted cell; the records before it are enough.
        pass
    return records, begins


def is_title(record: list[str], width: int) -> bool:
    """Return whether a record above the header is a title or blank: of fewer fields than the rows, or with one of them filled.

    Args:
        record: of the first lines.
        width: fields of most rows.
    """
    return len(record) < width - 1 or sum(bool(cell.strip()) for cell in record) <= 1


def row_width(records: list[list[str]]) -> int:
    """Return the number of fields of most records, leaving the first one out where there are more."""
    return Counter(len(record) for record in records[1:] or records).most_common(1)[0][0]


def detect_delimiter(text: str, kind: str) -> str:
    """Detect the delimiter: the one that cuts most lines into the most fields of equal number.

    Args:
        text: the first lines.
        kind: format; `tsv` implies the delimiter.
    """
    if kind == "tsv":
        return "\t"
    best, most = ",", 0.5
    for delimiter in DELIMITERS:
        records = read_records(text, delimiter, most=FEW_RECORDS)[0]
        if not records:
            continue
        width = row_width(records)
        share = sum(len(record) == width for record in records) / len(records)
        # A delimiter that also cuts the header is surer than one within numbers, as in x;y above 1,5;2,5.
        score = share * width * (1.0 if 2 <= len(records[0]) <= width + 1 else 0.3)
        if width >= 2 and share > 0.5 and score > most:
            best, most = delimiter, score
    return best


def detect_decimal(rows: list[list[str]], delimiter: str) -> str:
    """Detect the decimal mark of a file; a comma only where commas do not delimit fields.

    Args:
        rows: the first rows.
        delimiter: between fields.
    """
    if delimiter == ",":
        return "."
    cells = [cell.strip() for row in rows for cell in row]
    commas = sum(bool(re.fullmatch(r"-?(\d+|\d{1,3}(\.\d{3})+),\d+", cell)) for cell in cells)
    points = sum(bool(re.fullmatch(r"-?(\d+\.\d+|\d{1,3}(,\d{3})+\.\d+)", cell)) and not re.fullmatch(r"-?[1-9]\d{0,2}(\.\d{3})+", cell) for cell in cells)
    return "," if commas > points else "."


def has_header(header: list[str], rows: list[list[str]], named: tuple[str | None, ...]) -> bool:
    """Return whether the first record names the columns.

    It does not where it has a number in every column of numbers, or where most of its cells come again below them.

    Args:
        header: the first record.
        rows: the records below it.
        named: columns that options name; one that is in the header, and not below it, settles it.
    """
    others = [row for row in rows if row != header]
    if not others:
        return not any(re.fullmatch(r"[+-]?[\d.,]+", cell.strip()) for cell in header)
    below = [[row[at].strip() for row in others if len(row) > at] for at in range(len(header))]
    stripped = [cell.strip() for cell in header]
    if any(name in header and name not in below[header.index(name)] for name in named if name is not None):
        return True
    is_numeric = [bool(cells) and as_numbers(pa.array([cell for cell in cells if cell] or ["x"])) is not None for cells in below]
    numbers = [cell for cell, numeric in zip(stripped, is_numeric, strict=True) if numeric]
    if numbers:
        if not all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell) for cell in numbers):
            return True
        whole = [int(cell) for cell in numbers if cell.isdigit()]
        is_sequence = len(whole) == len(numbers) > 1 and all(after - before == 1 for before, after in itertools.pairwise(whole))
        is_sequence = is_sequence and not all(cell in cells for cell, cells in zip(stripped, below, strict=True))
        words = [(cell, cells) for cell, cells, numeric in zip(stripped, below, is_numeric, strict=True) if not numeric]
        return is_sequence or (bool(words) and len(numbers) < len(header) / 2 and not any(cell in cells for cell, cells in words))
    # A name of a column hardly ever is a value of it too.
    return not any(bool(cell) and cells.count(cell) >= max(2, MIN_REPEATED * len(cells)) for cell, cells in zip(stripped, below, strict=True))


def fit_names(header: list[str], rows: list[list[str]], width: int, location: str) -> tuple[list[str], list[str]]:
    """Give the columns of the rows names where the header has one field less or more.

    Args:
        header: fields of the header.
        rows: the first rows.
        width: fields of most rows.
        location: name of the file, for messages.

    Returns:
        Distinct names, and warnings.
    """
    warnings = []
    full = [row for row in rows if len(row) == width]
    if len(header) == width - 1 and full:
        first = [row[0].strip() for row in full]
        if all(not row[-1].strip() for row in full):
            header = [*header, TRAILING]
        elif len(set(first)) >= UNIQUE * len(first):
            header = [ROW_NAMES, *header]
            warnings.append(f"{location}: rows have one field more than the header: the first is taken for row names — column '{ROW_NAMES}'")
    elif len(header) == width + 1 and not header[-1].strip():
        header = header[:-1]
    return tables.unique_names(header), warnings


def grouped_columns(names: list[str], rows: list[list[str]], decimal: str) -> tuple[str, ...]:
    """Return the columns whose numbers have points between thousands, as 1.120 beside 908, in a file with decimal points.

    Args:
        names: of the columns.
        rows: the first rows.
        decimal: decimal mark of the file.
    """
    if decimal != ".":
        return ()
    found = []
    for at, name in enumerate(names):
        cells = [row[at].strip().lstrip("+-") for row in rows if len(row) > at and row[at].strip()]
        with_point = [cell for cell in cells if "." in cell]
        if not with_point or not all(re.fullmatch(r"[1-9]\d{0,2}(\.\d{3})+|\d{1,3}", cell) for cell in cells):
            continue
        if looks_grouped(cells) and infer_number_format(cells).thousands == ".":
            found.append(name)
    return tuple(found)
