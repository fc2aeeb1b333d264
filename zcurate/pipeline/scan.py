"""The scan: read, encode, train, judge and write one report.

Heavy modules are imported where they are needed, so that bad input is refused in the first second.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from zcurate.config.options import ScanOptions
from zcurate.config.units import parse_duration
from zcurate.errors import UsageError
from zcurate.pipeline.checks import (
    MIN_COPIES,
    NO_MEDIANS,
    check_process_group,
    data_warnings,
    doubtful_noise,
    ignored_without_model,
    max_p_incorrect,
    too_short_reason,
    warn_in_card,
    without_effect,
)
from zcurate.pipeline.opening import open_table, with_earlier_label
from zcurate.pipeline.plan import LARGE_ROWS, make_plan
from zcurate.pipeline.resume import (
    check_kept,
    check_scan,
    checkpoint_for,
    clear_checkpoint,
    fingerprint,
    finished_report,
    has_kept,
    kept_model_for,
    shared_facts,
)
from zcurate.pipeline.second_look import columns_that_suffice, look_without_leaks, second_look_text
from zcurate.runtime import environment, memory, startup
from zcurate.runtime.process_group import leave_if_worker
from zcurate.runtime.store import temporary_store

if TYPE_CHECKING:
    import numpy as np

    from zcurate.config.model_config import Plan
    from zcurate.data.dataset import Dataset
    from zcurate.data.row_arrays import RowArrays
    from zcurate.data.table import ResidentTable, StreamedTable
    from zcurate.encoding.encoded import EncodedRows
    from zcurate.evidence.evidence import Evidence
    from zcurate.evidence.heldout import AuxiliaryPredictions
    from zcurate.judge.blocks import Judged
    from zcurate.pipeline.gathered import Gathered
    from zcurate.report.atomic import OutputFile
    from zcurate.report.report import Report
    from zcurate.report.writer import ScanResult
    from zcurate.runtime.context import RunContext
    from zcurate.training.auxiliary.tree_worker import TreeWorker
    from zcurate.training.checkpoint import Checkpoint
    from zcurate.training.kept_model import KeptModel


def run_scan(data: Any, options: ScanOptions, run: RunContext, summary_only: bool = False, arrays: RowArrays | None = None) -> Report:
    """Read, encode, train, judge and write one report.

    Args:
        data: as for `zcurate.scan`.
        options: every setting.
        run: progress, and what the process may do.
        arrays: features and probabilities passed in Python; None for none.
        summary_only: of a large report that is written, return only its summary.

    Returns:
        The report; in worker ranks of several processes it has no rows.

    Raises:
        UsageError: a setting, a column or the output path cannot be used.
        InputError: the data are missing, unreadable, or have fewer than two classes.
        WorkerDone: this worker rank is no longer needed.
    """
    options.check()
    check_kept(options)
    options = with_earlier_label(options)
    run = dataclasses.replace(run, seed=options.seed, time_limit=parse_duration(options.time_limit), download=options.download)
    with ExitStack() as stack:
        table, output, run = open_table(data, options, run, stack, arrays)
        if options.resume and not table.sample.origin.digest:
            raise UsageError("scan: resume = True with data in memory — expected a path: the content of a file identifies it — save the data first")
        if options.resume and options.output is not None and has_kept(options) and (finished := finished_report(table.sample, options)) is not None:
            run.progress.warn(f"--resume: {options.output} is the finished report of this scan — nothing was done")
            clear_checkpoint(options)
            return finished
        result, run, checkpoint = examine(table, options, run)
        report = save_report(result, options, output, run, summary_only)
        if checkpoint is not None and not result.card["partial"]:
            checkpoint.clear()
        if not run.store.resident:
            run.processes.leave()
        return report


def examine(table: ResidentTable | StreamedTable, options: ScanOptions, run: RunContext) -> tuple[ScanResult, RunContext, Checkpoint | None]:
    """Gather evidence about a table and judge every row; nothing is read or written but checkpoints.

    Args:
        table: the input.
        options: every setting.
        run: progress, stores, processes.

    Returns:
        The result, the context it was made with, and the checkpoint that it left.

    Raises:
        UsageError: the model does not fit the data, or the device is not available.
        WorkerDone: this worker rank is no longer needed.
    """
    from zcurate.data.table import ResidentTable
    from zcurate.encoding.targets import class_codes
    from zcurate.pipeline.decided import with_decisions
    from zcurate.pipeline.gathered import take_probabilities
    from zcurate.report.writer import ScanResult
    from zcurate.training.auxiliary import tree_worker

    if options.against is not None:
        return examine_against(table, options, run), run, None
    plan = make_plan(options, table.sample, run.store.resident)
    trained, decisions = with_decisions(table, options, run)
    run = dataclasses.replace(run, features_file=features_file(options))
    # The worker process loads its libraries while torch is loaded here.
    with tree_worker.TreeWorker(() if options.continue_from is not None else plan.spec.ensemble) as trees:
        run = start_torch(table, options, plan, run)
        found = learn(trained, options, plan, run, trees) if plan.spec.is_trained else take_probabilities(trained.sample)
        if decisions is not None and plan.spec.is_trained and found.target is None:
            found = dataclasses.replace(found, evidence=dataclasses.replace(found.evidence, as_found=class_codes(table.sample)[found.row]))
        if run.store.resident:
            run.processes.leave()
            leave_if_worker(run.ends_process)
        judged = judge_rows(found, plan, options, run)
        judged, found, of_annotators = with_annotators(table.sample, judged, found, options)
        card = describe_scan(table, options, plan, judged, found, run)
        card |= of_annotators
        look_again(table.sample, card, plan, run)
        without_trees = f"tree models failed ({trees.failure}); verdicts rely on the neural ensemble alone"
        ignored = without_effect(plan.spec, options) if plan.spec.is_trained else ignored_without_model(options)
        warn_in_card(card, [*found.warnings, *ignored], run.progress)
        warn_in_card(card, [without_trees] if trees.failure else [], run.progress)
        card |= {"print": found.fingerprint} if found.fingerprint is not None and run.store.resident else {}
    if found.findings is not None and isinstance(table, ResidentTable):
        table = ResidentTable(dataclasses.replace(table.sample, findings=found.findings))
    return ScanResult(table, found.row, found.evidence, found.columns, judged, card, found.target, plan, decisions), run, found.checkpoint


def examine_against(table: ResidentTable | StreamedTable, options: ScanOptions, run: RunContext) -> ScanResult:
    """Judge the rows of a table by the model that an earlier scan kept.

    Args:
        table: the new rows.
        options: every setting.
        run: progress.

    Raises:
        UsageError: as for `against.predict_new_rows`.
    """
    from zcurate.judge.blocks import JudgeRequest, judge_by_blocks
    from zcurate.judge.thresholds import Cut
    from zcurate.pipeline.against import predict_new_rows
    from zcurate.report.writer import ScanResult
    from zcurate.runtime import device

    run.stage("loading torch")
    startup.load_torch(run.owns_process)
    run = dataclasses.replace(run, device=device.pick(options.device), n_threads=device.use_threads(), features_file=features_file(options))
    new = predict_new_rows(table, options, run)
    run.stage("judging")
    cut = Cut(options.threshold, options.precision, options.budget)
    judged = new.of_new(judge_by_blocks(JudgeRequest(new.both, new.outlying, {}, Cut(), new.plan.spec.judged_by), run), cut)
    card = describe_scan(table, options, new.plan, judged, new.found, run) | {"drift": new.drift}
    warn_in_card(card, list(new.found.warnings), run.progress)
    found = new.found
    return ScanResult(table, found.row, found.evidence, found.columns, judged, card, found.target, new.plan, None)


def with_annotators(data: Dataset, judged: Judged, found: Gathered, options: ScanOptions) -> tuple[Judged, Gathered, dict[str, Any]]:
    """Let the verdicts learn from the labels of several annotators; nothing changes where there are none.

    Args:
        data: all rows.
        judged: verdicts by the models.
        found: evidence about each row.
        options: the cut.

    Returns:
        Verdicts, evidence with the columns about annotators, and their part of the run card.
    """
    if data.annotations is None:
        return judged, found, {}
    from zcurate.judge import annotators
    from zcurate.judge.thresholds import Cut

    votes, label = data.votes()[found.row], found.evidence.y
    consensus = annotators.find_consensus(judged.evidence.heldout, votes, label)
    verdicts, columns = (
        annotators.with_votes(judged.verdicts, consensus, label, Cut(options.threshold, options.precision, options.budget)),
        annotators.columns_of(consensus, votes, label),
    )
    judged = dataclasses.replace(judged, verdicts=verdicts, first=verdicts, evidence=judged.evidence.with_columns(columns))
    table = annotators.annotator_table(data.annotations.annotators, consensus)
    card = {"annotators": {"annotators": table, "model_power": consensus.power, "want_label": int(columns["wants_label"].sum())}}
    return judged, dataclasses.replace(found, evidence=found.evidence.with_columns(columns)), card


def learn(table: ResidentTable | StreamedTable, options: ScanOptions, plan: Plan, run: RunContext, trees: TreeWorker) -> Gathered:
    """Encode a table and train on it.

    Args:
        table: the input.
        options: every setting.
        plan: what is trained.
        run: progress, stores, processes.
        trees: worker process for tree models.
    """
    from zcurate.data.earlier import EarlierColumns
    from zcurate.data.table import StreamedTable
    from zcurate.encoding.encoder import encode, encode_resident
    from zcurate.evidence.heldout import AuxiliaryPredictions
    from zcurate.pipeline.decided import with_row_marks
    from zcurate.pipeline.gathered import Gathered, find_in_pictures

    run.stage("encoding")
    rows, fitted = (encode(table, plan.spec, run), None) if isinstance(table, StreamedTable) else encode_resident(table.sample, plan.spec, run)
    rows = with_row_marks(rows, table.sample)
    if not run.store.resident:
        memory.trim()
    run.stage("training")
    scan_fingerprint = fingerprint(table.sample, options, plan)
    checkpoint = checkpoint_for(options, plan, rows.n_rows, scan_fingerprint, run)
    kept = kept_model_for(options, table.sample, scan_fingerprint, run)
    if kept is not None and kept.goes_on:
        check_scan(kept, str(options.continue_from), run)
        kept.check_rows(rows)
        rows = kept.with_kept_scale(rows)
    evidence, columns, auxiliary, cut_short = train_members(rows, plan, run, checkpoint, trees, kept)
    if kept is not None and not kept.goes_on:
        kept.keep_rows(rows, auxiliary, len(evidence.rounds), cut_short)
        if fitted is not None and not kept.parts.has_warned:
            kept.keep_encoding(rows, fitted, plan)
            EarlierColumns.of(table.sample).write(kept.parts.folder, run.progress.warn)
    if table.sample.probabilities is not None:
        p = table.sample.probabilities[rows.row]
        auxiliary["probabilities"] = AuxiliaryPredictions(p, p[:0])
    n_copies = 0 if rows.copies is None else rows.copies.n
    is_worth_saying = rows.copies is not None and n_copies >= MIN_COPIES * table.sample.n_rows
    return Gathered(
        row=rows.row,
        evidence=evidence,
        columns=columns,
        auxiliary=auxiliary,
        target=rows.target,
        n_copies=n_copies,
        dtype=str(rows.dtype).removeprefix("torch."),
        cut_short=cut_short,
        checkpoint=checkpoint,
        fingerprint=scan_fingerprint,
        findings=find_in_pictures(table.sample, rows),
        warnings=(rows.copies.text(),) if rows.copies is not None and is_worth_saying else (),
    )


def features_file(options: ScanOptions) -> str | None:
    """Return the file beside a local report in which the features of its pictures are kept: the scan's own, or the one it goes on from; None without one."""
    from zcurate.data import remote
    from zcurate.encoding.kept_features import ENDING

    report = options.continue_from or options.output
    return None if report is None or remote.is_remote(report) else f"{report}{ENDING}"


