"""Quotes and line ends of delimited text: find what a parser would misread without an error, and rewrite or refuse it.

A quote that opens and never closes swallows all rows up to the next one; a carriage return in a cell splits a row. Well-formed text (RFC 4180)
is only checked; anything else is read record by record and written again as well-formed text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zcurate.errors import InputError

QUOTE, NEWLINE, RETURN, BACKSLASH = 34, 10, 13, 92
"""Byte values."""


@dataclass(frozen=True)
class CheckedText:
    """Well-formed text, or how to read it."""

    content: bytes
    """Text that Arrow's parser reads as meant."""
    escaped: bool = False
    """A backslash stands before quotes in quoted cells."""
    n_inside: int = 0
    """Line feeds within quotes."""
    warnings: tuple[str, ...] = ()
    """What was read otherwise than written."""


class QuoteScanner:
    """Tells whether text is well-formed, chunk by chunk.

    Every quote must open behind, and close before, a delimiter or line end, or be one of a pair within quotes; carriage returns stand before a line
    feed or within quotes.
    """

    def __init__(self, delimiter: str) -> None:
        self.delimiter, self.n_quotes, self.n_inside, self.is_well_formed = ord(delimiter), 0, 0, True
        """Delimiter; quotes before the text that is held back; line feeds within quotes; no fault was found."""
        self.held = b"\n"

    def add(self, chunk: bytes, quotes: np.ndarray | None = None) -> None:
        """Check the next bytes; the last one is held back until the next call.

        Args:
            chunk: UTF-8.
            quotes: (Q,) positions of the quotes that count, if `chunk` is the whole text; None for all.
        """
        text = np.frombuffer(self.held + chunk, np.uint8)
        found = np.flatnonzero(text[1:-1] == QUOTE) + 1 if quotes is None else quotes + len(self.held)
        before, after = text[found - 1], text[np.minimum(found + 1, len(text) - 1)]
        opens = (self.n_quotes + np.arange(len(found))) % 2 == 0
        beside = np.where(opens, before, after)
        self.is_well_formed &= bool(((beside == self.delimiter) | (beside == NEWLINE) | (beside == RETURN) | (beside == QUOTE)).all())
        newlines = np.flatnonzero(text[1:-1] == NEWLINE) + 1
        self.n_inside += int(((self.n_quotes + np.searchsorted(found, newlines)) % 2).sum())
        if RETURN in text[1:-1]:
            returns = np.flatnonzero((text[1:-1] == RETURN) & (text[2:] != NEWLINE)) + 1
            self.is_well_formed &= bool(((self.n_quotes + np.searchsorted(found, returns)) % 2 == 1).all())
        self.n_quotes += len(found)
        self.held = bytes(text[-2:])

    def finish(self) -> bool:
        """Return whether the text is well-formed, after the last chunk."""
        self.add(b"\n")
        return self.is_well_formed and self.n_quotes % 2 == 0


def check_quotes(content: bytes, delimiter: str, n_columns: int, location: str) -> CheckedText:
    """Check the quotes and line ends of a text, and rewrite what is not well-formed.

    Args:
        content: UTF-8.
        delimiter: between fields.
        n_columns: fields of a row.
        location: name of the file, for messages.

    Raises:
        InputError: a quote that opens and never closes; names the line.
    """
    scanner = QuoteScanner(delimiter)
    scanner.add(content)
    if scanner.finish():
        return CheckedText(content, n_inside=scanner.n_inside)
    with_feeds = with_line_feeds(content)
    if with_feeds is not content:
        scanner = QuoteScanner(delimiter)
        scanner.add(with_feeds)
        if scanner.finish():
            return CheckedText(with_feeds, n_inside=scanner.n_inside)
    text = np.frombuffer(content, np.uint8)
    quotes = np.flatnonzero(text == QUOTE)
    unescaped = quotes[~is_escaped(text, quotes)]
    if len(unescaped) < len(quotes):
        scanner = QuoteScanner(delimiter)
        scanner.add(content, unescaped)
        if scanner.finish():
            return CheckedText(content, escaped=True, n_inside=scanner.n_inside)
    return rewritten(content, delimiter, n_columns, location)


def with_line_feeds(content: bytes) -> bytes:
    """Write carriage returns outside quotes as line feeds if they end most lines, as on old Macintosh computers; the content itself if they do not.

    Args:
        content: UTF-8.
    """
    text = np.frombuffer(content, np.uint8)
    quotes = np.flatnonzero(text == QUOTE)
    returns = np.flatnonzero(text == RETURN)
    is_lone = text[np.minimum(returns + 1, len(text) - 1)] != NEWLINE
    is_lone[returns == len(text) - 1] = True
    returns = returns[is_lone & (np.searchsorted(quotes, returns) % 2 == 0)]
    feeds = np.flatnonzero(text == NEWLINE)
    if not len(returns) or len(returns) <= int((np.searchsorted(quotes, feeds) % 2 == 0).sum()):
        return content
    changed = text.copy()
    changed[returns] = NEWLINE
    return changed.tobytes()


def is_escaped(text: np.ndarray, quotes: np.ndarray) -> np.ndarray:
    """Return whether each quote stands behind an odd number of backslashes, (Q,) bool.

    Args:
        text: (n) uint8.
        quotes: (Q,) positions.
    """
    backslashes = np.flatnonzero(text == BACKSLASH)
    if not len(backslashes):
        return np.zeros(len(quotes), bool)
    is_first = np.concatenate([[True], np.diff(backslashes) != 1])
    run_begin = np.maximum.accumulate(np.where(is_first, backslashes, 0))
    before = np.maximum(np.searchsorted(backslashes, quotes) - 1, 0)
    return (backslashes[before] == quotes - 1) & ((quotes - run_begin[before]) % 2 == 1)


