"""From a table as read to a `Dataset`: finds a column of pictures, then leaves roles and task to `infer`.

Leaves: `Dataset`. Enters: the Arrow table of any reader.
"""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.options import ScanOptions
from zcurate.data import images, schema
from zcurate.data.dataset import Dataset, InputInfo, SkippedRow
from zcurate.data.remote import is_remote
from zcurate.data.source import Source
from zcurate.errors import InputError, UsageError, listed
from zcurate.runtime.store import MemoryMappedStore


def from_frame(frame: Any) -> pa.Table:
    """A pandas DataFrame as a table; a column that Arrow cannot hold becomes text."""
    names = unique_names([str(name) for name in frame.columns])
    arrays = []
    for at in range(len(names)):
        series = frame.iloc[:, at]
        try:
            arrays.append(pa.array(series, from_pandas=True))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, ValueError, TypeError):
            missing = series.isna()
            arrays.append(pa.array([None if gone else str(value) for value, gone in zip(series, missing, strict=True)], pa.string()))
    arrays = [array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array for array in arrays]
    return pa.Table.from_arrays(arrays, names=names)


def joined(tables: list[pa.Table], source: Source, loose: bool = False) -> pa.Table:
    """The parts of an input one after another, partition columns added; a column that is text in one of them is text in all.

    Args:
        tables: one for each of the source's files.
        source: names them.
        loose: a column may be missing from a part, where it is null.

    Raises:
        InputError: parts with other columns than the first, or with types that cannot be brought together; names the part.
    """
    names = source.files or (source.path,)
    tables = [table.rename_columns(unique_names(table.column_names)) for table in tables]
    tables = [with_partition(table, source.partition(name)) for table, name in zip(tables, names, strict=True)]
    if len(tables) == 1:
        return tables[0]
    schema = common_schema([table.schema for table in tables], names, loose)
    return pa.concat_tables([cast_table(table, schema) for table in tables], promote_options="permissive")


def with_partition(table: pa.Table, settings: dict[str, str | None]) -> pa.Table:
    """The table with a text column for each partition column that it has not itself."""
    for name, value in settings.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    return table


def common_schema(schemas: list[pa.Schema], names: tuple[str, ...], loose: bool = False) -> pa.Schema:
    """The columns and types that all parts can be brought to: text wins, else the widest number.

    Args:
        schemas: of the parts, at least one.
        names: of the parts.
        loose: a column may be missing from a part.

    Raises:
        InputError: naming the first part that does not fit, and what does not.
    """
    text = {field.name for schema in schemas for field in schema if is_text(field.type)}
    whole = pa.schema([])
    for at, (own, name) in enumerate(zip(schemas, names, strict=True)):
        differ = set(own.names) ^ set(schemas[0].names)
        if differ and not loose:
            column = next(column for column in [*schemas[0].names, *own.names] if column in differ)
            has = "has no column" if column in schemas[0].names else "has a column that others have not,"
            raise InputError(f"{name}: {has} '{column}' — expected the columns of {names[0]}: {listed(schemas[0].names, 8)} — mend or leave out the part")
        for field in own:
            kind = pa.string() if field.name in text and not pa.types.is_nested(field.type) else plain_type(field.type)
            try:
                whole = pa.unify_schemas([whole, pa.schema([pa.field(field.name, kind)])], promote_options="permissive")
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                before = f"{whole.field(field.name).type} as in {names[0] if at == 1 else 'the parts before'}"
                raise InputError(f"{name}: column '{field.name}' is {field.type} — expected {before} — make the parts' columns agree") from error
    return whole


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a dictionary's values; any other type as it is."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def cast_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table's columns in the types of a schema that was made for it.

    Args:
        table: or a record batch.
        schema: may hold more columns.
    """
    for at, field in enumerate(table.schema):
        wanted = schema.field(field.name).type
        if field.type != wanted:
            column = table.column(at).cast(field.type.value_type) if pa.types.is_dictionary(field.type) else table.column(at)
            table = table.set_column(at, field.name, column.cast(wanted))
    return table


def unique_names(names: list[str]) -> list[str]:
    """Column names made distinct: a nameless one becomes `column_N`, a repeated one gets `.1`, `.2`, ..."""
    out: list[str] = []
    for at, name in enumerate(names):
        plain = name.strip() or f"column_{at}"
        fresh, n = plain, 0
        while fresh in out:
            n += 1
            fresh = f"{plain}.{n}"
        out.append(fresh)
    return out


def is_encoded(kind: pa.DataType) -> bool:
    """Whether a column may hold encoded pictures: binary, or a struct with a binary `bytes`."""
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and is_encoded(kind.field(at).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def picture_column(table: pa.Table, wanted: str | None, place: str, spare: set[str]) -> str | None:
    """The column with pictures: the one asked for, else one of bytes, else one whose values end like picture files.

    Args:
        table: the input.
        wanted: `--image`, or None.
        place: the input, for messages.
        spare: columns that are the label or excluded.

    Raises:
        UsageError: `--image` names no column, or one that holds neither bytes nor paths.
    """
    schema.need_column(table.column_names, wanted, "--image", place)
    for name in [wanted] if wanted is not None else [name for name in table.column_names if name not in spare]:
        kind = table.column(name).type
        if is_encoded(kind) and (wanted is not None or looks_like_pictures(table.column(name))):
            return name
        if is_text(kind) and (wanted is not None or looks_like_paths(table.column(name))):
            return name
    if wanted is not None:
        raise UsageError(f"{place}: --image {wanted} is of type {table.column(wanted).type} — expected paths or encoded bytes — name another")
    return None


def is_text(kind: pa.DataType) -> bool:
    """Strings of any layout, dictionaries of strings among them."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(value) or pa.types.is_large_string(value) or str(value) == "string_view"


