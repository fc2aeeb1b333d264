"""Labels that are classes because the input says so: folders, and Hugging Face's ClassLabel columns. What it says travels in the table's metadata."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.data.dataset import DeclaredClasses
from zcurate.data.values import as_written, decode_column, without_missing_words
from zcurate.errors import InputError

UNLABELLED = -1
"""Class number of rows without a label."""
DECLARED_KEY, HUGGINGFACE_KEY = b"zcurate.classes", b"huggingface"
"""Keys of a table's metadata: of `declare`, and of Hugging Face's `datasets`."""


def declare(table: pa.Table, column: str, why: str) -> pa.Table:
    """Declare the values of a text column to be names of classes.

    Args:
        table: (N).
        column: name of the column.
        why: what says so, in plain words.
    """
    return table.replace_schema_metadata({**(table.schema.metadata or {}), DECLARED_KEY: json.dumps({column: why})})


def declared(schema: pa.Schema, column: str) -> DeclaredClasses | None:
    """Return what a table's metadata says of a column of labels; None if it says nothing.

    Args:
        schema: of the table.
        column: name of the column.
    """
    metadata = schema.metadata or {}
    if column in (found := parsed(metadata.get(DECLARED_KEY))):
        return DeclaredClasses(str(found[column]))
    info = parsed(metadata.get(HUGGINGFACE_KEY)).get("info")
    features = info.get("features") if isinstance(info, dict) else None
    feature = features.get(column) if isinstance(features, dict) else None
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    return DeclaredClasses("labels are a ClassLabel", tuple(map(str, names))) if isinstance(names, list) and names else None


def parsed(content: bytes | None) -> dict[str, Any]:
    """Parse a JSON object; empty if it is none."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def label_text(labels: pa.Array, meaning: DeclaredClasses | None, missing: tuple[str, ...]) -> pa.Array:
    """Convert labels to text, (N) string; null where missing.

    Args:
        labels: (N) any basic type.
        meaning: what the input says of them; None where nothing.
        missing: words, in lower case, that mean a missing label; they count only where the input says nothing.

    Raises:
        InputError: a type that cannot be a label, or a number without a name.
    """
    if meaning is None:
        return without_missing_words(as_written(labels), missing)
    if not meaning.names or not (pa.types.is_integer(labels.type) or pa.types.is_floating(labels.type)):
        return as_written(labels)
    numbers, n = labels.cast(pa.int64(), safe=False), len(meaning.names)
    unknown = numbers.filter(pc.or_(pc.less(numbers, UNLABELLED), pc.greater_equal(numbers, n)))
    if len(unknown):
        raise InputError(f"a label is {unknown[0]}, but the ClassLabel has {n} names — expected 0 to {n - 1}, or -1 for none — mend the labels or the names")
    return pa.array(meaning.names, pa.string()).take(pc.if_else(pc.equal(numbers, UNLABELLED), pa.scalar(None, pa.int64()), numbers))


def label_column(table: pa.Table, column: str) -> tuple[pa.Array, DeclaredClasses | None]:
    """Return a table's labels in a basic type, and what the table says of them.

    Args:
        table: (N).
        column: name of the column.
    """
    return decode_column(table.column(column)), declared(table.schema, column)
