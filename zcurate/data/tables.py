"""Convert the Arrow table of any reader to a `Dataset`: join parts, decode a column of images, infer roles and task."""

from __future__ import annotations

import dataclasses
import os

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.options import ScanOptions
from zcurate.config.units import format_size
from zcurate.data import image_formats, image_paths, images, schema
from zcurate.data.dataset import Dataset, ExcludedColumn, FileNotes, InputInfo
from zcurate.data.file_names import printable
from zcurate.data.layouts import is_odd, plain_bytes, plain_column, plain_type
from zcurate.data.limits import MemoryLimit
from zcurate.data.source import Source
from zcurate.data.values import decode_column
from zcurate.errors import InputError, UsageError, listed
from zcurate.runtime.store import MemoryMappedStore

MAX_TEXT_BYTES = 2**31 - 1
"""Text of a column in memory, at most: Arrow's offsets have 32 bits."""


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
    tables = [with_unique_names(table) for table in tables]
    tables = [with_partition(table, source.partition(name)) for table, name in zip(tables, names, strict=True)]
    if source.is_manifest:
        tables = [with_folder(table, os.path.relpath(os.path.dirname(name), source.path)) for table, name in zip(tables, names, strict=True)]
    if len(tables) == 1:
        return tables[0]
    schema = common_schema([table.schema for table in tables], names, loose)
    joined = pa.concat_tables([cast_table(table, schema) for table in tables], promote_options="permissive")
    return joined.replace_schema_metadata(tables[0].schema.metadata)


def with_partition(table: pa.Table, columns: dict[str, str | None]) -> pa.Table:
    """Append a text column for each partition column that the table does not contain itself."""
    for name, value in columns.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    return table