def look_again(data: Dataset, card: dict[str, Any], plan: Plan, run: RunContext) -> None:
    """Say what is found without the columns that give the label away, and add it to the run card; nothing where there are none.

    Args:
        data: all rows, or a sample.
        card: run card.
        plan: what was trained.
        run: seed, progress.
    """
    leaks = data.leaks or (columns_that_suffice(data, card["skill"]["value"]) if card["judged"] else ())
    if not leaks:
        return
    warn_in_card(card, [] if data.leaks else [leak.text() for leak in leaks], run.progress)
    data = dataclasses.replace(data, leaks=leaks)
    found = look_without_leaks(data, plan.spec, run)
    card["leaks"] = {"columns": [list(leak.columns) for leak in leaks], **found}
    warn_in_card(card, second_look_text(data, found, card), run.progress)


def start_torch(table: ResidentTable | StreamedTable, options: ScanOptions, plan: Plan, run: RunContext) -> RunContext:
    """Load torch, pick the device and join the other processes.

    Args:
        table: the input.
        options: `device`.
        plan: what will be trained.
        run: what the process may do.

    Raises:
        UsageError: the device is not available, or several processes do not support a setting.
        WorkerDone: this worker rank is not needed.
    """
    run.stage("loading torch")
    startup.load_torch(run.owns_process)
    from zcurate.runtime import connection, device, process_group
    from zcurate.training.members import trains_one_by_one

    run = dataclasses.replace(run, device=device.pick(options.device if run.store.resident else "cpu"), n_threads=device.use_threads())
    n_processes = environment.world_size()
    if not run.store.resident:
        if n_processes > 1 and plan.spec.z.z_scale == "mad":
            raise UsageError(NO_MEDIANS)
        memory.trim()
    elif n_processes > 1 and not plan.spec.is_trained:
        leave_if_worker(run.ends_process)
    elif n_processes > 1:
        check_process_group(n_processes, options, plan)
        connection.connect(run.torch_device, shared_facts(table.sample, options, plan))
        if trains_one_by_one(plan.spec, run.torch_device):
            return dataclasses.replace(run, processes=process_group.DistributedGroup(run.torch_device, plan.spec.folds))
        connection.disconnect()
        who = "rank 0 runs the scan" if run.ends_process else "every rank runs the whole scan"
        run.progress.warn(f"torchrun: only {table.sample.n_rows} rows: training is not distributed, {who}")
        leave_if_worker(run.ends_process)
    return run


