"""The whole flow in one readable function: read, encode, train and record, judge, report.

The room is not called `scan` because importing it would put a module in the place of the function `zcurate.scan`.
Heavy rooms are imported when they are needed, so that bad input is refused in the first second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from zcurate.config import units
from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError
from zcurate.pipeline.checks import NO_MEDIANS, check_first, check_process_group, data_warnings, max_p_incorrect, too_short_reason
from zcurate.pipeline.resume import checkpoint_for, fingerprint, finished_report
from zcurate.pipeline.storage_policy import preload_torch, too_large
from zcurate.runtime import environment, memory, startup
from zcurate.runtime.process_group import leave_if_worker
from zcurate.runtime.progress import Progress, Stopwatch

if TYPE_CHECKING:
    import numpy as np

    from zcurate.config.model_config import Plan
    from zcurate.data.dataset import Dataset
    from zcurate.data.preview import Preview
    from zcurate.data.source import Source
    from zcurate.evidence.evidence import Evidence
    from zcurate.judge.judge import Verdicts
    from zcurate.judge.thresholds import Cut
    from zcurate.report.report import Report
    from zcurate.runtime.store import MemoryMappedStore
    from zcurate.training.auxiliary.tree_worker import TreeWorker
    from zcurate.training.checkpoint import Checkpoint


LARGE_REPORT = 262_144
"""Rows from which a report is written chunk by chunk as it is made."""


def run(data: Any, options: ScanOptions, progress: Progress, command: str | None, brief: bool = False) -> Report:
    """`scan` with its options made: open, examine, save; piece by piece where the memory would not do.

    Args:
        data: as for `scan`.
        options: every setting.
        progress: told of progress.
        command: what the user typed.
        brief: of a large report that is written return only a glance, which is what the closing words need.
    """
    from zcurate.runtime.store import temporary_store

    clock = Stopwatch(progress)
    with contextlib.ExitStack() as until:
        # Pictures may be decoded for the first look.
        room = None if options.memory is None else until.enter_context(temporary_store())
        large = too_large(data, options, progress, room)
        if large is None:
            return in_memory(open_dataset(data, options, clock, ours=command is not None), options, clock, command, brief)
        where, seen = large
        if seen.data.pictures is None:
            return in_pieces(where, seen, options, clock, command, brief, room or until.enter_context(temporary_store()))
        where = where if room else dataclasses.replace(where, store=until.enter_context(temporary_store()))
        whole = seen.data if len(seen.data.given) == seen.data.n_rows else None
        return in_memory(open_dataset(where, options, clock, whole, command is not None), options, clock, command, brief, where.store)


def in_memory(dataset: Dataset, options: ScanOptions, clock: Stopwatch, command: str | None, brief: bool, room: MemoryMappedStore | None = None) -> Report:
    """Examine what was opened, unless that is done already, and save the report.

    Args:
        dataset: N rows.
        options: every setting.
        clock: takes the time; its watch is told.
        command: what the user typed.
        brief: of a large report return only a glance.
        room: takes the pixels of pictures; None for memory.
    """
    if options.resume and not dataset.origin.digest:
        raise UsageError("scan: resume = True with data in memory — expected a path: only a file's content can be told from another's — save the data first")
    if options.resume and options.output is not None and (before := finished_report(dataset, options)) is not None:
        clock.progress.warn(f"--resume: {options.output} is the finished report of this scan — nothing was done")
        return before
    found = examine(dataset, options, clock, command, room, last=command is not None)
    if options.output is None:
        return found.report
    from zcurate.report import atomic, storage, writer

    if not found.whole or dataset.n_rows < LARGE_REPORT:
        found.report.save(options.output)
        result = found.report
    else:
        with atomic.whole_file(options.output) as temporary:
            writer.write_resident(temporary, dataset, found.evidence, found.verdicts, found.card, found.decided, found.target)
        result = storage.load_summary(options.output) if brief else storage.load(options.output)
    if found.checkpoint is not None and not found.card["partial"]:
        found.checkpoint.clear()
    return result


def in_pieces(where: Source, seen: Preview, options: ScanOptions, clock: Stopwatch, command: str | None, brief: bool, files: MemoryMappedStore) -> Report:
    """A scan whose rows never lie in memory all at once: surveyed, stored in files in a random order, learned, judged and written piece by piece.

    Args:
        where: the input.
        seen: its beginning.
        options: every setting.
        clock: takes the time; its watch is told.
        command: what the user typed.
        brief: return only a glance.
        files: takes the rows and all that is seen of them.

    Raises:
        UsageError: an option, a column or a place to write cannot be used.
        InputError: the data are unreadable, or have fewer than two classes.
    """
    import pyarrow as pa

    from zcurate.data import partitions, profile
    from zcurate.data.readers import csv_stream
    from zcurate.pipeline.plan import make_plan
    from zcurate.report import atomic, parts, report, storage
    from zcurate.report.run_card import pool_cards

    progress = clock.progress
    for asked, unable in (("--resume", options.resume), ("--device cuda", options.device == "cuda")):
        if unable:
            raise UsageError(f"{asked}: rows that do not fit into memory are kept in files — expected a CPU and a scan from start to end — leave {asked} out")
    n_processes = environment.world_size()
    if options.output is not None:
        (storage.check_output if n_processes == 1 else parts.check_parts_output)(options.output, where.path, options.force)
    others: Any = None
    if n_processes > 1:
        clock.stage("loading torch")
        from zcurate.runtime import device, memory, process_group

        others = process_group.join_sharded(device.pick("cpu"))
    clock.stage("reading")
    startup.load_torch_in_background(command is not None)
    if n_processes == 1 and where.format in ("csv", "tsv") and not where.base:
        where = csv_stream.cache_as_arrow(where, seen.data.roles.verbatim_columns(), files.folder)
    found = profile.profile_table(where, seen, options, others)
    for text in found.data.warnings:
        progress.warn(text)
    what = make_plan(options, found.data)
    # Trees and naive Bayes learn from all rows at once.
    what = dataclasses.replace(what, spec=dataclasses.replace(what.spec, ensemble=()))
    clock.stage("loading torch")
    startup.load_torch(command is not None)
    from zcurate.encoding import shuffle
    from zcurate.judge import blocks
    from zcurate.report import run_card, writer
    from zcurate.runtime import device, memory, process_group
    from zcurate.runtime.progress import Timings
    from zcurate.training import rounds
    from zcurate.training.detectors import WITNESSES, neighbors
    from zcurate.training.models import builder

    place = device.pick("cpu")
    threads = device.use_threads()
    processes = others or process_group.SingleProcess()
    if n_processes > 1 and what.spec.z.z_scale == "mad":
        raise UsageError(NO_MEDIANS)
    memory.trim()
    clock.stage("encoding")
    encoded = shuffle.encode_shuffled(found, what.spec, files, place)
    memory.trim()
    clock.stage("training")
    limit, timings, clues = units.parse_duration(options.time_limit), Timings(), what.spec.judged_by
    observer = neighbors.representation_observer(clues)
    model = builder(what.spec.name)
    with memory.keep_freed_blocks():
        evidence, cut_short = rounds.train(
            encoded,
            what.spec,
            model,
            what.packed,
            what.n_epochs,
            options.seed,
            progress,
            limit,
            observer,
            timings,
            None,
            processes,
            None if command is None else no_background,
        )
    clock.stage("judging")
    memory.trim()
    extra: dict[str, np.ndarray] = {}
    for witness in what.spec.witnesses:
        with timings(witness):
            extra |= WITNESSES.load(witness)(encoded)
        files.release()
    short = too_short_reason(len(evidence.rounds[0].error), cut_short)
    judged = blocks.judge_by_blocks(evidence, extra, files, cut_from(options), clues, short, timings, processes, command is not None)
    card = run_card.build_run_card(found.data, options, what, judged.evidence, judged.of_first, encoded.row, device.describe(place), command, cut_short)
    card = run_card.exact_counts(card, judged, evidence, files)
    for text in data_warnings(found.data, clues, card):
        progress.warn(text)
    card |= {"dtype": str(encoded.dtype).removeprefix("torch."), "threads": threads, "processes": n_processes, "seconds": clock.seconds()}
    card["costs"] = {name: round(spent, 3) for name, spent in timings.seconds.items()}
    if n_processes > 1:
        cards, n_rows = zip(*processes.gathered((card, found.n_local_rows)), strict=True)
        card = processes.gathered(pool_cards(list(cards), list(n_rows)))[0]
    clock.stage("writing")
    memory.trim()
    path = os.path.join(files.folder, "report.parquet") if options.output is None else options.output
    told = (found, encoded.row, evidence, extra, judged, card, what.spec.decision, encoded.target, files, processes)
    if n_processes == 1:
        with atomic.whole_file(path) as temporary:
            writer.write_streamed(lambda number, of: temporary, *told)
    else:
        with parts.written_by_all(path, processes) as folder:
            writer.write_streamed(lambda number, of: os.path.join(folder, partitions.part_name(number, of)), *told)
    memory.trim()
    if environment.rank() != 0:
        result = report.Report(pa.table({}), card)
    else:
        result = storage.load_summary(path) if brief and options.output is not None else storage.load(path)
    processes.leave()
    return result


@dataclass(frozen=True)
class Scanned:
    """A data set once scanned, and all that its report is made from."""

    dataset: Dataset
    """N input rows."""
    evidence: Evidence
    """All that was seen of the M encoded rows."""
    row: np.ndarray
    """(M,) int64, position in the input of each encoded row."""
    verdicts: Verdicts
    """Of the M encoded rows."""
    card: dict[str, Any]
    """The run card."""
    decided: np.ndarray
    """(M,) predicted class, or standardised target."""
    target: Any
    """Regression's `TargetScale`, or None."""
    checkpoint: Checkpoint | None = None
    """What the scan kept on the way; None where it kept nothing."""

    @property
    def whole(self) -> bool:
        """Every input row is encoded, and they stand in the input's order."""
        import numpy

        return numpy.array_equal(self.row, numpy.arange(self.dataset.n_rows)) and self.dataset.pictures is None

    @cached_property
    def report(self) -> Report:
        """One row per input row."""
        from zcurate.report import build

        return build.build_report(self.dataset, self.row, self.evidence, self.verdicts, self.card, self.decided, self.target)


