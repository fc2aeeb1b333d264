"""Convert the Arrow table of any reader to a `Dataset`: join parts, decode a column of images, infer roles and task."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.options import ScanOptions
from zcurate.data import images, schema
from zcurate.data.dataset import Dataset, InputInfo, SkippedRow
from zcurate.data.remote import is_remote
from zcurate.data.source import Source
from zcurate.data.values import decode_column
from zcurate.errors import InputError, UsageError, listed
from zcurate.runtime.store import MemoryMappedStore


def join_parts(tables: list[pa.Table], source: Source, loose: bool = False) -> pa.Table:
    """Concatenate the parts of an input and add partition columns; a column that is text in one part is text in all.

    Args:
        tables: one for each of the source's files.
        source: the input.
        loose: a part may lack a column, which is then null.

    Raises:
        InputError: a part whose columns differ from the first part's or whose types cannot be unified; names the part.
    """
    names = source.files or (source.path,)
    tables = [table.rename_columns(unique_names(table.column_names)) for table in tables]
    tables = [with_partition(table, source.partition(name)) for table, name in zip(tables, names, strict=True)]
    if len(tables) == 1:
        return tables[0]
    schema = common_schema([table.schema for table in tables], names, loose)
    return pa.concat_tables([cast_table(table, schema) for table in tables], promote_options="permissive")


def with_partition(table: pa.Table, columns: dict[str, str | None]) -> pa.Table:
    """Append a text column for each partition column that the table does not contain itself."""
    for name, value in columns.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    return table


def common_schema(schemas: list[pa.Schema], names: tuple[str, ...], loose: bool = False) -> pa.Schema:
    """Unify the parts' schemas: text if any part has text, else the widest number.

    Args:
        schemas: of the parts, at least one.
        names: of the parts.
        loose: a part may lack a column.

    Raises:
        InputError: the schemas differ; names the first part that does not fit, and its column.
    """
    text = {field.name for schema in schemas for field in schema if is_text(field.type)}
    common = pa.schema([])
    for number, (part, name) in enumerate(zip(schemas, names, strict=True)):
        differ = set(part.names) ^ set(schemas[0].names)
        if differ and not loose:
            column = next(column for column in [*schemas[0].names, *part.names] if column in differ)
            problem = "has no column" if column in schemas[0].names else "has a column that others have not,"
            raise InputError(
                f"{name}: {problem} '{column}' — expected the columns of {names[0]}: {listed(schemas[0].names, 8)} — fix or remove the part, or scan one file"
            )
        for field in part:
            kind = pa.string() if field.name in text and not pa.types.is_nested(field.type) else value_type(field.type)
            try:
                common = pa.unify_schemas([common, pa.schema([pa.field(field.name, kind)])], promote_options="permissive")
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                expected = f"{common.field(field.name).type} as in {names[0] if number == 1 else 'the parts before'}"
                raise InputError(f"{name}: column '{field.name}' is {field.type} — expected {expected} — make the parts' columns agree") from error
    return common


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a dictionary's values, or any other type unchanged."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def cast_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast a table's columns to the types of a common schema.

    Args:
        table: the table.
        schema: from `common_schema`; may contain more columns.
    """
    for position, field in enumerate(table.schema):
        wanted = schema.field(field.name).type
        if field.type != wanted:
            column = table.column(position).cast(field.type.value_type) if pa.types.is_dictionary(field.type) else table.column(position)
            table = table.set_column(position, field.name, column.cast(wanted))
    return table


def unique_names(names: list[str]) -> list[str]:
    """Make column names distinct: an empty name becomes `column_N`, repeated names get `.1`, `.2`, ..."""
    unique: dict[str, None] = {}
    for position, name in enumerate(names):
        base = name.strip() or f"column_{position}"
        candidate, n = base, 0
        while candidate in unique:
            n += 1
            candidate = f"{base}.{n}"
        unique[candidate] = None
    return list(unique)