def swallowed_error(line: int, n_lines: int, location: str) -> InputError:
    """Create the error for a quote that swallows rows."""
    rows = f"the {n_lines} line{'s' if n_lines > 1 else ''} below it" if n_lines else "the rest of the line"
    return InputError(
        f"{location} line {line}: a quote opens here and takes in {rows} — expected a closing quote in the same cell — close or remove the quote in line {line}"
    )


def rewritten(content: bytes, delimiter: str, n_columns: int, location: str) -> CheckedText:
    """Read text that is not well-formed record by record, and write it well-formed.

    Args:
        content: UTF-8.
        delimiter: between fields.
        n_columns: fields of a row.
        location: name of the file, for messages.

    Raises:
        InputError: as for `check_quotes`.
    """
    text = join_lines(content.decode("utf-8", "backslashreplace"), delimiter, n_columns)
    out, stray = io.StringIO(), []
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    for line, fields, is_stray in records(text, delimiter, n_columns, location):
        if is_stray:
            stray.append(line)
        # An empty record would be written as nothing, which is how it was read.
        writer.writerow([f"{field}" for field in fields])
    warnings: tuple[str, ...] = ()
    if stray:
        more = f" and {len(stray) - 1} more lines" if len(stray) > 1 else ""
        warnings = (f"{location} line {stray[0]}{more}: a quote that is not closed or not doubled: read as part of the text — check those cells",)
    content = quoted_returns(out.getvalue(), delimiter).encode()
    scanner = QuoteScanner(delimiter)
    scanner.add(content)
    scanner.finish()
    return CheckedText(content, n_inside=scanner.n_inside, warnings=warnings)


def quoted_returns(text: str, delimiter: str) -> str:
    """Quote unquoted cells that hold a carriage return."""
    if "\r" not in text:
        return text
    cell = rf'(^|{re.escape(delimiter)}|\n)([^"{re.escape(delimiter)}\n]*\r[^"{re.escape(delimiter)}\n]*)(?=$|{re.escape(delimiter)}|\n)'
    return re.sub(cell, r'\1"\2"', text)


def join_lines(text: str, delimiter: str, n_columns: int) -> str:
    """Write line ends as line feeds; a carriage return within a cell stays.

    Carriage returns are line ends if the pieces between them have the fields of a row.

    Args:
        text: with any line ends.
        delimiter: between fields.
        n_columns: fields of a row.
    """
    text = text.replace("\r\n", "\n")
    if "\r" not in text:
        return text
    lines = []
    for line in text.split("\n"):
        pieces = line.split("\r")
        is_end = len(pieces) > 1 and all(piece.count(delimiter) == n_columns - 1 for piece in pieces if piece)
        lines += pieces if is_end else [line]
    return "\n".join(lines)


def records(text: str, delimiter: str, n_columns: int, location: str) -> Iterator[tuple[int, list[str], bool]]:
    """Yield the line, the fields and whether a quote was read as text, of each record.

    Args:
        text: with line feeds; carriage returns only within cells.
        delimiter: between fields.
        n_columns: fields of a row.
        location: name of the file, for messages.

    Raises:
        InputError: a quote opens and neither closes nor can be read as text.
    """
    mark = re.escape(delimiter)
    quoted = re.compile(rf'[ \t]*"((?:[^"]|"")*)"[ \t]*(?={mark}|\n|\Z)' if delimiter != "\t" else rf'"((?:[^"]|"")*)"(?={mark}|\n|\Z)')
    on_line = re.compile(rf'[ ]*"([^\n]*?)"[ ]*(?={mark}|\n|\Z)')
    plain = re.compile(rf"[^{mark}\n]*")
    at, line, end = 0, 1, len(text)
    while at < end:
        begin, fields, is_stray, opened = line, [], False, 0
        while True:
            strict = quoted.match(text, at)
            if strict and "\n" in strict[1] and holds_rows(strict[1], delimiter, n_columns):
                strict, opened = None, opened or line
            lenient = None if strict else on_line.match(text, at)
            if strict:
                fields.append(strict[1].replace('""', '"'))
                at, line = strict.end(), line + strict[1].count("\n")
            elif lenient:
                fields.append(lenient[1].replace('""', '"'))
                at, is_stray = lenient.end(), True
            else:
                whole = plain.match(text, at)
                assert whole is not None  # crack: narrows types only
                if whole[0].lstrip().startswith('"'):
                    is_stray, opened = True, opened or line
                fields.append(whole[0])
                at = whole.end()
            if at >= end or text[at] == "\n":
                break
            at += 1
        at, line = at + 1, line + 1
        if opened and len(fields) != n_columns:
            raise swallowed_error(opened, 0, location)
        yield begin, fields if fields != [""] else [], is_stray


def holds_rows(cell: str, delimiter: str, n_columns: int) -> bool:
    """Return whether a quoted cell holds the delimiters of whole rows; in text with misplaced quotes few are enough."""
    n = cell.count(delimiter)
    return n_columns > 1 and n == cell.count("\n") * (n_columns - 1) and 2 * cell.count(delimiter + " ") < max(1, n)
