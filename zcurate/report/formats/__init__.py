"""The shelf of sinks: each file has `write(table, stream, options)`; machine formats never pass through a wrapping renderer."""

from __future__ import annotations

from zcurate.registry import Registry

SINKS = Registry(
    "format",
    table="zcurate.report.formats.table:write",
    csv="zcurate.report.formats.csv:write",
    tsv="zcurate.report.formats.csv:write_tsv",
    json="zcurate.report.formats.json:write_array",
    jsonl="zcurate.report.formats.json:write",
    ids="zcurate.report.formats.ids:write",
    parquet="zcurate.report.formats.parquet:write",
    markdown="zcurate.report.formats.markdown:write",
)
