"""Judge all rows as one block, or rows of a memory-mapped store block by block.

Rows of such a store are in a random order, so each block is an even sample of all rows: it is judged, with all planted errors, as if it were the
whole, and numbers that describe the whole are means over the blocks. No torch.
"""

from __future__ import annotations

import dataclasses
from math import ceil
from typing import Any

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.config.verdicts import VERDICTS
from zcurate.evidence.evidence import Evidence, Round, describe_by_heldout, merge
from zcurate.evidence.heldout import AuxiliaryPredictions, Heldout, TopKProbabilities, take_rows
from zcurate.evidence.planted import Planted
from zcurate.judge.judge import Verdicts, judge, select_rounds
from zcurate.judge.thresholds import Cut, cut_at
from zcurate.judge.verdict_rule import decide
from zcurate.plugins import HELDOUT_SIGNALS
from zcurate.runtime import environment
from zcurate.runtime.context import RunContext
from zcurate.runtime.fork import can_fork, run_forked
from zcurate.runtime.process_group import SingleProcess
from zcurate.runtime.store import PAGE_BYTES, ArrayStore
from zcurate.training.auxiliary.blend import blend

OTHERS_SHARE = 0.75
"""Share of the user's probabilities in the blend from which rows are judged by held-out predictions alone; by taste."""
ARRAYS = ("code", "p_incorrect", "p_hard", "p_outlier", "suggested", "p_suggested", "reasons")
"""Fields of `Verdicts` with a value per row."""


@dataclasses.dataclass(frozen=True)
class JudgeRequest:
    """What to judge, and how."""

    evidence: Evidence
    """The rounds of N rows, not yet merged."""
    columns: dict[str, np.ndarray]
    """(N,) columns of the detectors."""
    auxiliary: dict[str, AuxiliaryPredictions]
    """Held-out predictions of auxiliary models; only where rows are resident."""
    cut: Cut
    """Where `incorrect` begins."""
    clues: tuple[str, ...]
    """Signals to go by."""
    forbidden: str = ""
    """Why no row may be judged; empty where they may."""
    review: float | None = None
    """The review cut; None for that of the block that is judged."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """Verdicts of N rows, and the evidence behind those of the first block."""

    verdicts: Verdicts
    """Of N rows; its numbers are the blocks' means."""
    evidence: Evidence
    """Of the first block with all planted rows, merged and blended; of all rows where they are one block."""
    first: Verdicts
    """The verdicts of those."""
    weights: dict[str, float]
    """How much the members and each auxiliary model count in the held-out predictions; 1 in all."""


def judge_by_blocks(request: JudgeRequest, run: RunContext) -> Judged:
    """Judge N rows: all at once where they are resident, else block by block.

    With several processes, each of which judges rows of its own, all use the mean of their cuts, and none judges where one of them cannot.

    Args:
        request: what to judge.
        run: store, processes, timings; a forked copy of the process may judge every other block.
    """
    if run.store.resident:
        return judge_resident(request, run)
    processes, n, cut = run.processes, len(request.evidence.y), request.cut
    if (cut.precision is not None or cut.budget is not None) and (n > run.store.sizes.judge_rows or processes.size > 1):
        first = judge_blocks(dataclasses.replace(request, cut=Cut()), run).verdicts
        n_rows = sum(processes.gathered(n))
        own = dataclasses.replace(cut, budget=None if cut.budget is None else round(cut.budget * n / n_rows))
        request = dataclasses.replace(request, cut=Cut(threshold=float(np.mean(processes.gathered(cut_at(own, first.p_incorrect, first.reliability))))))
    judged = judge_blocks(request, run)
    reasons = [why for why in processes.gathered(judged.verdicts.why) if why]
    if reasons:
        return judged if judged.verdicts.why else judge_blocks(dataclasses.replace(request, forbidden=reasons[0]), run)
    return judged if processes.size == 1 else with_review_cut(judged, float(np.mean(processes.gathered(judged.verdicts.review))), run)


def with_review_cut(judged: Judged, review: float, run: RunContext) -> Judged:
    """Decide the verdicts again, in place, with the mean of the processes' review cuts.

    Args:
        judged: of this process's rows.
        review: the cut that all of them use.
        run: store of the rows.
    """
    verdicts = judged.verdicts
    for begin, end in chunk_ranges(len(verdicts.code), run.store.sizes.judge_rows):
        part = slice(begin, end)
        labelled = verdicts.code[part] != VERDICTS.index("unlabelled")
        probabilities = (verdicts.p_incorrect[part], verdicts.p_hard[part], verdicts.p_outlier[part])
        verdicts.code[part] = decide(*probabilities, (verdicts.threshold, review), labelled)
        run.store.release()
    return dataclasses.replace(judged, verdicts=dataclasses.replace(verdicts, review=review), first=dataclasses.replace(judged.first, review=review))