def train_members(
    rows: EncodedRows, plan: Plan, run: RunContext, checkpoint: Checkpoint | None, trees: TreeWorker, kept: KeptModel | None = None
) -> tuple[Evidence, dict[str, np.ndarray], dict[str, AuxiliaryPredictions], bool]:
    """Train the members; detectors and auxiliary models run meanwhile in background threads.

    Args:
        rows: encoded.
        plan: what is trained.
        run: as for `train`.
        checkpoint: keeps what is trained.
        trees: worker process for tree models.
        kept: model beside the report, which is written, or from which training goes on; the other models' predictions are then those it holds.

    Returns:
        The rounds, columns of the detectors, held-out predictions of the auxiliary models, and whether the time limit cut the training short.
    """
    from zcurate.runtime.memory import keep_freed_blocks
    from zcurate.runtime.threads import background_executor
    from zcurate.training import rounds
    from zcurate.training.auxiliary.background import Background
    from zcurate.training.detectors import neighbors
    from zcurate.training.models import builder

    # Members of small tables leave a core free. One thread waits for the trees; where there are but two cores the detectors' turn comes after
    # that, as three at work would keep the members waiting.
    n_jobs = 2 if trees.process and environment.cpu_count() > 2 else 1
    with keep_freed_blocks(), background_executor(n_jobs) as submit:
        background = Background(submit, rows, plan.spec, run, trees)
        try:
            if kept is None or not kept.goes_on:
                background.start_auxiliary()
            if not run.owns_process:
                background.start_detectors()
            observer = neighbors.representation_observer(plan.spec.judged_by)
            evidence, cut_short = rounds.train(rows, plan, builder(plan.spec.name), run, observer, checkpoint, background.start_detectors, kept)
            if cut_short:
                n_epochs = f"{len(evidence.rounds[0].error)} of {plan.n_epochs} epochs"
                run.progress.warn(f"--time-limit: training was cut short, {n_epochs} in the first round — probabilities are less sure")
            auxiliary = kept.auxiliary() if kept is not None and kept.goes_on else background.predictions()
            return evidence, background.columns(), auxiliary, cut_short
        except BaseException:
            # The thread that waits for the trees would be waited for.
            trees.stop()
            raise