def is_encoded(kind: pa.DataType) -> bool:
    """Return whether a column may contain encoded images: binary, or a struct with a binary field `bytes`."""
    if pa.types.is_struct(kind):
        position = kind.get_field_index("bytes")
        return position >= 0 and is_encoded(kind.field(position).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def image_column(table: pa.Table, wanted: str | None, location: str, reserved: set[str]) -> str | None:
    """Find the column of images: the named one, else the first with encoded images or with names of image files.

    Args:
        table: the input.
        wanted: `--image`, or None.
        location: the input, for messages.
        reserved: label, id and excluded columns.

    Raises:
        UsageError: `--image` names a column that does not exist or contains neither bytes nor paths.
    """
    schema.need_column(table.column_names, wanted, "--image", location)
    for name in [wanted] if wanted is not None else [name for name in table.column_names if name not in reserved]:
        kind = table.column(name).type
        if is_encoded(kind) and (wanted is not None or has_encoded_images(table.column(name))):
            return name
        if is_text(kind) and (wanted is not None or has_image_paths(table.column(name))):
            return name
    if wanted is not None:
        raise UsageError(f"{location}: --image {wanted} is of type {table.column(wanted).type} — expected paths or encoded bytes — name another")
    return None


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is a string of any layout or a dictionary of strings."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(value) or pa.types.is_large_string(value) or str(value) == "string_view"


def has_encoded_images(column: pa.ChunkedArray) -> bool:
    """Return whether any of the leading values begins like an image file; other bytes are not images."""
    head = column.slice(0, 20).to_pylist()
    contents = [value.get("bytes") if isinstance(value, dict) else value for value in head]
    return any(content[:16].startswith(images.MAGIC) or content[8:12] == b"WEBP" for content in contents if content)


def has_image_paths(column: pa.ChunkedArray) -> bool:
    """Return whether nine in ten of the leading values end like the name of an image file."""
    head = decode_column(column.slice(0, 100)).drop_null().to_pylist()
    return len(head) > 0 and sum(value.strip().lower().endswith(images.EXTENSIONS) for value in head) >= 0.9 * len(head)


def dataset(table: pa.Table, origin: InputInfo, options: ScanOptions, skipped: tuple[SkippedRow, ...] = (), store: MemoryMappedStore | None = None) -> Dataset:
    """Decode images and infer roles and task; the last step of every table reader.

    Args:
        table: (N) every column.
        origin: identity of the input.
        options: column roles and task.
        skipped: rows that could not be read.
        store: memory-mapped store for the pixels of images; None for memory.

    Raises:
        InputError: no rows, no usable labels, or no readable image.
        UsageError: a column that does not exist.
    """
    location = origin.path
    table = table.rename_columns(unique_names(table.column_names))
    if table.num_rows == 0:
        return schema.dataset(table, origin, options)
    reserved = {str(options.label), str(options.id)} | set(schema.excluded_columns(table.column_names, options.exclude, location))
    name = image_column(table, options.image, location, reserved)
    if name is None:
        return schema.dataset(table, origin, options, skipped=skipped)
    schema.find_label(table.column_names, options.label, location)
    root = None
    column = table.column(name).combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    table = table.drop_columns([name])
    if is_encoded(column.type):
        decoded = images.from_bytes(column, location, store)
        paths_field = column.field("path") if pa.types.is_struct(column.type) and column.type.get_field_index("path") >= 0 else None
        paths = paths_field.cast(pa.string()) if paths_field is not None and paths_field.null_count < len(paths_field) else None
    else:
        paths = decode_column(pa.chunked_array([column]))
        root = os.path.abspath(image_root(paths, location, options.root))
        decoded = images.from_paths([path and os.path.join(root, path.strip()) for path in paths.to_pylist()], location, store)
    table = table.append_column("path", paths) if paths is not None and "path" not in table.column_names else table
    return schema.dataset(table, origin, options, decoded.pixels, paths, skipped + decoded.skipped, root)


def image_root(paths: pa.Array, location: str, root: str | None) -> str:
    """Choose the folder that image paths are relative to: `--root`, else the manifest's own, else the current one if only that fits.

    Raises:
        UsageError: the manifest is remote and there is no `--root`.
    """
    if root is not None:
        return root
    if is_remote(location):
        raise UsageError(f"{location}: names pictures that are not on this machine — expected them in a local folder — copy them and name it with --root DIR")
    folder = os.path.dirname(location) if location not in ("-", "memory") else ""
    first = next((path.strip() for path in pc.unique(paths).to_pylist() if path), "")
    return "." if os.path.exists(first) and not os.path.exists(os.path.join(folder, first)) else folder or "."
