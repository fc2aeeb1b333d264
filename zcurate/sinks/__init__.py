"""The shelf of sinks: each file has `write(table, stream, options)`; machine formats never pass through a wrapping renderer."""

from __future__ import annotations

from zcurate.registry import Registry

SINKS = Registry(
    "format",
    table="zcurate.sinks.terminal:write",
    csv="zcurate.sinks.delimited:write",
    tsv="zcurate.sinks.delimited:write_tsv",
    json="zcurate.sinks.json_lines:write_array",
    jsonl="zcurate.sinks.json_lines:write",
    ids="zcurate.sinks.ids:write",
    parquet="zcurate.sinks.parquet:write",
    markdown="zcurate.sinks.markdown:write",
)
