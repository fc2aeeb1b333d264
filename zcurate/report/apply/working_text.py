"""A text file as UTF-8 in which bytes can be changed, and the way back to its own encoding and compression. No torch."""

from __future__ import annotations

import bz2
import codecs
import gzip
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from zcurate.data.delimited.text import BOM, detect_encoding
from zcurate.data.source import Source, compression_of
from zcurate.errors import InputError

MARKED = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""Byte-order mark -> encoding in which it is the first character."""


@dataclass(frozen=True)
class WorkingText:
    """A text as UTF-8, and the way back to its own encoding."""

    content: bytes
    """UTF-8, without a byte-order mark."""
    back: Callable[[bytes], bytes]
    """Returns such a text in the encoding of the file, with its byte-order mark."""

    @staticmethod
    def of(content: bytes, source: Source, location: str) -> WorkingText:
        """Decode the content of a file."""
        marked = next((name for mark, name in MARKED.items() if content.startswith(mark)), None)
        encoding = marked or source.encoding or ("utf-8" if source.format == "jsonl" else detect_encoding(content, location)[0])
        if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
            mark = BOM if content.startswith(BOM) else b""
            return WorkingText(content.removeprefix(BOM), lambda text: mark + text)
        text = content.decode(encoding, "surrogateescape")
        start = "\ufeff" if text.startswith("\ufeff") else ""
        if text.encode(encoding, "surrogateescape") != content:
            raise InputError(f"{location}: {encoding} does not give back the same bytes — expected text that does — try -o with .parquet")

        def back(changed: bytes) -> bytes:
            return (start + changed.decode("utf-8", "surrogateescape")).encode(encoding, "surrogateescape")

        return WorkingText(text.removeprefix(start).encode("utf-8", "surrogateescape"), back)


def compressed(content: bytes, name: str) -> bytes:
    """Compress bytes as the name of their file says."""
    kind = compression_of(name)
    if kind is None:
        return content
    if kind in ("gzip", "bz2"):
        return gzip.compress(content, mtime=0) if kind == "gzip" else bz2.compress(content)
    return bytes(pa.Codec(kind).compress(content, asbytes=True))