def judge_rows(found: Gathered, plan: Plan, options: ScanOptions, run: RunContext) -> Judged:
    """Turn evidence into calibrated verdicts.

    Args:
        found: evidence about each row.
        plan: `clues`.
        options: the cut.
        run: store, processes, timings.
    """
    from zcurate.judge.blocks import JudgeRequest, judge_by_blocks
    from zcurate.judge.thresholds import Cut

    run.stage("judging")
    if len(found.evidence.y) >= LARGE_ROWS or not run.store.resident:
        memory.trim()
    cut = Cut(options.threshold, options.precision, options.budget)
    forbidden = too_short_reason(len(found.evidence.rounds[0].error), found.cut_short)
    judged = judge_by_blocks(JudgeRequest(found.evidence, found.columns, found.auxiliary, cut, plan.spec.judged_by, forbidden), run)
    verdicts = judged.verdicts
    if options.precision is not None and verdicts.threshold >= 1:
        surest = max_p_incorrect(verdicts)
        run.progress.warn(f"--precision {options.precision:g}: out of reach — the surest row is wrong with p {surest:.4f} — no row is called incorrect")
    return judged


def describe_scan(
    table: ResidentTable | StreamedTable, options: ScanOptions, plan: Plan, judged: Judged, found: Gathered, run: RunContext
) -> dict[str, Any]:  # fmt: skip
    """Make the run card and pass warnings about the data on.

    Args:
        table: the input.
        options: every setting.
        plan: what was trained.
        judged: verdicts.
        found: evidence about each row.
        run: device, processes, timings, command.
    """
    from zcurate.report.run_card import build_run_card, count_all_rows, pool_cards

    card = build_run_card(table.sample, options, plan, judged, run, found.cut_short)
    if not run.store.resident:
        card = count_all_rows(card, judged, found.evidence.y, run.store)
    # A class of few new rows is judged by the earlier ones too.
    doubts = data_warnings(table.sample, plan.spec.judged_by, card) if options.against is None else doubtful_noise(card)
    warn_in_card(card, doubts, run.progress)
    if run.store.resident:
        weights = judged.weights if plan.spec.is_trained else {"probabilities": 1.0}
        card["heldout"] = {name: round(weight, 3) for name, weight in weights.items()}
    n_processes = run.processes.size * run.processes.n_member_groups if run.store.resident else environment.world_size()
    card |= {"n_copies": found.n_copies, "dtype": found.dtype, "row_arrays": table.sample.row_arrays}
    if table.sample.slices is not None:
        from zcurate.report.slices import slice_table, slice_warnings

        of_slices = slice_table(table.sample.slices, found.row, found.evidence, judged.verdicts)
        card["slices"] = {"column": table.sample.slices.column, "slices": of_slices}
        warn_in_card(card, slice_warnings(table.sample.slices.column, of_slices), run.progress)
    card |= {} if found.findings is None else {"picture_findings": found.findings.counts()}
    card |= {"threads": run.n_threads, "processes": n_processes, "seconds": run.seconds()}
    card["costs"] = {name: round(spent, 3) for name, spent in run.timings.seconds.items()}
    if run.processes.is_sharded:
        cards, n_rows = zip(*run.processes.gathered((card, len(found.row))), strict=True)
        card = run.processes.gathered(pool_cards(list(cards), list(n_rows)))[0]
    return card