def looks_like_pictures(column: pa.ChunkedArray) -> bool:
    """Any of the first values begins as picture files begin; other bytes are no pictures."""
    head = column.slice(0, 20).to_pylist()
    contents = [value.get("bytes") if isinstance(value, dict) else value for value in head]
    return any(content[:16].startswith(images.MAGIC) or content[8:12] == b"WEBP" for content in contents if content)


def looks_like_paths(column: pa.ChunkedArray) -> bool:
    """Nine in ten of the first values end like a picture file."""
    head = schema.decode_column(column.slice(0, 100)).drop_null().to_pylist()
    return len(head) > 0 and sum(value.strip().lower().endswith(images.ENDINGS) for value in head) >= 0.9 * len(head)


def dataset(table: pa.Table, origin: InputInfo, options: ScanOptions, skipped: tuple[SkippedRow, ...] = (), room: MemoryMappedStore | None = None) -> Dataset:
    """The last step of every table reader.

    Args:
        table: (N) every column.
        origin: where it came from.
        options: roles and task.
        skipped: rows that could not be read.
        room: takes the pixels of pictures; None for memory.
    """
    place = origin.path
    table = table.rename_columns(unique_names(table.column_names))
    if table.num_rows == 0:
        return schema.dataset(table, origin, options)
    spare = {str(options.label), str(options.id)} | set(schema.excluded_columns(table.column_names, options.exclude, place))
    name = picture_column(table, options.image, place, spare)
    if name is None:
        return schema.dataset(table, origin, options, skipped=skipped)
    schema.find_label(table.column_names, options.label, place)
    root = None
    column = table.column(name).combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    table = table.drop_columns([name])
    if is_encoded(column.type):
        found = images.from_bytes(column, place, room)
        inner = column.field("path") if pa.types.is_struct(column.type) and column.type.get_field_index("path") >= 0 else None
        paths = inner.cast(pa.string()) if inner is not None and inner.null_count < len(inner) else None
    else:
        paths = schema.decode_column(pa.chunked_array([column]))
        root = os.path.abspath(picture_root(paths, place, options.root))
        found = images.from_paths([path and os.path.join(root, path.strip()) for path in paths.to_pylist()], place, room)
    table = table.append_column("path", paths) if paths is not None and "path" not in table.column_names else table
    return schema.dataset(table, origin, options, found.pixels, paths, skipped + found.skipped, root)


def picture_root(paths: pa.Array, place: str, root: str | None) -> str:
    """The folder that picture paths start from: `--root`, else the manifest's own, else the current one if only that fits.

    Raises:
        UsageError: the manifest is elsewhere, and no `--root` says where its pictures are here.
    """
    if root is not None:
        return root
    if is_remote(place):
        raise UsageError(f"{place}: names pictures that are not on this machine — expected them in a local folder — copy them and name it with --root DIR")
    beside = os.path.dirname(place) if place not in ("-", "memory") else ""
    first = next((path.strip() for path in pc.unique(paths).to_pylist() if path), "")
    return "." if os.path.exists(first) and not os.path.exists(os.path.join(beside, first)) else beside or "."