def judge_resident(request: JudgeRequest, run: RunContext) -> Judged:
    """Judge all rows as one block.

    Args:
        request: what to judge.
        run: timings.
    """
    evidence = merge_rounds(request.evidence.rounds, request.evidence.y).with_columns(request.columns)
    evidence = dataclasses.replace(evidence, as_found=request.evidence.as_found, n_earlier=request.evidence.n_earlier)
    evidence, verdicts, weights = judge_block(evidence, request, run)
    return Judged(verdicts, evidence, verdicts, weights)


def judge_block(evidence: Evidence, request: JudgeRequest, run: RunContext) -> tuple[Evidence, Verdicts, dict[str, float]]:
    """Select rounds, blend auxiliary predictions in, and judge.

    Args:
        evidence: of the block's rows, merged.
        request: how to judge.
        run: timings.

    Returns:
        The evidence judged on, the verdicts, and what each kind of model counts.
    """
    evidence = select_rounds(evidence)
    with run.timings("blend"):
        evidence, weights = blend(evidence, request.auxiliary)
    # What the members learned says little of the rows where the user's model takes their place.
    clues = HELDOUT_SIGNALS if weights.get("probabilities", 0.0) >= OTHERS_SHARE else request.clues
    return evidence, judge(evidence, request.cut, clues, request.forbidden, run.timings, request.review), weights


def judge_blocks(request: JudgeRequest, run: RunContext) -> Judged:
    """Judge memory-mapped rows block by block; the first block settles whether the others are judged at all.

    Args:
        request: what to judge; its cut needs no second pass.
        run: store and timings.
    """
    n, store = len(request.evidence.y), run.store
    planted = np.unique(np.concatenate([part for one in request.evidence.rounds for part in (one.planted.row, one.hard_row)]))
    # After the first, two processes have equally many.
    n_blocks = max(1, ceil(n / store.sizes.judge_rows)) | 1
    arrays: dict[str, np.ndarray] = {}

    def judge_one(at: int, forbidden: str) -> tuple[Evidence, Verdicts, dict[str, float]]:
        begin, end = n * at // n_blocks, n * (at + 1) // n_blocks
        rows = np.concatenate([planted[planted < begin], np.arange(begin, end), planted[planted >= end]])
        evidence = evidence_of_rows(request.evidence, rows, request.columns, store)
        evidence, verdicts, weights = judge_block(evidence, dataclasses.replace(request, forbidden=forbidden), run)
        own = (rows >= begin) & (rows < end)
        for name, values in verdict_arrays(verdicts).items():
            if name not in arrays:
                arrays[name] = store.zeros((n, *values.shape[1:]), values.dtype)
            arrays[name][begin:end] = values[own]
        store.release()
        return evidence, verdicts, weights

    evidence, first, weights = judge_one(0, request.forbidden)
    request = dataclasses.replace(request, review=first.review)
    blocks = {0: without_arrays(first)}

    def judge_own(processes: SingleProcess) -> dict[int, Verdicts]:
        return {at: without_arrays(judge_one(at, request.forbidden or first.why)[1]) for at in range(1, n_blocks) if processes.trains_group(at)}

    if run.owns_process and run.processes.size == 1 and n_blocks > 2 and environment.cpu_count() > 1 and can_fork():
        own, other = run_forked(judge_own)
        blocks |= own | other
    else:
        blocks |= judge_own(SingleProcess())
    return Judged(merge_verdicts([blocks[at] for at in range(n_blocks)], arrays), evidence, first, weights)


def merge_rounds(rounds: tuple[Round, ...], y: np.ndarray) -> Evidence:
    """Merge the rounds; of a single round, planted rows are described by their held-out predictions.

    Args:
        rounds: of N rows.
        y: (N,) given labels as encoded.
    """
    merged = merge(rounds, y)
    return describe_by_heldout(merged, rounds[0].planted.row) if len(rounds) == 1 else merged


def evidence_of_rows(evidence: Evidence, rows: np.ndarray, columns: dict[str, np.ndarray], store: ArrayStore) -> Evidence:
    """Gather the evidence of some rows into memory, merged.

    Args:
        evidence: the rounds of N rows.
        rows: (n,) int64, ascending.
        columns: (N,) columns of the detectors.
        store: of the rows; released after each array, as scattered rows touch all of it.
    """
    rounds = tuple(round_of_rows(one, rows, store) for one in evidence.rounds)
    merged = merge_rounds(rounds, gather(evidence.y, rows, store))
    return merged.with_columns({name: gather(column, rows, store) for name, column in columns.items()})


def slice_evidence(evidence: Evidence, part: slice) -> Evidence:
    """The merged evidence of a run of rows, without copying.

    Args:
        evidence: of N rows, merged.
        part: the run.
    """
    return dataclasses.replace(
        evidence,
        columns={name: column[part] for name, column in evidence.columns.items()},
        curves={name: curve[:, part] for name, curve in evidence.curves.items()},
        heldout=take_rows(evidence.heldout, part),
        y=evidence.y[part],
    )


