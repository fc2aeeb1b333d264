"""The text of a delimited file as UTF-8: encodings, byte-order marks, and what Arrow's parser cannot read by itself."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.data.local_files import local_errors
from zcurate.data.source import CHUNK_BYTES, Source, compression_of
from zcurate.errors import InputError

HEAD_BYTES, HEAD_LINES, MAX_HEAD_BYTES = 1 << 16, 12, 1 << 24
"""Bytes from which layout and encoding are detected; more, up to the last number, where they hold fewer lines."""
SEARCH_BYTES = 1 << 18
"""Bytes searched at a time; they fit into the cache."""
BOM = b"\xef\xbb\xbf"
"""Byte-order mark of UTF-8."""
MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
"""Byte-order mark -> encoding."""
MAGIC = {b"\x1f\x8b": "gzip-compressed", b"PK\x03\x04": "a zip archive or a workbook", b"PAR1": "a Parquet file", b"\x28\xb5\x2f\xfd": "zstd-compressed"}
"""First bytes of files that are no text -> what they are."""
MAGIC_ADVICE = {
    "gzip-compressed": "let the name end in .csv.gz",
    "zstd-compressed": "let the name end in .csv.zst",
    "a Parquet file": "try --input-format parquet",
    "a zip archive or a workbook": "unpack it, or save the sheet as CSV",
}
"""What to do with such a file."""
MANY_VALID = 4
"""With this many times as many valid as invalid characters, text is UTF-8 with stray bytes; by taste."""
WESTERN = re.compile(r"[A-Za-zÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœŠšŽž’–]+")
"""Matches words of Western European languages, which detectors take for their eastern neighbors."""
MAX_ACCENTED = 0.4
"""Share of accented letters in the words that hold any, at most, for Western European text; by taste."""
EBCDIC = ["cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140"]
"""Encodings whose commas and line ends are other bytes than those of ASCII."""
UNLIKELY = ["utf_16_be", "utf_16_le", "utf_16", "utf_32", "utf_7", "hp_roman8", "cp1006", "mac_latin2", "mac_turkish", "hz", *EBCDIC]
"""Encodings that no delimited text without a byte-order mark has."""
TEXT_COPIES = 3
"""Times its size that text in memory takes: itself, its copy as it is checked, and the table."""
GUESS_BYTES = 1 << 18
"""Bytes with characters beyond ASCII from which an encoding is guessed."""


@dataclass(frozen=True)
class CsvText:
    """Text of one file, which can be read several times."""

    open: Callable[[], Any]
    """Opens a stream of its bytes in UTF-8 from the beginning."""
    head: bytes
    """Its first bytes, see `head_length`."""
    size: int
    """Total size [bytes]."""
    checked: bool
    """All of it is known to be UTF-8, not only the head."""
    warnings: tuple[str, ...] = ()
    """What may mislead: a guessed encoding, bytes that could not be decoded."""


@dataclass
class TextFacts:
    """What the bytes of a text hold that Arrow's parser may misread; filled chunk by chunk."""

    has_quotes: bool = False
    """Quote characters."""
    has_returns: bool = False
    """Carriage returns without a line feed behind them."""
    n_lines: int = 0
    """Lines up to the last that is not blank."""
    n_trailing: int = 0
    """Line ends at the end of the text."""
    last: bytes = b""
    """The last byte so far."""

    def add(self, chunk: bytes) -> None:
        """Search the next bytes."""
        self.has_quotes = self.has_quotes or b'"' in chunk
        if b"\r" in chunk or self.last == b"\r":
            self.has_returns = self.has_returns or re.search(rb"\r(?!\n).", self.last + chunk, re.DOTALL) is not None
        n_newlines = int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == 10))
        stripped = chunk.rstrip(b"\r\n")
        n_trailing = chunk[len(stripped) :].count(b"\n")
        if stripped:
            self.n_lines += self.n_trailing + n_newlines - n_trailing
            self.n_trailing = 0
        self.n_trailing += n_trailing
        self.last = chunk[-1:]

    def finish(self) -> None:
        """Add the last line, after the last chunk."""
        self.n_lines += 1
        self.has_returns = self.has_returns or self.last == b"\r"


def facts_of(open_text: Callable[[], Any]) -> TextFacts:
    """Search a whole text."""
    facts = TextFacts()
    with open_text() as stream:
        while chunk := stream.read(SEARCH_BYTES):
            facts.add(chunk)
    facts.finish()
    return facts


def head_length(content: bytes) -> int:
    """Return how many of the first bytes of a text to detect its layout from: enough for a few lines, also of thousands of columns.

    Args:
        content: the text, or its beginning; the result is larger than that where it is too short to tell.
    """
    length = HEAD_BYTES
    while length < MAX_HEAD_BYTES and length <= len(content) and content.count(b"\n", 0, length) + content.count(b"\r", 0, length) < HEAD_LINES:
        length *= 4
    return length


def streamed_text(source: Source, name: str | None) -> CsvText | None:
    """Return the text of a local file whose head is UTF-8 with line feeds; None for a file that must be read and converted as a whole."""
    if source.content is not None or source.remote is not None or name is None or compression_of(name) or source.encoding:
        return None
    with local_errors(name), open(name, "rb") as file:
        head, size = file.read(HEAD_BYTES), os.path.getsize(name)
        while len(head) < size and head_length(head) > len(head):
            head += file.read(head_length(head) - len(head))
    if b"\0" in head or b"\x1b$" in head or b"\n" not in head or not head.strip() or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    try:
        # The head may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) == size)
    except UnicodeDecodeError:
        return None
    return CsvText(lambda: pa.OSFile(os.fsencode(name)), head.removeprefix(BOM), size, checked=False)