def open_dataset(data: Any, options: ScanOptions, clock: Stopwatch, known: Dataset | None = None, ours: bool = False) -> Dataset:
    """The input as read, everything that can be refused before training refused, its warnings said.

    Args:
        data: as for `scan`, or a `Source`.
        options: every setting.
        clock: takes the time; its watch is told.
        known: the input, where it has been read.
        ours: as for `lean.load_torch`.

    Raises:
        UsageError: an option, a column or the output path cannot be used.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    from zcurate.pipeline.plan import LARGE_ROWS

    check_first(options)
    clock.stage("reading")
    preload_torch(data, (options.label, options.id, options.group), ours)
    from zcurate.data.inputs import read_input

    dataset = known or read_input(data, options)
    if dataset.n_rows >= LARGE_ROWS:
        # Arrow keeps for later what it parsed the text in, more than the table takes.
        memory.trim()
    if options.output is not None:
        from zcurate.report.storage import check_output

        check_output(options.output, dataset.origin.path, options.force)
    for text in dataset.warnings:
        clock.progress.warn(text)
    return dataset


def examine(
    dataset: Dataset, options: ScanOptions, clock: Stopwatch, command: str | None, room: MemoryMappedStore | None = None, last: bool = False
) -> Scanned:
    """Train on a data set in memory and judge every row.

    Args:
        dataset: N rows.
        options: every setting; nothing is read or written here.
        clock: takes the time; its watch is told.
        command: what the user typed.
        room: takes the pixels of pictures; None for memory.
        last: the program does nothing after this but write the report: of several processes, all but the first may leave when members have trained.

    Raises:
        UsageError: the model does not fit the data, or the device is not there.
        Over: `last`, and this process's part is over.
    """
    from zcurate.pipeline.plan import make_plan
    from zcurate.training.auxiliary import tree_worker

    what = make_plan(options, dataset)
    # Their process loads its libraries while torch is loaded here.
    with tree_worker.TreeWorker(what.spec.ensemble) as grove:
        return learned(dataset, options, what, grove, clock, command, room, last)


def learned(
    dataset: Dataset, options: ScanOptions, what: Plan, grove: TreeWorker, clock: Stopwatch, command: str | None, room: MemoryMappedStore | None, last: bool
) -> Scanned:
    """`examine` once it is known what is trained: one readable page; arguments as there.

    Args:
        dataset: as there.
        options: as there.
        what: will be trained.
        grove: where trees grow.
        clock: as there.
        command: as there.
        room: as there.
        last: as there.
    """
    from zcurate.pipeline.plan import LARGE_ROWS

    progress = clock.progress
    clock.stage("loading torch")
    startup.load_torch(command is not None)
    from zcurate.encoding import encoder
    from zcurate.judge import judge, thresholds
    from zcurate.report import run_card
    from zcurate.runtime import device, memory, process_group
    from zcurate.runtime import threads as threads_module
    from zcurate.runtime.progress import Timings
    from zcurate.training import members, rounds
    from zcurate.training.auxiliary import background, blend
    from zcurate.training.detectors import neighbors
    from zcurate.training.models import builder

    place = device.pick(options.device)
    threads = device.use_threads()
    processes = process_group.SingleProcess()
    if environment.world_size() > 1:
        check_process_group(environment.world_size(), options, what)
        if members.trains_one_by_one(what.spec, place):
            processes = process_group.join_group(place, what.spec.folds)
        else:
            alone = "the first" if last else "every"
            progress.warn(f"torchrun: {dataset.n_rows} rows make steps too small to share out: {alone} process does the whole scan")
            leave_if_worker(last)
    clock.stage("encoding")
    encoded = encoder.encode(dataset, what.spec, place, room)
    clock.stage("training")
    limit = units.parse_duration(options.time_limit)
    timings = Timings()
    model = builder(what.spec.name)
    marks = fingerprint(dataset, options, what)
    kept = checkpoint_for(options, what, encoded.n_rows, marks, progress)
    # Inputs are looked at, and other models learn, while members do: those of small tables leave a core free. One thread waits for the trees;
    # where there are but two cores the other's turn comes after that, as three at work would keep the members waiting.
    with memory.keep_freed_blocks(), threads_module.background_executor(2 if grove.child and threads > 2 else 1) as start:
        asked = start(background.auxiliary_predictions, grove, encoded, what.spec.ensemble, options.seed, limit, timings)
        looks: list[Any] = []
        look = partial(background.start_detectors, looks, start, encoded, what.spec.witnesses, timings)
        if command is None:
            look()
        evidence, cut_short = rounds.train(
            encoded,
            what.spec,
            model,
            what.packed,
            what.n_epochs,
            options.seed,
            progress,
            limit,
            neighbors.representation_observer(what.spec.judged_by),
            timings,
            kept,
            processes,
            None if command is None else look,
        )
        said = asked.result()
    row, target, dtype = encoded.row, encoded.target, str(encoded.dtype).removeprefix("torch.")
    looked_at = [each.result() for each in looks]
    # What the members saw is needed no more; the judge wants the room.
    del encoded, looks, look, asked
    epochs = [len(one.error) for one in evidence.rounds]
    if cut_short:
        progress.warn(f"--time-limit: training was cut short, {epochs[0]} of {what.n_epochs} epochs in the first round — probabilities are less sure")
    processes.leave()
    leave_if_worker(last)
    clock.stage("judging")
    if dataset.n_rows >= LARGE_ROWS:
        memory.trim()
    for columns in looked_at:
        evidence = evidence.with_columns(columns)
    if grove.trouble:
        progress.warn(f"no trees beside the members: {grove.trouble} — the verdicts are less sure")
    evidence = judge.select_rounds(evidence)
    with timings("blend"):
        evidence, weights = blend.blend(evidence, said)
    verdicts = judge.judge(evidence, cut_from(options), what.spec.judged_by, too_short_reason(epochs[0], cut_short), timings)
    if options.precision is not None and verdicts.threshold >= 1:
        progress.warn(
            f"--precision {options.precision:g}: out of reach — the surest row is wrong with p {max_p_incorrect(verdicts):.4f} — no row is called incorrect"
        )
    decided = thresholds.predicted_labels(evidence, what.spec.decision)
    card = run_card.build_run_card(dataset, options, what, evidence, verdicts, row, device.describe(place), command, cut_short)
    for text in data_warnings(dataset, what.spec.judged_by, card):
        progress.warn(text)
    card["model"]["n_epochs"] = epochs
    card["print"], card["dtype"] = marks, dtype
    card["heldout"] = {name: round(weight, 3) for name, weight in weights.items()}
    card["threads"], card["processes"] = threads, processes.size * processes.n_member_groups
    card["seconds"] = clock.seconds()
    card["costs"] = {name: round(spent, 3) for name, spent in timings.seconds.items()}
    if dataset.n_rows >= LARGE_ROWS:
        memory.trim()
    return Scanned(dataset, evidence, row, verdicts, card, decided, target, kept)


def no_background() -> None:
    """Nothing is to begin."""


def cut_from(options: ScanOptions) -> Cut:
    """The judge's cut from the three options that set it."""
    from zcurate.judge.thresholds import Cut

    return Cut(options.threshold, options.precision, options.budget)
