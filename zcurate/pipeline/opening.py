"""Open the input of a scan: read into memory, or streamed from its files into a memory-mapped store."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError
from zcurate.pipeline.checks import check_first
from zcurate.pipeline.plan import LARGE_ROWS
from zcurate.pipeline.resume import shared_facts
from zcurate.pipeline.storage_policy import preload_torch, too_large
from zcurate.runtime import environment, memory, startup
from zcurate.runtime.store import MemoryMappedStore, temporary_store
from zcurate.runtime.temporary_folder import delete_ownerless

if TYPE_CHECKING:
    from zcurate.data.dataset import Dataset
    from zcurate.data.preview import Preview
    from zcurate.data.row_arrays import RowArrays
    from zcurate.data.source import Source
    from zcurate.data.table import ResidentTable, StreamedTable
    from zcurate.report.atomic import OutputFile
    from zcurate.runtime.context import RunContext


def claim_output(data: Any, options: ScanOptions, stack: ExitStack) -> OutputFile | None:
    """Refuse an output that cannot or must not be written, and keep other processes from writing it until the scan is over.

    Args:
        data: as `inputs.locate_input` returns it.
        options: `output`.
        stack: gives the output free when the scan is over.

    Raises:
        UsageError: the output cannot be written, or another scan is about to write it.
    """
    from zcurate.data.source import Source
    from zcurate.report import atomic, storage

    # Of several processes only one writes, or all write a folder together.
    if options.output is None or environment.world_size() > 1:
        return None
    storage.check_output(options.output, data.path if isinstance(data, Source) else "memory", options)
    return stack.enter_context(atomic.claimed(options.output))


def with_earlier_label(options: ScanOptions) -> ScanOptions:
    """Take the label column of an earlier scan where new rows are judged by its model, or it is gone on from, and none is named.

    Args:
        options: `against`, `continue_from`, `label`, `annotators`.

    Raises:
        UsageError: the model of the earlier scan is not there.
    """
    report = options.against or options.continue_from
    if report is None or options.label is not None or options.annotators is not None:
        return options
    from zcurate.data.earlier import MODEL_ENDING, EarlierColumns

    return dataclasses.replace(options, label=EarlierColumns.read(report + MODEL_ENDING).label)


def open_table(
    data: Any, options: ScanOptions, run: RunContext, stack: ExitStack, arrays: RowArrays | None = None
) -> tuple[ResidentTable | StreamedTable, OutputFile | None, RunContext]:  # fmt: skip
    """Open the input, refuse what can be refused before training, and pass its warnings on.

    Args:
        data: as for `zcurate.scan`.
        options: every setting.
        run: progress, block sizes.
        stack: closes what was opened when the scan is over.
        arrays: features and probabilities passed in Python; None for none.

    Returns:
        The table; the claim on `output`, None where there is none or several processes write; and the context with the stores it needs.

    Raises:
        UsageError: an option, a column or the output path cannot be used.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    check_first(options)
    delete_ownerless()
    from zcurate.data.inputs import locate_input
    from zcurate.data.table import ResidentTable

    data = locate_input(data, options)
    output = claim_output(data, options, stack)
    # Pictures may be decoded for the preview.
    store = None if options.memory is None else stack.enter_context(temporary_store(sizes=run.block_sizes))
    large = too_large(data, options, run.progress, store)
    if large is None:
        return ResidentTable(open_dataset(data, options, run, arrays=arrays)), output, run
    source, preview = large.source, large.preview
    store = store or stack.enter_context(temporary_store(sizes=run.block_sizes))
    table: ResidentTable | StreamedTable
    if preview.data.pictures is None:
        table, run = open_streamed(source, preview, options, dataclasses.replace(run, store=store))
    else:
        known = preview.data if len(preview.data.given) == preview.data.n_rows else None
        table = ResidentTable(open_dataset(dataclasses.replace(source, store=store), options, run, known, arrays))
        run = dataclasses.replace(run, image_store=store)
    if large.note:
        run.progress.note(large.note)
    return table, output, run


def open_dataset(data: Any, options: ScanOptions, run: RunContext, known: Dataset | None = None, arrays: RowArrays | None = None) -> Dataset:
    """Read the input into memory.

    Args:
        data: as for `zcurate.scan`, or a `Source`.
        options: every setting.
        run: progress.
        known: the input, where it has been read.
        arrays: features and probabilities passed in Python; None for none.

    Raises:
        UsageError: an option, a column or the output path cannot be used.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    check_first(options)
    run.stage("reading")
    preload_torch(data, (options.label, options.id, options.group), run.owns_process)
    if known is None:
        from zcurate.data.inputs import read_input

        known = read_input(data, options, arrays)
    if known.n_rows >= LARGE_ROWS:
        # Arrow keeps what it parsed the text in, more than the table takes.
        memory.trim()
    if options.output is not None:
        from zcurate.report.storage import check_output

        check_output(options.output, known.origin.path, options, known)
    for text in known.warnings:
        run.progress.warn(text)
    return known


def open_streamed(source: Source, preview: Preview, options: ScanOptions, run: RunContext) -> tuple[StreamedTable, RunContext]:
    """Profile an input whose rows do not fit into memory, with the other processes where there are several.

    Args:
        source: the input.
        preview: of its beginning.
        options: every setting.
        run: progress, store of the rows.

    Raises:
        UsageError: an option, a column or the output path cannot be used.
        InputError: the data are unreadable, or have fewer than two classes.
    """
    from zcurate.data import profile
    from zcurate.data.readers import csv_stream
    from zcurate.report import parts, storage

    for flag, is_set in (("--resume", options.resume), ("--device cuda", options.device == "cuda"), ("--against", options.against is not None)):
        if is_set:
            raise UsageError(f"{flag}: rows that do not fit into memory are kept in files — expected a CPU and a scan from start to end — leave {flag} out")
    n_processes = environment.world_size()
    if options.output is not None:
        (storage.check_output if n_processes == 1 else parts.check_parts_output)(options.output, source.path, options, preview.data)
    if n_processes > 1:
        run.stage("loading torch")
        from zcurate.runtime import connection, device, process_group

        connection.connect(device.pick("cpu"), shared_facts(preview.data, options))
        run = dataclasses.replace(run, processes=process_group.ShardedGroup(device.pick("cpu")))
    run.stage("reading")
    startup.load_torch_in_background(run.owns_process)
    with source.unchanged(source.state()):
        if n_processes == 1 and source.is_delimited and not source.base:
            assert isinstance(run.store, MemoryMappedStore)  # crack: narrows types only
            source = csv_stream.cache_as_arrow(source, preview.data.roles.verbatim_columns(), run.store.folder)
        table = profile.profile_table(source, preview, options, run.processes if n_processes > 1 else None)
        profile.refuse_text(table.sample)
    for text in table.sample.warnings:
        run.progress.warn(text)
    return table, run