def gather(values: np.ndarray, rows: np.ndarray, store: ArrayStore) -> np.ndarray:
    """Gather some rows of a memory-mapped array into memory; arguments as for `evidence_of_rows`."""
    out = np.empty((len(rows), *values.shape[1:]), values.dtype)
    limit = store.sizes.gather_bytes
    step = len(rows) if values.nbytes <= limit else limit // PAGE_BYTES
    for begin, end in chunk_ranges(len(rows), max(1, step)):
        out[begin:end] = values[rows[begin:end]]
        store.release()
    return out


def gather_predictions(heldout: Heldout, rows: np.ndarray, store: ArrayStore) -> Heldout:
    """Gather some rows of held-out predictions; arguments as for `evidence_of_rows`."""
    return TopKProbabilities(gather(heldout.packed, rows, store), heldout.n_classes) if isinstance(heldout, TopKProbabilities) else gather(heldout, rows, store)


def round_of_rows(one: Round, rows: np.ndarray, store: ArrayStore) -> Round:
    """Gather one round's record of some rows; arguments as for `evidence_of_rows`."""
    (planted, planted_at), (hard, hard_at) = (locate(rows, wanted) for wanted in (one.planted.row, one.hard_row))
    return dataclasses.replace(
        one,
        training_label=gather(one.training_label, rows, store),
        planted=Planted(planted_at, one.planted.label[planted], one.planted.kind[planted]),
        columns={name: gather(column, rows, store) for name, column in one.columns.items()},
        heldout=gather_predictions(one.heldout, rows, store),
        curves={
            name: np.stack([gather(epoch, rows, store) for epoch in curve]) if len(curve) else np.zeros((0, len(rows)), np.float32)
            for name, curve in one.curves.items()
        },
        hard_row=hard_at,
        hard_heldout=one.hard_heldout[hard],
    )


def locate(rows: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find which wanted rows are among some rows, and where.

    Args:
        rows: (n,) int64, ascending.
        wanted: (m,) int64.

    Returns:
        (m,) bool; and (k,) int64 positions in `rows` of those that were found.
    """
    at = np.searchsorted(rows, wanted)
    found = at < len(rows)
    found[found] = rows[at[found]] == wanted[found]
    return found, at[found]


def verdict_arrays(verdicts: Verdicts) -> dict[str, np.ndarray]:
    """The arrays of some rows' verdicts, the signals' percentile ranks among them."""
    percentiles = {f"percentile {name}": values for name, values in verdicts.percentiles.items()}
    return {**{name: getattr(verdicts, name) for name in ARRAYS}, **percentiles}


def without_arrays(verdicts: Verdicts) -> Verdicts:
    """A block's verdicts without their arrays: the numbers that describe the whole."""
    empty: dict[str, Any] = dict.fromkeys(ARRAYS, np.zeros(0))
    return dataclasses.replace(verdicts, **empty, percentiles=dict.fromkeys(verdicts.percentiles, np.zeros(0)))


def with_arrays(verdicts: Verdicts, arrays: dict[str, np.ndarray]) -> Verdicts:
    """The same verdicts with other arrays.

    Args:
        verdicts: of any rows.
        arrays: as `verdict_arrays` gives them.
    """
    own: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
    percentiles = {name.removeprefix("percentile "): values for name, values in arrays.items() if name.startswith("percentile ")}
    return dataclasses.replace(verdicts, **own, percentiles=percentiles)


def merge_verdicts(blocks: list[Verdicts], arrays: dict[str, np.ndarray]) -> Verdicts:
    """Merge the blocks' verdicts: their arrays, and the means of the numbers that describe the whole.

    Args:
        blocks: the verdicts of the blocks.
        arrays: as `verdict_arrays` gives them, of all rows.
    """
    first = blocks[0]
    rate, low, high = (float(value) for value in np.mean([one.noise_rate for one in blocks], 0))
    recall_low, recall_high = (float(value) for value in np.mean([one.recall_interval for one in blocks], 0))
    table = [{name: float(np.mean([one.calibration[at][name] for one in blocks])) for name in entry} for at, entry in enumerate(first.calibration)]
    for at, entry in enumerate(table):
        entry |= {"planted": first.calibration[at]["planted"], "flagged": sum(one.calibration[at]["flagged"] for one in blocks)}
    return dataclasses.replace(
        with_arrays(first, arrays),
        noise_rate=(rate, low, high),
        calibration=table,
        recall=float(np.mean([one.recall for one in blocks])),
        recall_interval=(recall_low, recall_high),
        reliability=float(np.mean([one.reliability for one in blocks])),
    )
