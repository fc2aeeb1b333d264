"""A Markdown table, for an issue or a wiki page. Sample: `| row | given | suggested |`."""

from __future__ import annotations

import html
import re
from typing import BinaryIO

import pyarrow as pa

from zcurate.config.report_options import ReportOptions
from zcurate.report.formats.cells import rows_of
from zcurate.runtime.safe_text import visible

SPECIAL = re.compile(r"[\\|`*\[\]()!~]")
"""Matches characters with a meaning in Markdown; `_` inside a word has none."""


def plain_text(text: str) -> str:
    """Escape a cell so that Markdown shows it as it is."""
    words = visible(" ".join(text.split()))
    return SPECIAL.sub(r"\\\g<0>", html.escape(words, quote=False))


def write(table: pa.Table, stream: BinaryIO, options: ReportOptions) -> None:
    """Write a Markdown table, in which no cell is markup, HTML, a link or a picture; newlines become spaces."""

    def line(cells: list[str]) -> bytes:
        return ("| " + " | ".join(map(plain_text, cells)) + " |\n").encode()

    stream.write(line(table.column_names))
    stream.write(("|" + " --- |" * table.num_columns + "\n").encode())
    for row in rows_of(table):
        stream.write(line(row))
    stream.flush()
