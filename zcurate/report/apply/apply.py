"""Write a changed copy of the input of a report, in its own format. No torch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from zcurate.config.report_options import ApplyOptions
from zcurate.data.dataset import Dataset
from zcurate.data.delimited.layout import detect_layout
from zcurate.data.delimited.text import head_length
from zcurate.data.fingerprints import fingerprints
from zcurate.data.source import Source
from zcurate.errors import InputError, ReportError, UsageError
from zcurate.report.apply import columnar, json_rows, pictures
from zcurate.report.apply.change_log import LOG_ENDING, digest_of, hash_of, read_log, write_log
from zcurate.report.apply.changes import Changes, changes_of, matched
from zcurate.report.apply.delimited import rewritten, text_edits
from zcurate.report.apply.edits import Edit, edited, inverse
from zcurate.report.apply.working_text import WorkingText, compressed
from zcurate.report.atomic import check_place, guard, new_folder, refuse_inside, whole_file
from zcurate.report.decisions import Decision, Keys, find_rows
from zcurate.report.listing import read_again
from zcurate.report.locations import known_inputs
from zcurate.report.recut import cut_of, with_cut
from zcurate.report.report import Report


@dataclass(frozen=True)
class Applied:
    """What was, or would be, changed."""

    changes: Changes
    """Of the input's rows."""
    output: str | None
    """What was written; None for nothing."""
    log: str | None
    """The change log; None for none."""
    warnings: tuple[str, ...] = ()
    """What the person should know."""


def apply(report: Report, options: ApplyOptions, decisions: list[Decision] | None = None) -> Applied:
    """Write a changed copy of a report's input.

    Args:
        report: a scan's result, with all columns.
        options: of `zcurate apply`.
        decisions: of people; None for those in the report.

    Raises:
        ReportError: the input is missing, or not the one that was scanned.
        UsageError: the output cannot be written, or a decision does not fit.
        InputError: the input cannot be changed.
    """
    log = None if options.dry_run or options.output is None else check_places(report, options, options.output)
    found = None if decisions is None else find_rows(decisions, Keys.of(report), str(options.decisions or "decisions"))
    warnings = [] if found is None else found.warnings(str(options.decisions or "decisions"))
    changes = changes_of(with_cut(report, cut_of(options)), options, found)
    data, source = read_again(report, "apply", options.data, verbatim=True, same=not options.match, advice="go on with --match, which finds the rows again")
    # A copy in another format holds values instead of text.
    needs_types = log is not None and not same_format(str(options.output), source.path, source.format)
    has_types = source.format in ("parquet", "feather", "folder")
    typed = read_again(report, "apply", options.data, same=not options.match)[0] if options.match or (needs_types and not has_types) else data
    if options.match:
        changes, lost = matched(changes, prints_of(report), fingerprints(typed), typed.given.to_pylist())
        if lost:
            warnings.append(f"apply: {lost} rows that would change are not in the input any more, or twice — they are left as they are")
    if changes.unsuggested:
        warnings.append(f"apply: for {changes.unsuggested} rows no other label is suggested — they are left as they are — zcurate review decides them")
    if log is None:
        return Applied(changes, None, None, tuple(warnings))
    changes = with_free_names(changes, data.table.column_names)
    if options.copy or options.link:
        changes = dataclasses.replace(changes, added={})
    # Labels that are no column of the input, a consensus of annotators, become one.
    is_made = source.format != "folder" and data.roles.label not in data.table.column_names
    written = changes.as_column(data.roles.label, report) if is_made else changes
    edits, restored_digest = write_output(data, typed, source, written, options, warnings)
    write_log(log, options, source, changes, edits, restored_digest)
    return Applied(changes, options.output, log, tuple(warnings))


def check_places(report: Report, options: ApplyOptions, output: str) -> str:
    """Check that the copy and its change log may be written, before anything is read; return the path of the log.

    Args:
        report: whose input must not change.
        options: `data`, `decisions`, `force`.
        output: file or folder to write.

    Raises:
        UsageError: one is the input, or in its folder, the report or the decisions file; or they cannot be written.
    """
    log, inputs = output.rstrip("/") + LOG_ENDING, known_inputs(report, options.data)
    for path in (output, log):
        guard(path, [*inputs, *([report.path] if report.path else []), *([options.decisions] if options.decisions else [])])
        refuse_inside(path, inputs)
    check_free(output, log, options.force)
    check_place(log)
    return log