def with_folder(table: pa.Table, folder: str) -> pa.Table:
    """Make the file names of a manifest relative to the folder of pictures that it is in.

    Args:
        table: the manifest, with a column `file_name`.
        folder: the manifest's own folder, relative to that of the pictures.
    """
    position = table.schema.get_field_index("file_name")
    if folder == "." or position < 0:
        return table
    names = decode_column(table.column(position))
    return table.set_column(position, "file_name", pc.binary_join_element_wise(pa.scalar(printable(folder)), names, "/"))


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
    common: dict[str, pa.DataType] = {}
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
            before = common.setdefault(field.name, kind)
            if before == kind:
                continue
            pair = [pa.schema([pa.field(field.name, one)]) for one in (before, kind)]
            try:
                common[field.name] = pa.unify_schemas(pair, promote_options="permissive").field(0).type
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                expected = f"{before} as in {names[0] if number == 1 else 'the parts before'}"
                raise InputError(f"{name}: column '{field.name}' is {field.type} — expected {expected} — make the parts' columns agree") from error
    return pa.schema(list(common.items()))


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a dictionary's values, or any other type unchanged."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def cast_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast a table's columns to the types of a common schema.

    Args:
        table: the table.
        schema: from `common_schema`; may contain more columns.
    """
    columns = []
    for column, field in zip(table.columns, table.schema, strict=True):
        wanted = schema.field(field.name).type
        if field.type != wanted:
            column = (column.cast(field.type.value_type) if pa.types.is_dictionary(field.type) else column).cast(wanted)
        columns.append(column)
    return pa.table(columns, pa.schema([schema.field(field.name) for field in table.schema], table.schema.metadata))


def with_unique_names(table: pa.Table) -> pa.Table:
    """Make the column names of a table distinct; its metadata stay."""
    return table.rename_columns(unique_names(table.column_names)).replace_schema_metadata(table.schema.metadata)


def check_size(table: pa.Table, limit: MemoryLimit, location: str) -> None:
    """Refuse a table that takes more memory than there is once dictionaries and runs are decoded, or a column with more text than Arrow keeps in one array.

    Args:
        table: the input.
        limit: of the memory.
        location: the input, for messages.

    Raises:
        InputError: names the column, or the memory.
    """
    total = 0
    for name, column in zip(table.column_names, table.columns, strict=True):
        n_bytes = plain_bytes(column)
        if n_bytes > MAX_TEXT_BYTES and is_text(plain_type(column.type)):
            found = f"{location}: column '{name}' holds {format_size(n_bytes)} of text"
            raise InputError(f"{found} — expected at most {format_size(MAX_TEXT_BYTES)} in memory — read fewer rows, or a file without this column")
        total += n_bytes
    limit.check(total, location, f"{table.num_rows} rows")


def with_plain_layouts(table: pa.Table) -> pa.Table:
    """Replace the layouts of columns that Arrow has few functions for, see `layouts`."""
    if not any(is_odd(field.type) for field in table.schema):
        return table
    columns = [plain_column(column) for column in table.columns]
    return pa.table(columns, pa.schema([pa.field(name, column.type) for name, column in zip(table.column_names, columns, strict=True)], table.schema.metadata))


def unique_names(names: list[str]) -> list[str]:
    """Make column names distinct: an empty name becomes `column_N`, repeated names get `.1`, `.2`, ..."""
    unique: dict[str, None] = {}
    n_repeats: dict[str, int] = {}
    for position, name in enumerate(names):
        base = name.strip() or f"column_{position}"
        candidate = base
        while candidate in unique:
            n_repeats[base] = n_repeats.get(base, 0) + 1
            candidate = f"{base}.{n_repeats[base]}"
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
    if wanted is not None and wanted in web_image_columns(table, set()):
        raise UsageError(f"{location}: --image {wanted} holds web addresses — expected paths or encoded bytes — download the pictures and write their paths")
    for name in [wanted] if wanted is not None else [name for name in table.column_names if name not in reserved]:
        kind = table.column(name).type
        if is_encoded(kind) and (wanted is not None or has_encoded_images(table.column(name))):
            return name
        if is_text(kind) and (wanted is not None or image_paths.names_images(leading_texts(table.column(name)))):
            return name
    if wanted is not None:
        raise UsageError(f"{location}: --image {wanted} is of type {table.column(wanted).type} — expected paths or encoded bytes — name another")
    return None


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is a string of any layout or a dictionary of strings."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(value) or pa.types.is_large_string(value) or str(value) == "string_view"


def has_encoded_images(column: pa.ChunkedArray) -> bool:
    """Return whether any of the leading values begins like an image file, or lacks bytes and names one; other bytes are not images."""
    head = column.slice(0, 20).to_pylist()
    cells = [value if isinstance(value, dict) else {"bytes": value} for value in head if value is not None]
    if any(image_formats.begins_like_image(cell["bytes"][: image_formats.MAGIC_BYTES]) for cell in cells if cell["bytes"]):
        return True
    return image_paths.names_images([cell["path"] for cell in cells if not cell["bytes"] and isinstance(cell.get("path"), str)])


def leading_texts(column: pa.ChunkedArray) -> list[str]:
    """Return the leading values of a text column that are not null."""
    return decode_column(column.slice(0, 100)).drop_null().to_pylist()


def web_image_columns(table: pa.Table, reserved: set[str]) -> list[str]:
    """Return the columns that hold web addresses of pictures.

    Args:
        table: the input.
        reserved: label, id and excluded columns.
    """
    names = [name for name in table.column_names if name not in reserved and is_text(table.schema.field(name).type)]
    return [name for name in names if image_paths.names_web_images(leading_texts(table.column(name)))]


def dataset(table: pa.Table, origin: InputInfo, options: ScanOptions, notes: FileNotes | None = None, store: MemoryMappedStore | None = None) -> Dataset:
    """Decode images and infer roles and task; the last step of every table reader.

    Args:
        table: (N) every column.
        origin: identity of the input.
        options: column roles and task.
        notes: what the reader found.
        store: memory-mapped store for the pixels of images; None for memory.

    Raises:
        InputError: no rows, no usable labels, or no readable image.
        UsageError: a column that does not exist.
    """
    location = origin.path
    table = with_unique_names(table)
    check_size(table, MemoryLimit.of(options.memory), location)
    table = with_plain_layouts(table)
    if table.num_rows == 0:
        return schema.dataset(table, origin, options)
    reserved = {str(options.label), str(options.id)} | set(schema.excluded_columns(table.column_names, options.exclude, location))
    name = image_column(table, options.image, location, reserved)
    if name is None:
        return without_web_images(table, origin, options, notes, web_image_columns(table, reserved))
    schema.label_name(table.column_names, options, location)
    column = table.column(name).combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    table = table.drop_columns([name])
    paths, found = None, None
    if is_encoded(column.type):
        content = column.field("bytes") if pa.types.is_struct(column.type) else column
        if pa.types.is_struct(column.type) and column.type.get_field_index("path") >= 0:
            paths = decode_column(pa.chunked_array([column.field("path")]))
            paths = None if paths.null_count == len(paths) or not pa.types.is_string(paths.type) else paths
        without_bytes = pc.fill_null(pc.equal(pc.binary_length(content), 0), True)
        if paths is not None and pc.any(without_bytes).as_py():
            found = image_paths.find_files(pc.if_else(without_bytes, paths, pa.scalar(None, pa.string())).to_pylist(), location, options.root)
        decoded = images.from_column(content, None if found is None else found.files(), location, store)
        found = found if pc.all(without_bytes).as_py() else None
    else:
        paths = decode_column(pa.chunked_array([column]))
        found = image_paths.find_files(paths.to_pylist(), location, options.root)
        decoded = images.from_paths(found.files(), location, store)
    paths = paths if found is None else pa.array(found.paths, pa.string())
    root = None if found is None else os.path.abspath(found.root)
    table = table.append_column("path", paths) if paths is not None and "path" not in table.column_names else table
    unread = images.with_paths(decoded.skipped, paths)
    warnings = (*(() if found is None else found.warnings), *images.skipped_warning(unread, table.num_rows))
    notes = (notes or FileNotes()).joined(FileNotes(unread, warnings))
    data = schema.dataset(table, origin, options, decoded.pixels, paths, notes, root)
    return dataclasses.replace(data, decoding_bytes=decoded.decoding_bytes, originals=decoded.originals)


def without_web_images(table: pa.Table, origin: InputInfo, options: ScanOptions, notes: FileNotes | None, addresses: list[str]) -> Dataset:
    """Infer roles and task of a table without images; columns of web addresses of pictures are left out, with a warning.

    Args:
        table: (N) every column.
        origin: identity of the input.
        options: column roles and task.
        notes: what the reader found.
        addresses: columns that hold web addresses of pictures.

    Raises:
        InputError: no usable labels, or no column is left.
        UsageError: a column that does not exist.
    """
    if not addresses:
        return schema.dataset(table, origin, options, notes=notes)
    location = origin.path
    label = schema.need_roles(table.column_names, options, location)
    excluded = schema.excluded_columns(table.column_names, options.exclude, location)
    what = f"'{addresses[0]}' holds web addresses of pictures, which are not read"
    if not set(table.column_names) - {label, options.id, options.group, *excluded, *addresses}:
        raise InputError(f"{location}: column {what} — expected files — download the pictures and name their folder with --root DIR")
    data = schema.dataset(table, origin, dataclasses.replace(options, exclude=(*options.exclude, *addresses)), notes=notes)
    left_out = tuple(ExcludedColumn(out.name, "web addresses of pictures") if out.name in addresses else out for out in data.roles.left_out)
    note = f"column {what}: it is left out — download them to learn from the pictures, or say --exclude {addresses[0]}"
    return dataclasses.replace(data, roles=dataclasses.replace(data.roles, left_out=left_out), warnings=(*data.warnings, note))