def whole_text(source: Source, name: str | None) -> CsvText:
    """Read a file into memory and convert it to UTF-8.

    Raises:
        InputError: it cannot be decompressed, is empty, or is binary.
    """
    return text_from(source.read(name, TEXT_COPIES), name or source.path, source.encoding)


def text_from(content: bytes, location: str, encoding: str | None = None) -> CsvText:
    """Convert bytes to UTF-8.

    Args:
        content: of the file.
        location: its name, for messages.
        encoding: `--encoding`; None to detect it.

    Raises:
        InputError: they are empty or binary.
    """
    if not (content[:HEAD_BYTES].strip() or content.strip()):
        raise InputError(f"{location}: the file is empty — expected a header and data — is this the right file?")
    warnings: tuple[str, ...] = ()
    if encoding is None:
        encoding, warnings = detect_encoding(content, location)
    if codecs.lookup(encoding).name != "utf-8" or not is_utf8(content):
        content, more = decoded(content, encoding, location)
        warnings += more
    content = content.removeprefix(BOM)
    return CsvText(lambda: pa.BufferReader(content), content[: head_length(content)], len(content), checked=True, warnings=warnings)


def decoded(content: bytes, encoding: str, location: str) -> tuple[bytes, tuple[str, ...]]:
    """Convert bytes to UTF-8; those that cannot be decoded are written as `\\xNN`, so that different ones stay different."""
    text = content.decode(encoding, "backslashreplace")
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"{location} line {line}: the byte 0x{content[error.start]:02x} is not {encoding}"
        return text.encode("utf-8", "backslashreplace"), (f"{found}: such bytes are read as \\xNN — set the encoding with --encoding",)
    return text.encode("utf-8", "backslashreplace"), ()


def is_utf8(content: bytes) -> bool:
    """Return whether bytes are valid UTF-8."""
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(content)
    try:
        for begin in range(0, len(content), CHUNK_BYTES):
            decoder.decode(view[begin : begin + CHUNK_BYTES], final=begin + CHUNK_BYTES >= len(content))
    except UnicodeDecodeError:
        return False
    return True


def detect_encoding(content: bytes, location: str) -> tuple[str, tuple[str, ...]]:
    """Detect the encoding: by byte-order mark, else UTF-8 if (nearly) all of it decodes, else by what the characters look like.

    Args:
        content: the whole file, or its beginning.
        location: its name, for messages.

    Returns:
        Python's name of the encoding, and a warning if it was guessed.

    Raises:
        InputError: the content is binary.
    """
    marked = next((encoding for mark, encoding in MARKS if content.startswith(mark)), None)
    if marked is not None:
        return marked, ()
    if kind := next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), None):
        raise InputError(f"{location}: {kind} — expected delimited text — {MAGIC_ADVICE.get(kind, 'unpack it first')}")
    head = content[:HEAD_BYTES]
    if b"\0" in head:
        places = np.flatnonzero(np.frombuffer(head, np.uint8) == 0) % 2
        if len(places) > 0.3 * len(head) and len(set(places.tolist())) == 1:
            encoding = "utf-16-be" if places[0] == 0 else "utf-16-le"
            return encoding, (f"{location}: no byte-order mark: read as {encoding}, which is a guess — set the encoding with --encoding",)
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        advice = "is the ending right? if it is text, --encoding utf-8 reads it all the same"
        raise InputError(f"{location} line {line}: binary content, a NUL byte — expected delimited text — {advice}")
    if b"\x1b$B" in content or b"\x1b$@" in content:
        return "iso2022_jp", (f"{location}: read as iso2022_jp, by its escape sequences — set the encoding with --encoding",)
    if is_utf8(content):
        return "utf-8", ()
    if sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in head) > 0.02 * len(head):
        raise InputError(f"{location}: binary content — expected delimited text — is the ending right? try --input-format")
    lenient = content.decode("utf-8", "surrogateescape")
    n_invalid = len(re.findall("[\udc80-\udcff]", lenient))
    if len(re.findall(r"[^\x00-\x7f\udc80-\udcff]", lenient)) >= MANY_VALID * n_invalid:
        return "utf-8", ()
    encoding = guess_encoding(content)
    return encoding, (f"{location}: not UTF-8: read as {encoding}, which is a guess — set the encoding with --encoding",)


def guess_encoding(content: bytes) -> str:
    """Guess the encoding of bytes that are not UTF-8; Windows-1252 for Western European text."""
    import charset_normalizer

    cells = sorted({cell for cell in re.split(rb"[\n\r,;\t|]", content) if not cell.isascii()})
    sample = b"\n".join(cells)[:GUESS_BYTES]
    if is_western(sample):
        return "cp1252"
    best = charset_normalizer.from_bytes(sample, cp_exclusion=UNLIKELY).best()
    return best.encoding if best is not None else "cp1252"


def is_western(sample: bytes) -> bool:
    """Return whether bytes read as Windows-1252 look like Western European words: a few accented letters among plain ones."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    words = [word for word in re.findall(r"[^\s\x00-\x40\x5b-\x60\x7b-\x7f]+", text) if not word.isascii() and any(map(str.isalpha, word))]
    letters = "".join(words)
    n_accented = sum(not letter.isascii() for letter in letters)
    return all(WESTERN.fullmatch(word.strip("“”„«»°€®©·…—‘•")) for word in words) and n_accented <= MAX_ACCENTED * len(letters)