def check_free(output: str, log: str, force: bool) -> None:
    """Refuse to replace a file that `apply` did not write.

    Args:
        output: file to write.
        log: its change log.
        force: replace whatever is there.

    Raises:
        UsageError: there is another file.
    """
    if force or not os.path.isfile(output):
        return
    try:
        own = read_log(log)[0]["output_digest"] == digest_of(output)
    except InputError:
        own = False
    if not own:
        raise UsageError(f"{output}: exists, and apply did not write it like that — expected a new file — name another with -o, or replace it with --force")


def with_free_names(changes: Changes, taken: list[str]) -> Changes:
    """Rename added columns whose name the input has already."""
    added: dict[str, pa.Array] = {}
    for name, values in changes.added.items():
        unique = name
        while unique in taken:
            unique = f"{unique}_"
        added[unique] = values
    return dataclasses.replace(changes, added=added)


def prints_of(report: Report) -> pa.ChunkedArray:
    """Return the fingerprints of a report's rows.

    Raises:
        ReportError: it has none.
    """
    if "fingerprint" not in report.table.column_names:
        raise ReportError("apply --match: the report has no fingerprints, as it was written by an older version — expected schema version 2 — scan again")
    return report.table.column("fingerprint")


def write_output(data: Dataset, typed: Dataset, source: Source, changes: Changes, options: ApplyOptions, warnings: list[str]) -> tuple[list[Edit] | None, str]:
    """Write the changed copy; return the edits that take it back and the hash of what they restore, of a text; None for other formats.

    Args:
        data: the input, read again, text as written.
        typed: the same with the types of its values.
        source: its files.
        changes: of its rows.
        options: `output`, `copy`, `link`.
        warnings: more are added.
    """
    output = str(options.output)
    if data.paths is not None and source.format == "folder":
        write_pictures(data, changes, options)
        return None, ""
    if options.copy or options.link:
        raise UsageError(f"--{'copy' if options.copy else 'link'}: the input is no folder of pictures — expected one — leave it out")
    if source.format not in ("csv", "tsv", "jsonl", "parquet", "feather"):
        raise UsageError(
            f"apply: {source.format} files are not rewritten — expected a table or a folder of pictures — zcurate report --format csv lists what to change"
        )
    if len(source.files) > 1:
        write_parts(source, data, changes, output, warnings)
        return None, ""
    check_place(output)
    name = source.files[0] if source.files else None
    return write_file(source, name, data, changes, output, warnings, typed)


def write_pictures(data: Dataset, changes: Changes, options: ApplyOptions) -> None:
    """Write a manifest, or a new tree, of a folder of pictures."""
    assert data.paths is not None  # crack: narrows types only
    output, paths = str(options.output), data.paths.to_pylist()
    if options.copy or options.link:
        pictures.write_tree(paths, str(data.root), changes, output, options.link)
        return
    if not output.lower().endswith((".csv", ".jsonl", ".ndjson")):
        raise UsageError(f"{output}: expected a manifest ending in .csv or .jsonl — for a new folder of pictures add --copy or --link")
    with whole_file(output) as temporary, open(temporary, "wb") as file:
        file.write(pictures.manifest(paths, changes, output))


def write_parts(source: Source, data: Dataset, changes: Changes, output: str, warnings: list[str]) -> None:
    """Write a changed copy of each file of an input into a new folder, under its name."""
    root = os.path.commonpath([os.path.dirname(os.path.abspath(name)) for name in source.files])
    with new_folder(output) as folder:
        for name, part, of_part in parts_of(source, data, changes):
            target = os.path.join(folder, os.path.relpath(os.path.abspath(name), root))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            write_file(source, name, part, of_part, target, warnings)


def parts_of(source: Source, data: Dataset, changes: Changes) -> Iterator[tuple[str, Dataset, Changes]]:
    """Yield each file of an input with its rows and their changes."""
    begin = 0
    names = data.table.column_names
    for name in source.files:
        n_rows = rows_in(source, name, data.roles.label if data.roles.label in names else names[0])
        part = dataclasses.replace(data, table=data.table.slice(begin, n_rows), given=data.given.slice(begin, n_rows))
        yield name, part, changes.of_rows(begin, begin + n_rows)
        begin += n_rows


def rows_in(source: Source, name: str, label: str) -> int:
    """Count the rows of one file of an input."""
    from zcurate.config.options import ScanOptions
    from zcurate.data import readers

    single = dataclasses.replace(source, path=name, files=(name,), base="", verbatim=True)
    if source.format in ("parquet", "feather"):
        return int(columnar.read_table(name, source.format).num_rows)
    return readers.read(single, ScanOptions(label=label)).n_rows