def save_report(result: ScanResult, options: ScanOptions, output: OutputFile | None, run: RunContext, summary_only: bool) -> Report:
    """Write the report to `output`, where that is set, and return it.

    Args:
        result: of the scan.
        options: `output`.
        output: claim on it; None where there is none yet.
        run: stores, processes.
        summary_only: of a large report that is written, return only its summary.
    """
    if len(result.evidence.y) >= LARGE_ROWS or not run.store.resident:
        memory.trim()
    is_large = result.is_aligned and result.data.n_rows >= run.store.sizes.min_chunked_rows
    is_chunked = not run.store.resident or (is_large and result.decisions is None)
    if not is_chunked or (options.output is None and run.store.resident):
        if options.output is not None:
            result.report.save(options.output, output)
        return dataclasses.replace(result.report, path=options.output)
    if not run.store.resident:
        run.stage("writing")
    if options.output is not None:
        return write_report(result, options.output, output, run, summary_only)
    with temporary_store() as scratch:
        return write_report(result, os.path.join(scratch.folder, "report.parquet"), None, run, False)


def write_report(result: ScanResult, path: str, output: OutputFile | None, run: RunContext, summary_only: bool) -> Report:
    """Write a report chunk by chunk: one file, or with several processes a folder of parts, a part for each split of the input.

    Args:
        result: of the scan.
        path: of the report.
        output: claim on it; None where there is none yet.
        run: stores, processes.
        summary_only: return only the report's summary.
    """
    from zcurate.data.partitions import part_name
    from zcurate.report import atomic, parts, storage
    from zcurate.report.report import Report
    from zcurate.report.writer import report_chunks, write_chunks

    chunks = report_chunks(result, run)
    if run.processes.size == 1 or run.store.resident:
        with atomic.whole_file(path, output) as temporary:
            write_chunks((chunk for _, chunk in chunks), temporary, result.card)
    else:
        with parts.written_by_all(path, run.processes) as folder:
            for split, of_split in itertools.groupby(chunks, lambda one: one[0]):
                assert split is not None  # crack: narrows types only
                name = part_name(split.number, result.table.n_splits)  # type: ignore[union-attr]
                write_chunks((chunk for _, chunk in of_split), os.path.join(folder, name), result.card, split.begin)
    memory.trim()
    if environment.rank() != 0 and run.processes.is_sharded:
        import pyarrow as pa

        return Report(pa.table({}), result.card)
    return storage.load_summary(path) if summary_only else storage.load(path)