def write_file(
    source: Source, name: str | None, data: Dataset, changes: Changes, output: str, warnings: list[str], typed: Dataset | None = None
) -> tuple[list[Edit] | None, str]:
    """Write the changed copy of one file; return the edits of a text that take it back, and the hash of what they restore."""
    label = data.roles.label
    is_same_format = same_format(output, name or source.path, source.format)
    if not is_same_format and output.lower().endswith((".parquet", ".pq")):
        write_arrow(columnar.change_table((typed or data).table, label, changes, output), output, "parquet", None)
        return None, ""
    if not is_same_format:
        raise UsageError(f"{output}: is not named as {source.format} — expected the format of the input, {source.format}, or .parquet")
    if source.format in ("parquet", "feather"):
        path = str(name)
        write_arrow(columnar.change_table(columnar.read_table(path, source.format), label, changes, path), output, source.format, path)
        return None, ""
    content = source.read(name)
    text = WorkingText.of(content, source, name or source.path)
    try:
        edits = edits_of(text.content, source, data, changes, name or source.path)
        new = text.back(edited(text.content, edits))
    except InputError as error:
        if source.format == "jsonl":
            raise
        warnings.append(f"{error} — the text is written anew: quotes, line ends and what stood around the table may differ")
        edits, new = None, rewritten(data.table, label, changes, "\t" if source.format == "tsv" else ",")
    with whole_file(output) as temporary, open(temporary, "wb") as file:
        file.write(compressed(new, output))
    return (None, "") if edits is None else (inverse(text.content, edits), hash_of(content))


def edits_of(content: bytes, source: Source, data: Dataset, changes: Changes, location: str) -> list[Edit]:
    """List the edits of one text file.

    Raises:
        InputError: it cannot be changed byte by byte.
    """
    label = data.roles.label
    if source.format == "jsonl":
        text = content.decode("utf-8", "surrogateescape")
        found = json_rows.json_edits(text, label, changes, location)
        return bytes_of(text, found)
    roles = data.roles
    layout = detect_layout(content[: head_length(content)], source.format, location, (label, roles.id, roles.group))
    if not changes.label and label not in layout.names:
        # Any column finds the rows where no label is replaced.
        label = next((name for name in layout.names if name in data.table.column_names), label)
    if label not in layout.names:
        raise InputError(f"{location}: the label is not a column of the file itself")
    as_read = data.table.column(label).to_pylist()
    return text_edits(content, layout, label, dataclasses.replace(changes, given=as_read), location)


def bytes_of(text: str, edits: list[tuple[int, int, str]]) -> list[Edit]:
    """Turn edits of characters into edits of the bytes of UTF-8."""
    out, character, byte = list[Edit](), 0, 0

    def at(place: int) -> int:
        nonlocal character, byte
        byte += len(text[character:place].encode("utf-8", "surrogateescape"))
        character = place
        return byte

    for begin, end, new in edits:
        first = at(begin)
        out.append((first, at(end), new.encode("utf-8", "surrogateescape")))
    return out


def same_format(output: str, name: str, kind: str) -> bool:
    """Tell whether a file name has an ending of the input's format, but for its compression."""
    from zcurate.data import discovery

    return discovery.format_of(output) == kind or os.path.splitext(output)[1].lower() == os.path.splitext(name)[1].lower()


def write_arrow(table: pa.Table, output: str, kind: str, original: str | None) -> None:
    """Write an Arrow table in a format, atomically."""
    import pyarrow.parquet as pq

    with whole_file(output) as temporary:
        if original is None:
            pq.write_table(table, temporary)
        else:
            columnar.write_table(table, temporary, kind, original)


def describe(applied: Applied) -> list[str]:
    """Say in words what was changed, with the first rows."""
    changes = applied.changes
    n_drop, n_label = int(changes.drop.sum()), len(changes.label)
    verb = "would be" if applied.output is None else "were"
    lines = [
        f"{n_drop} of {changes.n_rows} rows {verb} dropped, {n_label} relabeled" + (f", columns added: {', '.join(changes.added)}" if changes.added else "")
    ]
    for entry in changes.entries()[:10] if applied.output is None else ():
        what = "drop" if entry["action"] == "drop" else f"{entry['old']} → {entry['new']}"
        lines.append(f"  row {entry['row']}: {what} ({entry['why']})")
    if applied.output is None and n_drop + n_label > 10:
        lines.append(f"  ... and {n_drop + n_label - 10} more")
    return lines
